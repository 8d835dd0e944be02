"""The training augmentation of batches, on the device where they lie."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from kornia.augmentation import (
    AugmentationBase2D,
    AugmentationSequential,
    ImageSequential,
    RandomGaussianNoise,
    RandomHorizontalFlip,
    RandomVerticalFlip,
)
from torch import Tensor, nn

from glavitu.errors import InputError
from glavitu.features import FeatureGroup
from glavitu.regions import UNKNOWN, region_vector
from glavitu.transforms.operations import (
    RandomCropScale,
    RandomOcclusion,
    RandomPower,
    RandomQuarterTurn,
    RandomShift,
)


@dataclass(frozen=True)
class Augmentation:
    """Probabilities and strengths of the training augmentation (defaults: as published).

    The values are those of Maslov et al. (2025), doi 10.1038/s41467-024-54956-x. A probability of 0
    leaves an operation out.

    Args:
        vertical_flip: Probability of a vertical flip.
        horizontal_flip: Probability of a horizontal flip.
        rotation: Probability of a rotation by 90, 180 or 270 degrees, each as likely.
        crop: Probability of a crop that is scaled back to the window with nearest neighbour.
        crop_scale: Smallest side of the crop as a share of the window's, above 0 and up to 1.
        contrast: Probability, per feature group, of a contrast change x^g.
        contrast_strength: s of g = U(1 - s, 1 + s), drawn per channel; from 0 to below 1.
        occlusion: Probability, per feature group, of a rectangle of zeros in all its channels.
        occlusion_size: Largest side of the rectangle as a share of the window's, up to 1.
        shift: Probability, per feature group, of a value added to each channel.
        shift_std: Standard deviation of that value, in scaled units.
        noise: Probability, per feature group, of noise added to each pixel.
        noise_std: Standard deviation of the noise, in scaled units.
        unknown_region: Probability that a region vector becomes that of an unknown region.

    Raises:
        InputError: If a value is out of its range.
    """

    vertical_flip: float = 0.5
    horizontal_flip: float = 0.5
    rotation: float = 0.75
    crop: float = 0.5
    crop_scale: float = 0.8
    contrast: float = 0.5
    contrast_strength: float = 0.2
    occlusion: float = 0.5
    occlusion_size: float = 0.5
    shift: float = 0.5
    shift_std: float = 0.025
    noise: float = 0.5
    noise_std: float = 0.005
    unknown_region: float = 0.1

    def __post_init__(self) -> None:
        """Check the ranges."""
        for key, value in vars(self).items():
            if key.endswith("_std"):
                fits, expected = 0 <= value < float("inf"), "0 or more"
            elif key == "crop_scale":
                fits, expected = 0 < value <= 1, "above 0 and at most 1"
            elif key == "contrast_strength":
                fits, expected = 0 <= value < 1, "at least 0 and below 1"
            else:
                fits, expected = 0 <= value <= 1, "between 0 and 1"
            if not fits:
                raise InputError(f"data.augmentation.{key} is {value}, but must be {expected}")


class TrainingAugmentation(nn.Module):
    """The published training augmentation of batches (Maslov et al. 2025).

    Flips, quarter turns and crops move a mask with its image; contrast, occlusion, shift and noise
    are drawn anew for each feature group; at last some regions become unknown. All draws are made
    per sample with torch's generator of the batch's device.

    Args:
        augmentation: Probabilities and strengths.
        features: The feature groups of the image's channels, in order.
        location: Kind of the location vector, ``'region'``, ``'coordinates'`` or None; only regions
            become unknown.
    """

    def __init__(
        self,
        augmentation: Augmentation,
        features: Sequence[FeatureGroup],
        location: str | None = None,
    ) -> None:
        super().__init__()
        a = augmentation
        self.geometry = AugmentationSequential(
            *_without_idle(
                RandomVerticalFlip(p=a.vertical_flip),
                RandomHorizontalFlip(p=a.horizontal_flip),
                RandomQuarterTurn(p=a.rotation),
                RandomCropScale(a.crop_scale, p=a.crop),
            ),
            data_keys=["image", "mask"],
        )
        self.intensities = nn.ModuleList(
            ImageSequential(
                *_without_idle(
                    RandomPower(a.contrast_strength, p=a.contrast),
                    RandomOcclusion(a.occlusion_size, p=a.occlusion),
                    RandomShift(a.shift_std, p=a.shift),
                    RandomGaussianNoise(0.0, a.noise_std, p=a.noise),
                )
            )
            for _ in features
        )
        self.channels = [len(group) for group in features]
        self.unknown_region = a.unknown_region if location == "region" else 0.0
        self.unknown: Tensor
        self.register_buffer("unknown", region_vector(UNKNOWN), persistent=False)

    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Augment a batch.

        Args:
            batch: ``image`` float32 (B, C, H, W), scaled; ``mask`` int64 (B, H, W); ``location``
                float32 (B, L) where the model wants one; other keys pass through.

        Returns:
            A new dict with the same keys, shapes and types. The one given is not changed.

        Raises:
            InputError: If windows that are to be rotated are not square.
        """
        image, mask = batch["image"], batch["mask"]
        # Kornia draws where its modules are, and a data module does not move them.
        if self.unknown.device != image.device:
            self.to(image.device)
        batch = dict(batch)
        if self.geometry:
            image, mask = self.geometry(image, mask[:, None])
            batch["mask"] = mask[:, 0]
        if any(self.intensities):
            groups = image.split(self.channels, dim=1)
            image = torch.cat([f(x) for f, x in zip(self.intensities, groups, strict=True)], dim=1)
        batch["image"] = image
        if self.unknown_region:
            location = batch["location"]
            drawn = torch.rand(len(location), 1, device=location.device) < self.unknown_region
            batch["location"] = torch.where(drawn, self.unknown, location)
        return batch


def _without_idle(*operations: AugmentationBase2D) -> list[AugmentationBase2D]:
    return [operation for operation in operations if operation.p > 0]
