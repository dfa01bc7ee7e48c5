"""What a run writes to disk, so that a stopped run resumes and several processes share one.

Read `run` first: the folder and its config.json. `store` keeps results and tensors as they are computed,
`checkpoints` writes the weights of models, `distributed` has the few things that differ under torchrun.
"""
