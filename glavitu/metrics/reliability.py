"""Reliability of confidence: how often pixels of a given confidence are right."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from glavitu.classes import GLACIER
from glavitu.classes import UNKNOWN as UNKNOWN_CLASS
from glavitu.errors import InputError
from glavitu.metrics.region_confusion import most_probable
from glavitu.models.entropy import confidence
from glavitu.regions import UNKNOWN

#: Number of bins that streaming keeps: 10, 20, 50, 100, ... bins follow from them exactly.
RESOLUTION = 1000

#: Confidences are summed as integers in units of 1 / SCALE, so that neither the order of the tiles
#: nor the number of processes changes a sum. There is room for 5e11 pixels.
SCALE = 2**24

#: Pixels whose histogram is made at once, which bounds the memory.
CHUNK = 2**20


def bin_index(values: Tensor, bins: int) -> Tensor:
    """Return which of equal bins of [0, 1] each value lies in.

    Bin i holds [i / bins, (i + 1) / bins), the last one 1 too: 0.1 belongs to the bin above it.

    Args:
        values: Floating, any shape, in [0, 1].
        bins: Number of bins.

    Returns:
        int64, the shape of ``values``, in [0, bins).
    """
    edges = torch.arange(bins + 1, dtype=values.dtype, device=values.device) / bins
    index = (values * bins).long().clamp_(0, bins - 1)
    # The product rounds, so it can be off by one at an edge.
    index -= (values < edges[index]).long()
    index += (values >= edges[index + 1]).long()
    return index.clamp_(0, bins - 1)


class ReliabilityHistogram(NamedTuple):
    """Pixels in equal bins of confidence, the last dimension; others, such as regions, lead.

    Attributes:
        counts: int64 (..., bins), number of pixels.
        confidence_sums: float64 (..., bins), sum of their confidences.
        correct: int64 (..., bins), how many of them are classified right.
    """

    counts: Tensor
    confidence_sums: Tensor
    correct: Tensor

    @property
    def confidence(self) -> Tensor:
        """Mean confidence, float64 (..., bins); NaN where a bin is empty."""
        return self.confidence_sums / self.counts

    @property
    def accuracy(self) -> Tensor:
        """Share of right pixels, float64 (..., bins); NaN where a bin is empty."""
        return self.correct.double() / self.counts

    def rebin(self, bins: int) -> "ReliabilityHistogram":
        """Merge neighbouring bins, which is exact.

        Args:
            bins: Number of bins, a divisor of the present one. The published reliability diagram
                has 10.

        Raises:
            InputError: If ``bins`` is no divisor.
        """
        present = self.counts.shape[-1]
        if bins < 1 or present % bins:
            raise InputError(
                f"a histogram of {present} bins cannot be merged into {bins}; give a divisor of "
                f"{present}, such as 10 or 100"
            )
        return ReliabilityHistogram(
            *(values.reshape(*values.shape[:-1], bins, -1).sum(-1) for values in self)
        )

    def expected_calibration_error(self, bins: int = 100) -> Tensor:
        """Mean over pixels of how far mean confidence and accuracy of their bin differ (ECE).

        Args:
            bins: Number of bins, a divisor of the present one; 100 as published (Maslov et al.
                2025).

        Returns:
            float64 (...) in [0, 1]; NaN where there are no pixels.
        """
        merged = self.rebin(bins)
        gaps = (merged.confidence_sums - merged.correct).abs().sum(-1)
        return gaps / merged.counts.sum(-1)

    def maximum_calibration_error(self, bins: int = 100) -> Tensor:
        """Largest difference of mean confidence and accuracy of a bin with pixels (MCE).

        A bin with few pixels counts as much as a full one, so that it is noisy.

        Args:
            bins: Number of bins, a divisor of the present one.

        Returns:
            float64 (...) in [0, 1]; NaN where there are no pixels.
        """
        merged = self.rebin(bins)
        largest = (merged.confidence - merged.accuracy).abs().nan_to_num(-1.0).amax(-1)
        return torch.where(largest < 0, torch.nan, largest)

    def recalibrated(self, curve: Callable[[Tensor], Tensor]) -> "ReliabilityHistogram":
        """Map the confidences through a curve and sort the pixels into bins again.

        All pixels of a bin move together, as if each had the bin's mean confidence. With 1000 bins
        this differs little from mapping each pixel; a curve that is steep inside a bin loses
        that detail.

        Args:
            curve: Maps confidence to confidence, both in [0, 1], elementwise, such as a
                :class:`~glavitu.confidence.curves.ConfidenceCurve`.
        """
        mapped = curve(self.confidence).nan_to_num(0.0)  # bins without pixels
        index = bin_index(mapped, self.counts.shape[-1])
        moved = (self.counts, mapped * self.counts, self.correct)
        return ReliabilityHistogram(
            *(torch.zeros_like(values).scatter_add_(-1, index, values) for values in moved)
        )


class Reliability(Metric):
    """Streams the reliability histogram of raw confidence, and the Brier score, per region.

    Raw confidence is 1 - H (:func:`~glavitu.models.entropy.confidence`), and a pixel is right where
    the most probable class is the true one. The state is summed over processes and is exact.

    Args:
        rows: Number of groups of tiles that are kept apart, by default the 11 regions and the
            unknown one.

    Example:
        >>> import torch
        >>> metric = Reliability()
        >>> probabilities = torch.tensor([[[[0.0, 1.0]], [[1.0, 0.0]]]])
        >>> metric.update(probabilities, torch.tensor([[[1, 1]]]), region=torch.tensor([5]))
        >>> round(metric.histogram().expected_calibration_error(bins=100).item(), 3)
        0.5
        >>> metric.brier_score().item()
        0.5
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    counts: Tensor
    confidence_sums: Tensor
    correct: Tensor
    squared_errors: Tensor

    def __init__(self, rows: int = UNKNOWN + 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # All are integers, which every device can add.
        for name in ("counts", "confidence_sums", "correct"):
            zeros = torch.zeros(rows, RESOLUTION, dtype=torch.long)
            self.add_state(name, default=zeros, dist_reduce_fx="sum")
        zeros = torch.zeros(rows, dtype=torch.long)
        self.add_state("squared_errors", default=zeros, dist_reduce_fx="sum")

    def update(self, probabilities: Tensor, mask: Tensor, region: Tensor) -> None:
        """Count a batch of tiles without their padding; memory stays bounded however large.

        Args:
            probabilities: float (B, classes, H, W), class probabilities. Pixels where one is NaN
                are left out.
            mask: int (B, H, W), true classes, on the same device. Pixels where they are unknown,
                255, are left out.
            region: int64 (B,), region indices, 11 for unknown; or indices of other groups.
        """
        region = region.to(self.counts.device)
        rows = max(1, CHUNK // max(1, mask.shape[-1]))
        for index, (tile, true) in enumerate(zip(probabilities, mask, strict=True)):
            of = region[index : index + 1]
            for part, truth in zip(tile.split(rows, dim=1), true.split(rows), strict=True):
                self._count(part.flatten(1), truth.flatten(), of)

    def _count(self, probabilities: Tensor, true: Tensor, region: Tensor) -> None:
        sure = confidence(probabilities, dim=0)
        unknown = sure.isnan() | (true == UNKNOWN_CLASS)
        # Pixels that are unknown go to a bin of their own, which is dropped.
        index = bin_index(sure.nan_to_num(0.0), RESOLUTION).masked_fill_(unknown, RESOLUTION)
        predicted = most_probable(probabilities, 0)
        additions = {
            "counts": torch.ones_like(index),
            "confidence_sums": (sure * SCALE).round().long(),
            "correct": (predicted == true).long(),
        }
        for name, values in additions.items():
            binned = torch.zeros(1, RESOLUTION + 1, dtype=torch.long, device=index.device)
            binned[0].scatter_add_(0, index, values)
            state = getattr(self, name)
            state.index_add_(0, region, binned[:, :-1].to(state.device))
        squared = _squared_errors(probabilities, true).masked_fill_(unknown, 0)
        units = (squared.sum(dtype=torch.float64) * SCALE).round().long()
        self.squared_errors.index_add_(0, region, units[None].to(region.device))

    def compute(self) -> tuple[ReliabilityHistogram, Tensor]:
        """Return the histogram, (rows, 1000), and the sums of squared errors, float64 (rows,).

        Both are of all regions on the CPU.
        """
        sums = self.confidence_sums.cpu().double() / SCALE
        histogram = ReliabilityHistogram(self.counts.cpu(), sums, self.correct.cpu())
        return histogram, self.squared_errors.cpu().double() / SCALE

    def histogram(self, per_region: bool = False) -> ReliabilityHistogram:
        """Return the histogram of all pixels, (1000,), or of each region, (12, 1000)."""
        histogram, _ = self.compute()
        if per_region:
            return histogram
        return ReliabilityHistogram(*(values.sum(0) for values in histogram))

    def brier_score(self, per_region: bool = False) -> Tensor:
        """Return the Brier score of all pixels, a scalar, or of each region, (12,).

        For two classes it is the mean of (p - t)^2, p the probability of the glacier and t 1 on
        the glacier and 0 elsewhere, in [0, 1]. For more it is the mean of its sum over all
        classes, in [0, 2]. It is that of the uncalibrated probabilities.

        Returns:
            float64; NaN where there are no pixels.
        """
        histogram, squared = self.compute()
        pixels = histogram.counts.sum(-1)
        return squared / pixels if per_region else squared.sum() / pixels.sum()


def _squared_errors(probabilities: Tensor, true: Tensor) -> Tensor:
    """Squared errors of probabilities (classes, n) summed over the classes, (n,)."""
    number = len(probabilities)
    errors = torch.zeros_like(probabilities[0])
    for index in [GLACIER] if number == 2 else range(number):
        errors += (probabilities[index] - (true == index).to(errors)).square()
    return errors
