"""`kornia.augmentation.RandomJPEG`."""

from __future__ import annotations

from typing import Any

from kornia.augmentation import RandomJPEG as _RandomJPEG
from torch import Tensor

from nnjpeg.ops import Gradient, check_choice
from nnjpeg.transforms import jpeg

__all__ = ["RandomJPEG"]


class RandomJPEG(_RandomJPEG):
    """Compress and decompress images at random qualities, as the class of the same name in kornia.

    It has the same parameters and draws. In place of a soft approximation it runs exact JPEG, 4:2:0
    (`nnjpeg.transforms.jpeg`), with a gradient of your choice.

    Parameters
    ----------
    jpeg_quality : float or (low, high)
        A range of qualities, 1..100; a number q means the range 50 - q to 50 + q, as in kornia. Draws below 1
        count as 1. If it is a parameter that learns, it gets a gradient through the draws, as in kornia.
    same_on_batch, p, keepdim
        As in kornia.
    gradient : {"straight-through", "cubic", "none"}
        See `nnjpeg.ops.roundtrip`.

    Raises
    ------
    ValueError
        If images do not have 3 components, or `gradient` is none of these.
    """

    def __init__(
        self,
        jpeg_quality: Any = 50.0,
        same_on_batch: bool = False,
        p: float = 1.0,
        keepdim: bool = False,
        *,
        gradient: Gradient = "straight-through",
    ) -> None:
        check_choice("gradient", gradient, Gradient)
        super().__init__(jpeg_quality, same_on_batch=same_on_batch, p=p, keepdim=keepdim)
        self.gradient: Gradient = gradient

    def apply_transform(
        self, input: Tensor, params: dict[str, Tensor], flags: dict[str, Any], transform: Tensor | None = None
    ) -> Tensor:
        """Compress and decompress a batch, of shape (B, 3, H, W) and in [0, 1], at ``params["jpeg_quality"]``."""
        if input.shape[1] != 3:
            raise ValueError(f"input must have shape (B, 3, H, W), got {tuple(input.shape)}")
        if input.shape[0] == 0:
            return input.clone()
        return jpeg(input, params["jpeg_quality"].clamp(1, 100), gradient=self.gradient)

    def __repr__(self) -> str:
        return f"{super().__repr__().removesuffix(')')}, gradient={self.gradient!r})"
