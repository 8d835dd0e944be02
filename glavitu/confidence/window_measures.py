"""What is measured of windows to tell whether a scene looks like others."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from glavitu.errors import InputError
from glavitu.features import FeatureGroup

#: Quantiles of a channel's pixels in a window.
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

#: Pixels along a side of a window that are looked at, at the least; more would say the same.
GRID = 64

#: Known pixels of a window that are too few to say anything.
FEWEST_PIXELS = 64

#: Bins of the histograms: scaled values are around [0, 1], relative differences in [-1, 1].
LOWEST, HIGHEST, BINS = -1.0, 2.0, 1536


@dataclass(frozen=True)
class Measure:
    """One number that is measured of a window.

    Attributes:
        group: The feature group.
        channel: Name of the channel.
        quantile: Which quantile of the channel's pixels it is; None for the median of the
            difference to the next channel of the group, relative to their sum. That one does not
            change with the light, and tells channels in another order.
        number: Index of the channel in its group.
    """

    group: FeatureGroup
    channel: str
    quantile: float | None
    number: int

    @property
    def name(self) -> str:
        """What it is of, such as ``optical.nir`` or ``optical.nir-swir1``."""
        following = "" if self.quantile is not None else f"-{self.following}"
        return f"{self.group.name}.{self.channel}{following}"

    @property
    def following(self) -> str:
        """Name of the next channel."""
        return self.group.channels[self.number + 1]

    def in_units(self, value: float) -> float:
        """Turn a scaled value into the channel's unit; a relative difference stays."""
        if self.quantile is None:
            return value
        low, high = self.group.minimum[self.number], self.group.maximum[self.number]
        value = low + value * (high - low)
        # What was scaled twice may be too much for a float.
        return 10 ** min(value, 300.0) if self.group.transform == "log10" else value


def measures_of(groups: Sequence[FeatureGroup]) -> list[Measure]:
    """List what is measured of images with these feature groups, in order."""
    listed = []
    for group in groups:
        channels = list(enumerate(group.channels))
        listed += [Measure(group, c, quantile, n) for n, c in channels for quantile in QUANTILES]
        listed += [Measure(group, c, None, n) for n, c in channels[:-1]]
    return listed


def measure_window(image: Tensor, groups: Sequence[FeatureGroup]) -> Tensor:
    """Measure a window.

    Pixels that are 0, as padding is, or what a missing value becomes count as missing.

    Args:
        image: The scaled image, floating (C, H, W), before any augmentation.
        groups: Its feature groups.

    Returns:
        float32 (M,), as :func:`measures_of` lists them; NaN where too few pixels are known.

    Raises:
        InputError: If the image has another number of channels.
    """
    sizes = [len(group) for group in groups]
    if len(image) != sum(sizes):
        raise InputError(
            f"the windows have {len(image)} channels, but the features "
            f"{', '.join(group.name for group in groups)} have {sum(sizes)}; give the data and the "
            "model the same features"
        )
    step = max(1, min(image.shape[-2:]) // GRID)
    values = image[:, ::step, ::step].flatten(1)
    filled = torch.cat([group.scale(torch.zeros(len(group), 1, 1)) for group in groups])[:, 0]
    filled = filled.to(values)  # rounded as the image is
    missing = (values == 0) | ((values - filled).abs() < 1e-6) | ~values.isfinite()
    values = values.float().masked_fill(missing, torch.nan)
    at = torch.tensor(QUANTILES, device=values.device)
    found = []
    for part in torch.split(values, sizes):
        first, second = part[:-1], part[1:]
        relative = (first - second) / (first.abs() + second.abs() + 1e-6)
        found.append(_unless_few(torch.nanquantile(part, at, dim=1).T, part).flatten())
        found.append(_unless_few(relative.nanmedian(dim=1).values[:, None], relative).flatten())
    return torch.cat(found)


def _unless_few(measured: Tensor, values: Tensor) -> Tensor:
    """Forget what was measured (rows, n) where too few of the pixels (rows, N) are known."""
    few = values.isfinite().sum(dim=1) < FEWEST_PIXELS
    return measured.masked_fill(few[:, None], torch.nan)


class WindowHistograms:
    """Histograms of what was measured of many windows, in a memory that stays the same.

    Attributes:
        counts: int64 (M, bins), windows; values beyond the bins are in the outer ones.
        windows: Windows that were counted.

    Args:
        groups: The images' feature groups.
    """

    def __init__(self, groups: Sequence[FeatureGroup]) -> None:
        self.groups = groups
        self.counts = torch.zeros(len(measures_of(groups)), BINS, dtype=torch.long)
        self.windows = 0

    def add(self, images: Tensor) -> None:
        """Count windows, floating (B, C, H, W), scaled."""
        for image in images:
            measured = measure_window(image, self.groups).cpu()
            place = (measured - LOWEST) / (HIGHEST - LOWEST) * BINS
            bins = place.nan_to_num(0).clamp(0, BINS - 1).long()[:, None]
            self.counts.scatter_add_(1, bins, measured.isfinite().long()[:, None])
        self.windows += len(images)


def quantile_of(counts: Tensor, share: float, upper: bool = False) -> Tensor:
    """Read quantiles from histograms.

    Args:
        counts: int64 (M, bins).
        share: Which quantile.
        upper: Give the upper edge of its bin, not the lower one.

    Returns:
        float32 (M,); NaN where nothing was counted.
    """
    total = counts.sum(dim=1)
    reached = counts.cumsum(dim=1) >= (share * total).clamp(min=1)[:, None]
    bins = reached.long().argmax(dim=1)
    values = LOWEST + (bins + int(upper)) * ((HIGHEST - LOWEST) / BINS)
    return values.float().masked_fill(total == 0, torch.nan)
