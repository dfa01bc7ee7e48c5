"""The paper's experiments, on `nnjpeg.robust` as any user would use it.

Read `specs` first: each experiment as a dataclass, whose fields are its options (`fields` makes them from text).
`subject` has what all experiments share: the run folder, the model, the images. Each experiment has a module of its
name: `analyze`, `design`, `train`, `figure6`, `table1`, `evaluate`, `certify`. `reproduce` runs the lists of `presets`,
and `report` writes page.html. `figures` draws, with the names of `labels`.
"""
