"""Fusion of the feature groups, with the optional location encoding."""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from glavitu.errors import InputError
from glavitu.features import FeatureGroup
from glavitu.models.blocks import (
    NEGATIVE_SLOPE,
    NORM_EPSILON,
    NORM_MOMENTUM,
    DoubleConv,
    global_mean,
)


class Fusion(nn.Module):
    """A gated branch for each feature group; the sum of the branches is the fused map.

    Each branch is a double convolution followed by a squeeze-and-excitation gate (Hu et al. 2018,
    doi 10.1109/CVPR.2018.00745), as in Maslov et al. (2025).

    Args:
        features: The feature groups, in the order of the image's channels.
        width: Channels of the fused map.
        location_size: Length of the location vector, None for a model without one.
        dropout: Rate of dropping whole channels in training.
    """

    def __init__(
        self,
        features: Sequence[FeatureGroup],
        width: int = 64,
        location_size: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.channels = [len(group) for group in features]
        self.names = [group.name for group in features]
        self.location = None
        # Modules are registered in the order in which the published files store them.
        if location_size is not None:
            self.location = LocationEncoding(location_size, width, dropout)
        self.branches = nn.ModuleList(DoubleConv(c, width, dropout) for c in self.channels)
        self.squeeze = nn.ModuleList(nn.Linear(width, width) for _ in self.channels)
        self.excite = nn.ModuleList(nn.Linear(width, width) for _ in self.channels)

    def forward(self, image: Tensor, location: Tensor | None = None) -> Tensor:
        """Fuse the groups.

        Args:
            image: (B, C, H, W), the groups stacked in order, scaled to [0, 1].
            location: (B, L) where the model was built with a location size.

        Returns:
            (B, width, H, W).

        Raises:
            InputError: If the channels do not fit the groups, or a location is missing or not
                wanted.
        """
        if image.shape[1] != sum(self.channels):
            expected = ", ".join(f"{n} {c}" for n, c in zip(self.names, self.channels, strict=True))
            raise InputError(
                f"the image has {image.shape[1]} channels, but the model expects "
                f"{sum(self.channels)} ({expected}); give the feature groups that it was built for"
            )
        groups = torch.split(image, self.channels, dim=1)
        layers = zip(groups, self.branches, self.squeeze, self.excite, strict=True)
        fused = functools.reduce(torch.add, (self._branch(*parts) for parts in layers))
        if self.location is None:
            if location is not None:
                raise InputError("the model takes no location; leave it out")
            return fused
        if location is None:
            raise InputError(
                "the model wants a location vector with each image; see glavitu.regions for how "
                "to make one"
            )
        encoded: Tensor = self.location(location)
        return fused + encoded[:, :, None, None]

    @staticmethod
    def _branch(x: Tensor, branch: nn.Module, squeeze: nn.Module, excite: nn.Module) -> Tensor:
        x = branch(x)
        gate = nn.functional.leaky_relu(squeeze(global_mean(x)), NEGATIVE_SLOPE)
        return x * torch.sigmoid(excite(gate))[:, :, None, None]


class LocationEncoding(nn.Sequential):
    """Twice (dense, batch norm, leaky ReLU) over a location vector, then dropout.

    Maps (B, size) to (B, width).

    Args:
        size: Length of the vector: 12 for regions, 4 for coordinates.
        width: Channels of the fused map.
        dropout: Rate of dropping in training.
    """

    def __init__(self, size: int, width: int, dropout: float = 0.0) -> None:
        super().__init__(
            nn.Linear(size, width),
            nn.BatchNorm1d(width, eps=NORM_EPSILON, momentum=NORM_MOMENTUM),
            nn.LeakyReLU(0.3, inplace=True),
            nn.Linear(width, width),
            nn.BatchNorm1d(width, eps=NORM_EPSILON, momentum=NORM_MOMENTUM),
            nn.LeakyReLU(0.3, inplace=True),
            nn.Dropout(dropout),
        )
