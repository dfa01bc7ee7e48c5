"""The JPEG of other libraries by their own names: the same arguments and, where theirs is real JPEG, the same bits.

A module for each library, imported only when it is asked for: `nnjpeg.compat.albumentations`, `nnjpeg.compat.kornia`,
`nnjpeg.compat.diffjpeg` (Real-ESRGAN, BasicSR) and `nnjpeg.compat.imagenet_c`.
"""
