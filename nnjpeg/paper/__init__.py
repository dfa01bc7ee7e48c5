"""The paper's experiments, a file each, on `nnjpeg.robust` as any user would use it."""
