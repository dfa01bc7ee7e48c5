"""The method of the paper, which uses the codec as any user would.

In the order of the paper: `frequency` (section 3.1), `design` (3.2, Algorithm 1), `objectives`, `training`, `chain` and
`ensemble` (3.4), `evaluation` (4); with the `data`, `models` and `attacks` that they are tried on. Needs
``pip install 'nnjpeg[robust]'``.
"""
