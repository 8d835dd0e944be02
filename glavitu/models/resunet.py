"""The convolutional branch: a U-Net of residual blocks."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from glavitu.models.blocks import ProjectedResidual, UpConv


class UpStep(nn.Module):
    """Up-convolution to half the channels, concatenation with the skip, residual block.

    Args:
        channels: Channels of the deeper map; the skip has half as many, as has the result.
        dropout: Rate of dropping whole channels in training.
    """

    def __init__(self, channels: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.up = UpConv(channels, channels // 2)
        self.residual = ProjectedResidual(channels, channels // 2, dropout)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Join the deeper map (B, C, H, W) with its skip (B, C / 2, 2 H, 2 W)."""
        out: Tensor = self.residual(torch.cat([self.up(x), skip], dim=1))
        return out


class ResUNet(nn.Module):
    """Three steps down, a bottleneck, three steps up. Maps (B, width, H, W) to the same.

    Args:
        width: Channels of the first step; each next one has twice as many.
        dropout: Rate of dropping whole channels in training.
    """

    def __init__(self, width: int = 64, dropout: float = 0.0) -> None:
        super().__init__()
        channels = [width, width, 2 * width, 4 * width]
        self.down = nn.ModuleList(ProjectedResidual(a, b, dropout) for a, b in pairwise(channels))
        self.pool = nn.MaxPool2d(2)
        self.bottleneck = ProjectedResidual(4 * width, 8 * width, dropout)
        self.up = nn.ModuleList(UpStep(c * width, dropout) for c in (8, 4, 2))
        self.output = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Encode and decode; H and W are multiples of 8."""
        skips = []
        for step in self.down:
            x = step(x)
            skips.append(x)
            x = self.pool(x)
        x = self.bottleneck(x)
        for step, skip in zip(self.up, reversed(skips), strict=True):
            x = step(x, skip)
        out: Tensor = self.output(x)
        return out
