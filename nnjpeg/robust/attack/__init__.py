"""Attacks on a classifier of images in [0, 1].

Read `attack` first: an attack as a value, and which attacks each scenario has. `gradients` has the attacks by gradient
(FGSM to PGD, BPDA), `minimal` those that look for the smallest perturbation (DeepFool and C&W, by foolbox), `library`
those of AutoAttack. To add one, write its function and give it a name in `attack`.
"""
