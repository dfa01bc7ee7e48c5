"""Attacks on a classifier of images, and the attack as a value."""
