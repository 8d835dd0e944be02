"""Augmentations on batches, with Kornia, on the device where the batch lies."""

from kornia.augmentation import (
    AugmentationSequential,
    RandomHorizontalFlip,
    RandomRotation90,
    RandomVerticalFlip,
)
from torch import nn


def augmentations(
    vertical_flip: float = 0.5, horizontal_flip: float = 0.5, rotation: float = 0.75
) -> nn.Module:
    """Flips and quarter turns, drawn per sample, the mask moved with its image.

    The first steps of the published augmentation (Maslov et al. 2025).

    Args:
        vertical_flip: Probability of a vertical flip.
        horizontal_flip: Probability of a horizontal flip.
        rotation: Probability of a rotation by 90, 180 or 270 degrees.

    Returns:
        A module that maps a batch dict with ``image`` (B, C, H, W) and ``mask`` (B, H, W) to one of
        the same shapes; other keys pass through. H and W must be equal.
    """
    steps: nn.Module = AugmentationSequential(
        RandomVerticalFlip(p=vertical_flip),
        RandomHorizontalFlip(p=horizontal_flip),
        RandomRotation90(times=(1, 3), p=rotation),
        data_keys=None,
        keepdim=True,
    )
    return steps
