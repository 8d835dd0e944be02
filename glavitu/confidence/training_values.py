"""What a model's training windows were like, and whether a scene is like them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from glavitu.confidence.window_measures import (
    Measure,
    WindowHistograms,
    measures_of,
    quantile_of,
)
from glavitu.errors import InputError
from glavitu.features import FeatureGroup

#: Share of the training windows on either side that a range leaves out: single odd windows.
LEFT_OUT = 0.005

#: How far beyond the range of the training a scene's typical window may be, in widths of the range.
#: docs/results.md has what this catches and how often it is wrong.
TOLERANCE = 0.2

#: Windows of a training that are too few to say what it was like.
FEWEST_WINDOWS = 64

#: The least width that distances are counted in: of relative differences, in which sensors differ
#: by as much, and of scaled channels, where all of a training may be of one value.
NARROWEST_DIFFERENCE, NARROWEST_CHANNEL = 0.1, 0.01


@dataclass(frozen=True)
class TrainingValues:
    """The range that each measure of a window had in training.

    Attributes:
        low: float32 (M,), as :func:`~glavitu.confidence.window_measures.measures_of` lists them.
        high: float32 (M,).
        windows: Windows that were counted; 0 for the published minima and maxima, of which a scene
            is not to be beyond at all.
    """

    low: Tensor
    high: Tensor
    windows: int

    @classmethod
    def counted(cls, histograms: WindowHistograms) -> "TrainingValues":
        """Take the ranges of the windows that were counted."""
        low = quantile_of(histograms.counts, LEFT_OUT)
        high = quantile_of(histograms.counts, 1 - LEFT_OUT, upper=True)
        return cls(low, high, histograms.windows)

    @classmethod
    def published(cls, groups: Sequence[FeatureGroup]) -> "TrainingValues":
        """Take the minima and maxima of feature groups as the range of the training."""
        low = torch.tensor([-1.0 if m.quantile is None else 0.0 for m in measures_of(groups)])
        return cls(low, torch.ones(len(low)), 0)

    def joined(self, other: "TrainingValues") -> "TrainingValues":
        """Join with the values of an earlier part of a training."""
        return TrainingValues(
            torch.fmin(self.low, other.low),
            torch.fmax(self.high, other.high),
            self.windows + other.windows,
        )

    @property
    def tolerance(self) -> float:
        """How far beyond the range a scene's typical window may be, in widths."""
        return TOLERANCE if self.windows else 0.0

    @property
    def enough(self) -> bool:
        """Whether they say what the training was like."""
        return not 0 < self.windows < FEWEST_WINDOWS

    def to_dict(self) -> dict[str, Any]:
        """Return plain values and tensors, for checkpoints."""
        return {"low": self.low, "high": self.high, "windows": self.windows}

    @classmethod
    def from_dict(
        cls, values: Mapping[str, Any], groups: Sequence[FeatureGroup]
    ) -> "TrainingValues":
        """Take the values of :meth:`to_dict`.

        Args:
            values: What a checkpoint holds.
            groups: Feature groups of its model.

        Raises:
            InputError: If they are not such values, or not of these groups.
        """
        try:
            low, high = (
                torch.as_tensor(values[key], dtype=torch.float32) for key in ("low", "high")
            )
            windows = int(values["windows"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise InputError(
                f"training_values must have the keys low, high and windows ({error}); take a "
                "checkpoint as `glavitu fit` wrote it"
            ) from error
        expected = (len(measures_of(groups)),)
        if not low.shape == high.shape == expected:
            raise InputError(
                f"training_values have the shapes {tuple(low.shape)} and {tuple(high.shape)}, but "
                f"the features want {expected}; take a checkpoint as `glavitu fit` wrote it"
            )
        return cls(low, high, windows)


class Difference(NamedTuple):
    """How a scene differs from the training in one measure.

    Attributes:
        measure: What was measured.
        distance: How far beyond the range of the training it is, in widths; 0 inside.
        typical: Its median over the scene's windows, scaled.
        low: Lower end of the range, scaled.
        high: Upper end, scaled.
    """

    measure: Measure
    distance: float
    typical: float
    low: float
    high: float

    @property
    def in_words(self) -> str:
        """Say it in the channel's unit."""
        measure = self.measure
        typical, low, high = (
            _rounded(measure.in_units(value)) for value in (self.typical, self.low, self.high)
        )
        name, channel = measure.group.name, measure.channel
        if measure.quantile is None:
            other = measure.following
            what = f"{name}: ({channel} - {other}) / ({channel} + {other})"
        else:
            what = f"{name} ({channel}): the {100 * measure.quantile:.0f} % quantile"
        return f"{what} is {typical} in a typical window here, and was {low} to {high}"


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if 100 <= abs(value) < 1e9 else f"{value:.3g}"


def differences(
    values: TrainingValues, measured: Tensor, groups: Sequence[FeatureGroup]
) -> list[Difference]:
    """Compare a scene with the training.

    Args:
        values: Of the training.
        measured: Float32 (windows, M), what was measured of windows of the scene.
        groups: Its feature groups.

    Returns:
        One for each channel and each pair of channels: of its quantiles the one that is farthest.
        Those that are known neither of the scene nor of the training are left out.
    """
    measures = measures_of(groups)
    narrowest = torch.tensor(
        [NARROWEST_DIFFERENCE if m.quantile is None else NARROWEST_CHANNEL for m in measures]
    )
    width = torch.maximum(values.high - values.low, narrowest)
    typical = measured.nanmedian(dim=0).values
    beyond = torch.maximum(values.low - typical, typical - values.high).clamp(min=0) / width
    farthest: dict[str, Difference] = {}
    numbers = (tensor.tolist() for tensor in (beyond, typical, values.low, values.high))
    for measure, *found in zip(measures, *numbers, strict=True):
        new = Difference(measure, *found)
        known = farthest.get(measure.name)
        if not math.isnan(new.distance) and (known is None or new.distance > known.distance):
            farthest[measure.name] = new
    return list(farthest.values())
