"""Statistics of raster values over the pixels of each polygon, gathered strip by strip."""

from typing import Any

import numpy as np
import numpy.typing as npt

from glavitu.arrays import DoubleArray

#: Numbers of polygons and of pixels' values, each (pixels,).
Numbers = npt.NDArray[np.int64]


class Mean:
    """Mean of each polygon's values, NaN without any."""

    def __init__(self, polygons: int) -> None:
        self.total = np.zeros(polygons)
        self.count = np.zeros(polygons)

    def add(self, polygon: Numbers, values: npt.NDArray[Any]) -> None:
        """Add values of some pixels, none missing, each of the polygon of that number."""
        self.total += np.bincount(polygon, weights=values, minlength=len(self.total))
        self.count += np.bincount(polygon, minlength=len(self.count))

    def compute(self) -> DoubleArray:
        """Return the means, (polygons,)."""
        with np.errstate(invalid="ignore"):
            mean: DoubleArray = self.total / self.count
        return mean


class Extremes:
    """Least and greatest value of each polygon, NaN without any."""

    def __init__(self, polygons: int) -> None:
        self.least = np.full(polygons, np.inf)
        self.greatest = np.full(polygons, -np.inf)

    def add(self, polygon: Numbers, values: npt.NDArray[Any]) -> None:
        """Add values of some pixels, none missing, each of the polygon of that number."""
        values = values.astype(np.float64)
        np.minimum.at(self.least, polygon, values)
        np.maximum.at(self.greatest, polygon, values)

    def compute(self) -> tuple[DoubleArray, DoubleArray]:
        """Return the least and the greatest values, each (polygons,)."""
        none = self.least > self.greatest
        return np.where(none, np.nan, self.least), np.where(none, np.nan, self.greatest)


class RoundedMedian:
    """Median of each polygon's values rounded to integers, so within 0.5; NaN without any.

    Values are counted, not kept: memory grows with the different values of each polygon. They must
    lie between -32768 and 32767, as elevations in metres do.
    """

    _BITS = 16
    _ZERO = 1 << (_BITS - 1)

    def __init__(self, polygons: int) -> None:
        self.polygons = polygons
        self._keys: list[Numbers] = []
        self._counts: list[Numbers] = []

    def add(self, polygon: Numbers, values: npt.NDArray[Any]) -> None:
        """Add values of some pixels, none missing, each of the polygon of that number."""
        rounded = np.clip(np.rint(values), -self._ZERO, self._ZERO - 1).astype(np.int64)
        keys, counts = np.unique(
            (polygon.astype(np.int64) << self._BITS) + rounded + self._ZERO, return_counts=True
        )
        self._keys.append(keys)
        self._counts.append(counts)

    def compute(self) -> DoubleArray:
        """Return the medians, (polygons,)."""
        median = np.full(self.polygons, np.nan)
        if not self._keys:
            return median
        keys, counts = np.concatenate(self._keys), np.concatenate(self._counts)
        order = np.argsort(keys, kind="stable")
        keys, reached = keys[order], np.cumsum(counts[order])
        polygon, value = keys >> self._BITS, (keys & ((1 << self._BITS) - 1)) - self._ZERO
        bounds = np.searchsorted(polygon, np.arange(self.polygons + 1))
        before = np.concatenate([[0], reached])[bounds]
        some = np.flatnonzero(np.diff(before))
        low, high = (
            value[np.searchsorted(reached, before[some] + half, side="right")]
            for size in [np.diff(before)[some]]
            for half in ((size - 1) // 2, size // 2)
        )
        median[some] = (low + high) / 2
        return median
