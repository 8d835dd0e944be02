"""The training augmentation of batches, on the device where they lie."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from glavitu.features import FeatureGroup
from glavitu.regions import UNKNOWN, region_vector
from glavitu.transforms.augmentation import Augmentation
from glavitu.transforms.draws import drawn
from glavitu.transforms.geometry import RandomGeometry
from glavitu.transforms.intensity import RandomIntensity


class TrainingAugmentation(nn.Module):
    """The published training augmentation of batches (Maslov et al. 2025).

    Flips, quarter turns and crops move a mask with its image; contrast, occlusion, shift and noise
    are drawn anew for each feature group; at last some regions become unknown. All draws are made
    per sample with torch's generator of the batch's device, and the host waits for none of them.

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
        moves = any((a.vertical_flip, a.horizontal_flip, a.rotation, a.crop))
        self.geometry = RandomGeometry(a) if moves else None
        changes = any((a.contrast, a.occlusion, a.shift, a.noise))
        self.intensity = RandomIntensity(a) if changes else None
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
        image = batch["image"]
        # Kornia draws where its modules are, and a data module does not move them.
        if self.unknown.device != image.device:
            self.to(image.device)
        batch = dict(batch)
        if self.geometry is not None:
            moves = self.geometry.forward_parameters(image.shape)
            image = self.geometry(image, moves)
            batch["mask"] = self.geometry.apply_transform(batch["mask"][:, None], moves)[:, 0]
        if self.intensity is not None:
            # Changed in place, and the batch given stays as it is.
            image = image.clone() if self.geometry is None else image
            for group in image.split(self.channels, dim=1):
                self.intensity(group)
        batch["image"] = image
        if self.unknown_region:
            location = batch["location"]
            unknown = drawn(self.unknown_region, len(location), location.device)
            batch["location"] = torch.where(unknown, self.unknown.to(location), location)
        return batch
