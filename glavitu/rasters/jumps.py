"""Elevation that jumps to one value between pixels, as where this value means missing."""

from dataclasses import dataclass, field

import numpy as np

from glavitu.arrays import FloatArray

#: Pixels of a value in a part of a file that make it frequent.
FREQUENT = 64

#: Metres that the ground does not rise between most pixels beside one value.
HIGH = 100.0

#: How many times as high as between other pixels.
STEEPER = 4.0


@dataclass
class Jumps:
    """How far elevation jumps to 0, and to the lowest and the highest value of parts of a file.

    Attributes:
        jumps: Differences to such a value between neighbours, by the value.
        steps: The usual difference between other neighbours in each part.
    """

    jumps: dict[float, list[FloatArray]] = field(default_factory=dict)
    steps: list[float] = field(default_factory=list)

    def add(self, values: FloatArray) -> None:
        """Look at (h, w) values, NaN where missing or not possible."""
        if not np.isfinite(values).any():
            return
        pairs = [(values[1:], values[:-1]), (values[:, 1:], values[:, :-1])]
        extremes = {0.0, float(np.nanmin(values)), float(np.nanmax(values))}
        ground = np.where(np.isin(values, list(extremes)), np.nan, values)
        steps = np.concatenate([np.abs(np.diff(ground, axis=axis)).ravel() for axis in (0, 1)])
        if np.any(steps > 0):
            self.steps.append(float(np.median(steps[steps > 0])))
        for value in extremes:
            if np.count_nonzero(values == value) >= FREQUENT or value in self.jumps:
                beside = [part for a, b in pairs for part in (b[a == value], a[b == value])]
                self.jumps.setdefault(value, []).append(np.abs(np.concatenate(beside) - value))

    def likely_missing(self, median: float) -> tuple[float, float] | None:
        """Find the value that seems to mean missing.

        Args:
            median: Of all values.

        Returns:
            The value and the usual jump to it in metres; None if there is none.
        """
        least = max(HIGH, STEEPER * float(np.median(self.steps or [0])))
        found = {}
        for value, parts in self.jumps.items():
            jumps = np.concatenate(parts)
            jumps = jumps[jumps > 0]
            if len(jumps) >= 8 and np.median(jumps) > least:
                found[value] = float(np.median(jumps))
        if not found:
            return None
        # Beside a value that means missing, a plain of one elevation jumps as well.
        value = max(found, key=lambda value: (value <= 0, value != median))
        return value, found[value]
