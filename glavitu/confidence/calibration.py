"""The calibration of a checkpoint: a curve for all regions, and curves of some regions' own."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from glavitu.confidence.curves import ConfidenceCurve, fit_curve
from glavitu.errors import InputError
from glavitu.metrics import ReliabilityHistogram
from glavitu.models.inference import Inference
from glavitu.regions import UNKNOWN, region_index, region_name

#: Said where confidence is written as it comes.
RAW_NOTICE = "The confidence is raw: the checkpoint is not calibrated; run `glavitu calibrate`."


@dataclass(frozen=True)
class Calibration:
    """Maps raw to calibrated confidence, in regions with a curve of their own by that.

    It belongs to the weights whose predictions it was fitted to.

    Attributes:
        curve: Of all pixels together.
        regions: Curves of regions by the region's index.
        inference: What the predictions were the mean of, in words; empty for single predictions.
    """

    curve: ConfidenceCurve
    regions: Mapping[int, ConfidenceCurve] = field(default_factory=dict)
    inference: str = ""

    @property
    def method(self) -> str:
        """How the curves were fitted, one of ``glavitu.confidence.curves.CALIBRATORS``."""
        return self.curve.method

    def __call__(self, raw: Tensor, region: int = UNKNOWN) -> Tensor:
        """Map raw confidence to calibrated confidence.

        Args:
            raw: Raw confidence of pixels of one region, floating, any shape, on any device.
            region: Index of the region; 11, unknown, and regions without a curve of their own take
                that of all pixels.

        Returns:
            The same shape, dtype and device, in [0, 1]; NaN where ``raw`` is NaN.
        """
        return self.regions.get(region, self.curve)(raw)

    def recalibrated(
        self, histogram: ReliabilityHistogram, regions: Sequence[int] | None = None
    ) -> ReliabilityHistogram:
        """Map the confidences of histograms.

        Args:
            histogram: Of several groups of pixels, (rows, bins).
            regions: Index of the region of each row; by default there is a row for each region.
        """
        regions = range(len(histogram.counts)) if regions is None else regions
        rows = [
            ReliabilityHistogram(*row).recalibrated(self.regions.get(region, self.curve))
            for region, *row in zip(regions, *histogram, strict=True)
        ]
        return ReliabilityHistogram(*map(torch.stack, zip(*rows, strict=True)))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for checkpoints and JSON; :meth:`from_dict` reads them."""
        regions = {region_name(index): curve.to_dict() for index, curve in self.regions.items()}
        return {"curve": self.curve.to_dict(), "regions": regions, "inference": self.inference}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Calibration":
        """Build a calibration from the values of :meth:`to_dict`.

        Raises:
            InputError: If they are not such values.
        """
        try:
            curve, own, inference = values["curve"], values["regions"], values["inference"]
            return cls(
                ConfidenceCurve.from_dict(curve),
                {region_index(code): ConfidenceCurve.from_dict(own[code]) for code in own},
                str(inference),
            )
        except (KeyError, TypeError) as error:
            raise InputError(
                "a stored calibration must have the keys curve, regions and inference; run "
                f"`glavitu calibrate` again ({error})"
            ) from error


def fit_calibration(
    method: str,
    histogram: ReliabilityHistogram,
    per_region: bool = False,
    inference: str = "",
) -> Calibration:
    """Fit a calibration to a reliability histogram.

    Args:
        method: ``'kernel_ridge'``, ``'isotonic'`` or ``'temperature'``.
        histogram: Of each region, (12, bins).
        per_region: Fit a curve to each region with pixels too, but not to the unknown one. A
            region whose pixels are too few for the method goes without.
        inference: What the predictions were the mean of, in words.

    Raises:
        InputError: If the method is unknown, or the pixels are too few for it.
    """
    curve = fit_curve(method, *(values.sum(0) for values in histogram))
    own = {}
    if per_region:
        for region in range(UNKNOWN):
            with suppress(InputError):
                own[region] = fit_curve(method, *(values[region] for values in histogram))
    return Calibration(curve, own, inference)


def describe_inference(inference: Inference) -> str:
    """Say what predictions are the mean of, empty for single predictions.

    Args:
        inference: Of a task.
    """
    words = ["tta"] * inference.symmetries
    if inference.dropout_runs:
        words.append(f"mc-dropout:{inference.dropout_runs}")
    if inference.checkpoints:
        words.append(f"ensemble of {1 + len(inference.checkpoints)}")
    return ", ".join(words)


def confidence_tag(calibration: Calibration | None) -> str:
    """Say what kind of confidence a raster holds: ``raw``, or ``calibrated (METHOD)``."""
    return "raw" if calibration is None else f"calibrated ({calibration.method})"
