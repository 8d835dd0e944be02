"""The ground under a grid: longitude and latitude, metres, and where north is."""

from functools import cached_property

import numpy as np
import pyproj

from glavitu.arrays import DoubleArray
from glavitu.rasters.grid import (
    Grid,
    coordinates,
    transformer,
)
from glavitu.windows import Window

#: Up to this share a projection may stretch or shrink and its own metres still count.
TRUE_TO_SCALE = 0.01

#: Height and width of squares of pixels that share one direction of north. It changes by the
#: pixels' distance from the square's middle over the distance to the pole: by 0.05 degrees for
#: pixels of 30 m at a latitude of 80 degrees.
SQUARE = 64

_GEOD = pyproj.Geod(ellps="WGS84")


class Ground:
    """Positions and distances on WGS 84 of a grid in any system.

    Args:
        grid: The grid.

    Raises:
        InputError: If its system has no known place on the Earth.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self._transformer = transformer(grid.crs)

    def degrees(self, rows: DoubleArray, cols: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
        """Return longitude and latitude of pixel coordinates (0 is a pixel's outer corner)."""
        longitude, latitude = self._transformer.transform(
            *coordinates(self.grid.transform, rows, cols)
        )
        return longitude, latitude

    def pixel_size(self, row: int, rows: int) -> tuple[DoubleArray, DoubleArray]:
        """Size of the pixels of some rows in metres, whatever the CRS.

        Where a projection is true to scale within 1 %, as UTM, national grids and polar
        stereographic near its standard parallel are, metres are the projection's own, so that
        slope is what GDAL computes. Where it stretches more, as Mercator does, or counts in
        degrees, they are measured on the ellipsoid along the scene's middle column. That they
        depend on the row alone keeps the borders of windows out of what is computed from them.

        Args:
            row: First row.
            rows: Number of rows.

        Returns:
            Width and height, each (rows, 1).
        """
        if self._own_size is None:
            return self._measured(np.arange(row, row + rows, dtype=np.float64) + 0.5)
        width, height = self._own_size
        return np.full((rows, 1), width), np.full((rows, 1), height)

    def north(self, window: Window) -> DoubleArray:
        """Direction of the first row, clockwise from true north.

        Args:
            window: Pixels of the grid.

        Returns:
            (h, w) in degrees, -180 to 180; 0 where up is north.
        """
        down = np.arange(window.row, window.row + window.height) // SQUARE
        right = np.arange(window.col, window.col + window.width) // SQUARE
        rows, cols = np.meshgrid(
            (np.arange(down[0], down[-1] + 1) + 0.5) * SQUARE,
            (np.arange(right[0], right[-1] + 1) + 0.5) * SQUARE,
            indexing="ij",
        )
        start, end = self.degrees(rows + 0.5, cols), self.degrees(rows - 0.5, cols)
        azimuth = np.asarray(_GEOD.inv(*start, *end)[0])
        return np.asarray(azimuth[down - down[0]][:, right - right[0]])

    @property
    def mirrored(self) -> bool:
        """Whether columns run to the west where rows run to the south, as in south-up rasters."""
        a, b, _, d, e, _ = self.grid.transform[:6]
        return bool(a * e - b * d > 0)

    @cached_property
    def _own_size(self) -> tuple[float, float] | None:
        if not self.grid.crs.is_projected:
            return None
        metres = self.grid.crs.linear_units_factor[1]
        a, b, _, d, e, _ = self.grid.transform[:6]
        own = float(np.hypot(a, d)) * metres, float(np.hypot(b, e)) * metres
        measured = self._measured(np.array([0.0, 0.5, 1.0]) * self.grid.height)
        stretch = [m / o - 1 for m, o in zip(measured, own, strict=True)]
        return own if np.abs(stretch).max() <= TRUE_TO_SCALE else None

    def _measured(self, rows: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
        cols: DoubleArray = np.full(rows.shape, self.grid.width / 2, dtype=np.float64)

        def metres(down: int, right: int) -> DoubleArray:
            start = self.degrees(rows - down / 2, cols - right / 2)
            end = self.degrees(rows + down / 2, cols + right / 2)
            return np.asarray(_GEOD.inv(*start, *end)[2])[:, None]

        return metres(0, 1), metres(1, 0)
