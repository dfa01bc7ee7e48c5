"""Defences: transforms of a model's images, and ensembles of models.

Read `transforms` first: every transform by name, `Defended`, which puts one in front of a model, and how gradients go
through it. `smooth` has the smooth gradient of a compression, `quilting` image quilting, `ensemble` the models that
vote together (section 3.4 of the paper).
"""
