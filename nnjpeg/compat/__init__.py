"""The JPEG of other libraries under their own names: the same arguments and, where theirs is real JPEG, the same bits.

One module for each library, imported only when it is asked for, in any order: `albumentations`, `kornia`, `diffjpeg`
(Real-ESRGAN, BasicSR) and `imagenet_c`. torchvision's `v2.JPEG` is `nnjpeg.transforms.JPEG`.
"""
