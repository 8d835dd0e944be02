"""Flips, quarter turns and crops of batches."""

from collections.abc import Sequence
from typing import Any

import torch
from kornia.augmentation import AugmentationBase2D
from torch import Tensor

from glavitu.errors import InputError
from glavitu.transforms.augmentation import Augmentation
from glavitu.transforms.draws import Params, centres, drawn


class RandomGeometry(AugmentationBase2D):
    """Flips windows, rotates them, and scales crops of them back to their size.

    Kornia has each of these, but a pass over the whole batch for each; its RandomRotation90 draws
    180 degrees twice as often as the others and interpolates, and its RandomResizedCrop draws the
    crop's area, and for whole batches or none. Here each pixel is fetched once, from where all
    moves together lead, without interpolation.

    Args:
        augmentation: Probabilities of the moves, and the smallest crop.
    """

    def __init__(self, augmentation: Augmentation) -> None:
        super().__init__(p=1.0)  # each move has a probability of its own
        self.augmentation = augmentation

    def generate_parameters(self, batch_shape: Sequence[int]) -> Params:
        """Draw from which pixel each one comes, as indices into the flat window, (B, H * W).

        Raises:
            InputError: If windows that are to be rotated are not square.
        """
        a, (n, _, height, width) = self.augmentation, batch_shape
        if a.rotation and height != width:
            raise InputError(
                f"windows of {height} x {width} pixels cannot be rotated by 90 degrees; use square "
                "windows or set data.augmentation.rotation to 0"
            )
        upside_down = drawn(a.vertical_flip, n, self.device)
        mirrored = drawn(a.horizontal_flip, n, self.device)
        rotated = drawn(a.rotation, n, self.device)
        turns = torch.randint(1, 4, (n, 1), device=self.device) * rotated
        cropped = drawn(a.crop, n, self.device)
        draws = torch.rand(3, n, 1, device=self.device, dtype=torch.float32)
        side = 1 - (1 - a.crop_scale) * draws[0] * cropped
        top, left = (1 - side) * draws[1], (1 - side) * draws[2]

        # A pixel comes from a row and a column of the crop. Where a quarter turn made the crop, its
        # rows are columns of the window.
        quarter = turns % 2 == 1
        upside_down = upside_down ^ (turns >= 2)
        mirrored = mirrored ^ ((turns == 1) | (turns == 2))
        down = top + side * centres(height, self.device)
        across = left + side * centres(width, self.device)
        down = _pixels(down, height, torch.where(quarter, mirrored, upside_down))
        across = _pixels(across, width, torch.where(quarter, upside_down, mirrored))
        down = torch.where(quarter, down, down * width)
        across = torch.where(quarter, across * width, across)
        return {"source": (down[:, :, None] + across[:, None, :]).flatten(1)}

    def apply_transform(self, input: Tensor, params: Params, *_: Any, **__: Any) -> Tensor:
        """Fetch the pixels of images or masks (B, C, H, W) of any type."""
        source = params["source"][:, None].expand(-1, input.shape[1], -1)
        return input.flatten(2).gather(2, source).view(input.shape)


def _pixels(shares: Tensor, size: int, flipped: Tensor) -> Tensor:
    """Pixels of a side, flipped or not, in which places lie."""
    pixels = (shares * size).long().clamp(max=size - 1)  # rounding must not lead past the last one
    return torch.where(flipped, size - 1 - pixels, pixels)
