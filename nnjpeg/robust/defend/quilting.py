"""Image quilting: an image made of patches of others (Guo et al., ICLR 2018)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from nnjpeg.robust.attack.gradients import to_bytes

__all__ = ["Quilting"]

_GROUP = 40  # patches that are first compared by their nearest alone


class Quilting:
    """Image quilting (Guo et al., ICLR 2018): an image made of patches of others.

    Each patch of a grid is replaced by one of those nearest to it, drawn at random (one of 10, as Athalye et al.,
    2018, have it); neighbours overlap, and are joined along the cheapest seam (Efros and Freeman, 2001).

    Parameters
    ----------
    photos : Tensor
        uint8 (N, 3, H, W): where patches are taken from, at random places. Not images that are to be defended, which
        would be put together again from their own.
    patches : int
        How many. The authors have a million.
    size, overlap : int
        Pixels.
    nearest : int
        Among how many one is drawn.
    generator : torch.Generator, optional
        Of that draw; by default torch's.
    seed : int
        Of the places.

    Raises
    ------
    ValueError
        If the images are smaller than a patch.
    """

    def __init__(
        self, photos: Tensor, patches: int = 10_000, *, size: int = 5, overlap: int = 2, nearest: int = 10,
        generator: torch.Generator | None = None, seed: int = 0,
    ) -> None:  # fmt: skip
        height, width = photos.shape[2:]
        if min(height, width) < size or not len(photos):
            raise ValueError(f"photos must be images of at least {size}x{size} pixels, got {tuple(photos.shape)}")
        places = torch.Generator().manual_seed(seed)
        of, y, x = (
            torch.randint(extent, (patches,), generator=places)
            for extent in (len(photos), height - size + 1, width - size + 1)
        )
        across = torch.arange(size)
        rows, columns = (y[:, None] + across)[:, :, None], (x[:, None] + across)[:, None, :]
        found = photos.permute(0, 2, 3, 1)[of[:, None, None], rows, columns]  # patches, y, x, component
        self.patches = found.permute(0, 3, 1, 2).reshape(patches, -1).contiguous()
        self.size, self.overlap, self.nearest, self.generator = size, overlap, min(nearest, patches), generator

    def __call__(self, pixels: Tensor) -> Tensor:
        """From uint8 (B, 3, H, W) to the same."""
        height, width = pixels.shape[2:]
        stride = self.size - self.overlap
        down, right = (
            self.size - extent if extent < self.size else (self.overlap - extent) % stride for extent in (height, width)
        )
        padded = functional.pad(pixels.float(), (0, right, 0, down), mode="replicate")
        wanted = functional.unfold(padded, self.size, stride=stride)  # B, 3 * size * size, places
        chosen = self.patches[self._near(wanted.transpose(1, 2).flatten(0, 1))].float()
        columns = (padded.shape[3] - self.overlap) // stride
        chosen = chosen.reshape(len(pixels), -1, columns, 3, self.size, self.size)
        return to_bytes(_quilt(chosen, self.overlap)[..., :height, :width] / 255)

    def _near(self, wanted: Tensor) -> Tensor:
        """For each row of `wanted`, the number of one of the nearest patches."""
        known = functional.pad(self.patches.float(), (0, 0, 0, -len(self.patches) % _GROUP))
        half = (known**2).sum(1) / 2
        half[len(self.patches) :] = torch.inf
        drawn = torch.randint(self.nearest, (len(wanted), 1), generator=self.generator)
        # The nearest are in the groups whose own nearest are nearest: a search of those alone.
        few = min(self.nearest, len(known) // _GROUP)
        found = []
        for part, k in zip(wanted.split(256), drawn.split(256), strict=True):
            distance = torch.addmm(half, part, known.T, alpha=-1).unflatten(1, (_GROUP, -1))
            groups = distance.amin(1).topk(few, largest=False, sorted=False).indices[:, None].expand(-1, _GROUP, -1)
            near = distance.gather(2, groups).flatten(1).topk(self.nearest, largest=False).indices.gather(1, k)
            group = groups[:, 0].gather(1, near % few)
            found.append(near // few * (len(known) // _GROUP) + group)
        return torch.cat(found)[:, 0]


def _quilt(patches: Tensor, overlap: int) -> Tensor:
    """Patches (B, rows, columns, 3, size, size), joined to images: each cuts into those above and to its left."""
    count, rows, columns, components, size, _ = patches.shape
    stride = size - overlap
    width = overlap + columns * stride
    canvas = patches.new_zeros(count, components, (overlap + rows * stride) * width)
    across = torch.arange(size)
    # Patches of one front do not overlap each other; the patches that they overlap were placed before.
    for front in range(columns + 2 * rows - 2):
        row = torch.arange(max(0, (front - columns + 2) // 2), min(rows - 1, front // 2) + 1)
        column = front - 2 * row
        y, x = row[:, None] * stride + across, column[:, None] * stride + across
        place = y[:, :, None] * width + x[:, None, :]
        old, new = canvas[:, :, place], patches[:, row, column].transpose(1, 2)
        error = ((old - new) ** 2).sum(1)
        take = torch.ones_like(error, dtype=torch.bool)
        beside, below = _seam(error[..., :overlap].flatten(0, 1)), _seam(error[:, :, :overlap].mT.flatten(0, 1)).mT
        take[..., :overlap] &= beside.unflatten(0, error.shape[:2]) | (column == 0)[:, None, None]
        take[:, :, :overlap] &= below.unflatten(0, error.shape[:2]) | (row == 0)[:, None, None]
        canvas[:, :, place] = torch.where(take[:, None], new, old)
    return canvas.unflatten(2, (-1, width))


def _seam(error: Tensor) -> Tensor:
    """Where the new patch is taken: from the cheapest path down `error` (B, length, overlap) on, to the right."""
    costs = [error[:, 0]]
    for line in error.unbind(1)[1:]:
        before = functional.pad(costs[-1], (1, 1), value=torch.inf)
        costs.append(line + torch.stack([before[:, :-2], before[:, 1:-1], before[:, 2:]]).amin(0))
    at = costs[-1].argmin(1, keepdim=True)
    path = [at]
    places = torch.arange(error.shape[2], device=error.device)
    for cost in costs[-2::-1]:
        at = cost.masked_fill((places - at).abs() > 1, torch.inf).argmin(1, keepdim=True)
        path.append(at)
    return places >= torch.stack(path[::-1], 1)
