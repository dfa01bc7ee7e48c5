"""`DiffJPEG` as Real-ESRGAN and BasicSR call it."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from nnjpeg.transforms import jpeg

__all__ = ["DiffJPEG"]


class DiffJPEG(nn.Module):
    """Compress and decompress images in the degradation pipeline of a super-resolution trainer.

    Called as the class of the same name in BasicSR. The result equals that of an ordinary JPEG file, 4:2:0, bit for
    bit: `nnjpeg.transforms.jpeg`. The caller's `quality` is not modified.

    Parameters
    ----------
    differentiable : bool
        Whether there is a gradient: that of the smooth rounding u -> round(u) + (u - round(u))^3, which is
        ``gradient="cubic"`` of `nnjpeg.ops.roundtrip`. Otherwise the result has none.

    Raises
    ------
    TypeError
        If `differentiable` is not True or False: the older ``DiffJPEG(height, width, ...)`` is another class.
    """

    def __init__(self, differentiable: bool = True, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        if not isinstance(differentiable, bool) or args or kwargs:
            given = ", ".join([repr(differentiable), *map(repr, args), *(f"{k}={v!r}" for k, v in kwargs.items())])
            raise TypeError(
                f"DiffJPEG takes differentiable, True or False, got ({given}); height and width are those of the "
                "images, and the quality is given with them: DiffJPEG()(x, quality=75)"
            )
        self.differentiable = differentiable

    def forward(self, x: Tensor, quality: float | Tensor) -> Tensor:
        """Compress and decompress a batch.

        Parameters
        ----------
        x : Tensor
            Shape (B, 3, H, W) or (B, 1, H, W), floats in [0, 1], any height and width.
        quality : number or Tensor
            1..100, whole or not: one for all images, or of shape (B,).

        Returns
        -------
        Tensor
            As `x`, in [0, 1].
        """
        return jpeg(x, quality, gradient="cubic" if self.differentiable else "none")

    def extra_repr(self) -> str:
        """Its argument."""
        return f"differentiable={self.differentiable}"
