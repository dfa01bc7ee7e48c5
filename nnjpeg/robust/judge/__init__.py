"""How a defence is judged: which images it labels right, with which error, and how far the figure is to be believed.

Read `assess` first: each defence under each attack, and the worst case by image. `statistics` has the shares, the
intervals and the tests, `checklist` computes from the results how thorough the attacks were (`evidence`: from which
rows, by which comparisons), `autoattack` runs AutoAttack as its authors do, and `certify` proves robustness by
randomized smoothing.
"""
