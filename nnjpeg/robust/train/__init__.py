"""Training: noisy training (section 3.4 of the paper) and what it is compared with.

Read `objectives` first: the loss of a step. `engine` runs any objective on any model and loader, `chain` trains models
one from another (M, M90, ..., M30), `photos` trains the small model for the photographs of scikit-image.
"""
