"""A raster brought onto another grid while it is read.

GDAL's warper would do, but three things of it show in a map: what a pixel becomes depends on the
chunk in which it is computed (the transformation is approximated and the scale guessed per chunk);
data grows by up to a pixel into what is missing; and decibels would be averaged as they are.
"""

from collections.abc import Iterator
from functools import lru_cache
from math import ceil
from typing import NamedTuple, Protocol

import numpy as np
from rasterio import CRS

from glavitu.arrays import BoolArray, DoubleArray, FloatArray
from glavitu.rasters.bilinear import bilinear, pixels_at
from glavitu.rasters.grid import (
    Grid,
    coordinates,
    full_turn,
    transformer,
)
from glavitu.windows import Window, intersection

#: Pixels of the grid between points that are transformed exactly; linear between them, the error
#: is the square of their distance by 8 earth radii: 5 mm for pixels of 30 m.
STEP = 16

#: Where the error is more than this part of a file's pixel, as around a pole, all are exact.
BENT = 0.05

#: Points along each side of a grid by which a file's place on it is found.
SEARCH_POINTS = 257

#: Height and width of what is sampled at once, so that memory does not grow with a window.
TILE = (128, 512)

#: Pixels of a file read at once; around a pole those of a tile may lie all around the Earth.
MOST_PIXELS = 2**21


class Source(Protocol):
    """Pixels of a grid: a file, or several as one.

    Attributes:
        grid: Their place.
        bands: Numbers of their bands.
    """

    @property
    def grid(self) -> Grid:
        """Their place."""

    @property
    def bands(self) -> tuple[int, ...]:
        """Numbers of their bands."""

    def read(self, window: Window) -> FloatArray:
        """Read a window inside the grid, float32 (bands, h, w), NaN where missing."""


class Warped:
    """A file on a grid that is not its own: bilinear, and averaged where the grid is coarser.

    A pixel of the grid is the mean of points within it, as many along each side as pixels of the
    file; one, its centre, where the grid is finer. A point has data if the file's pixel around it
    has, and is interpolated between the pixels with data beside it; a pixel has data if half of
    its points have. What a pixel becomes does not depend on the window it is read in, to the bit.

    Args:
        source: The file, or several on one lattice.
        grid: The target.
        beyond: What lies beside the source, on its grid: pixels between the last of a file and the
            first of its neighbour are interpolated between them. They belong to the source where
            the pixel around a point does, or some of a pixel's points.

    Attributes:
        source: The source.
        extent: Part of the grid beyond which the source has nothing; None if that is all of it.
        samples: Points down and across a pixel of the grid.
    """

    def __init__(self, source: Source, grid: Grid, beyond: Source | None = None) -> None:
        self.source = source
        self.grid = grid
        self._beyond = beyond
        self._to_pixels = ~source.grid.transform
        self.extent, self.samples = self._search()

    def read(self, window: Window) -> FloatArray:
        """Read a window inside the extent, float32 (bands, h, w), NaN where missing."""
        result = np.full(
            (len(self.source.bands), window.height, window.width), np.nan, dtype=np.float32
        )
        for tile in _tiles(window, self.samples):
            top, left = tile.row - window.row, tile.col - window.col
            self._warp(tile, result[:, top : top + tile.height, left : left + tile.width])
        return result

    def _warp(self, tile: Window, result: FloatArray) -> None:
        down, across = self.samples
        rows, cols = self._points(
            _centres(tile.row, tile.height, down), _centres(tile.col, tile.width, across)
        )
        around = _around(rows, cols, self.source.grid)
        if around is None:
            return
        if around.height * around.width > MOST_PIXELS and max(tile.height, tile.width) > 1:
            for part in _halves(tile):
                self._warp(part, result[(slice(None), *part.slices_in(tile))])
            return
        values = self.source.read(around)
        rows -= around.row
        cols -= around.col
        missing = np.isnan(values)
        own = None
        if self._beyond is not None and missing.any() and not missing.all():
            own = ~missing
            np.copyto(values, self._beyond.read(around), where=missing)
            missing = np.isnan(values)
        holes = missing if missing.any() else None
        if holes is not None:
            values[holes] = 0
        points = bilinear(values, holes, rows, cols)
        owned = None if own is None else pixels_at(own, rows, cols)
        if down == across == 1:
            if owned is not None:
                points[~owned] = np.nan
            result[:] = points
            return
        cells = points.reshape(len(points), tile.height, down, tile.width, across)
        known = ~np.isnan(cells)
        count = np.count_nonzero(known, axis=(2, 4))
        # In double precision, in which the sum does not depend on its order.
        total = np.where(known, cells, 0).sum(axis=(2, 4), dtype=np.float64)
        enough = 2 * count >= down * across
        if owned is not None:
            enough &= owned.reshape(cells.shape).any(axis=(2, 4))
        result[enough] = total[enough] / count[enough]

    def _points(self, rows: DoubleArray, cols: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
        """Return where points of the grid are in the file; NaN where they are nowhere."""
        down, below = np.divmod(rows / STEP, 1)
        right, beside = np.divmod(cols / STEP, 1)
        i, j = (down - down[0]).astype(int), (right - right[0]).astype(int)
        steps = np.arange(i[-1] + 2) + down[0], np.arange(j[-1] + 2) + right[0]
        nodes = self._pixels(*np.meshgrid(steps[0] * STEP, steps[1] * STEP, indexing="ij"))
        below = below[:, None]
        # All points between two nodes side by side, so that none has to be looked up.
        between = STEP * self.samples[1]
        first = int(np.rint(cols[0] * self.samples[1] - 0.5)) % between
        share = np.zeros((j[-1] + 1) * between)
        share[first : first + len(cols)] = beside
        share = share.reshape(-1, between)
        found = []
        for node in nodes:
            line = node[i] * (1 - below) + node[i + 1] * below
            points = line[:, :-1, None] * (1 - share) + line[:, 1:, None] * share
            found.append(points.reshape(len(rows), -1)[:, first : first + len(cols)])
        bent = self._bent(steps[0][:-1], steps[1][:-1], nodes)
        if bent.any():
            place = np.nonzero(bent[i][:, j])
            exact = self._pixels(rows[place[0]], cols[place[1]])
            for points, value in zip(found, exact, strict=True):
                points[place] = value
        # The noise of transformations must not decide on which side of a pixel's edge it is.
        for points in found:
            points *= 2**20
            np.rint(points, out=points)
            points /= 2**20
        return found[0], found[1]

    def _bent(
        self, rows: DoubleArray, cols: DoubleArray, nodes: tuple[DoubleArray, DoubleArray]
    ) -> BoolArray:
        """Tell in which cells between nodes the way from one to the next is not straight."""
        if self.source.grid.crs == self.grid.crs:
            return np.zeros((len(rows), len(cols)), dtype=bool)
        middles = self._pixels(
            *np.meshgrid((rows + 0.5) * STEP, (cols + 0.5) * STEP, indexing="ij")
        )
        straight = np.ones((len(rows), len(cols)), dtype=bool)
        nowhere = straight.copy()
        for node, middle in zip(nodes, middles, strict=True):
            corners = np.stack([node[:-1, :-1], node[1:, :-1], node[:-1, 1:], node[1:, 1:]])
            # Where something is unknown, this is false.
            straight &= np.abs(corners.mean(axis=0) - middle) <= BENT
            nowhere &= np.isnan(corners).all(axis=0) & np.isnan(middle)
        return ~(straight | nowhere)

    def _pixels(self, rows: DoubleArray, cols: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
        """Transform points of the grid to rows and columns of the file."""
        x, y = _transformed(self.grid, self.source.grid.crs, rows, cols)
        in_cols, in_rows = coordinates(self._to_pixels, y, x)
        return in_rows, in_cols

    def _search(self) -> tuple[Window | None, tuple[int, int]]:
        """Return the part of the grid where the file is, and how many of its pixels are in one."""
        points = _search_points(self.grid, self.source.grid.crs)
        x = points.x
        left, bottom = (np.min(place) for place in self.source.grid.outline(2))
        right, top = (np.max(place) for place in self.source.grid.outline(2))
        near = (x > left - points.step_x) & (x < right + points.step_x)
        near &= (points.y > bottom - points.step_y) & (points.y < top + points.step_y)
        if not near.any():
            return None, (1, 1)
        in_cols, in_rows = coordinates(self._to_pixels, points.y, x)
        spans, samples = [], []
        for axis, place in enumerate((points.rows, points.cols)):
            at = np.flatnonzero(near.any(axis=1 - axis))
            first = int(place[max(0, at[0] - 1)])
            spans.append((first, ceil(place[min(len(place) - 1, at[-1] + 1)]) - first))
            pixels = np.hypot(np.diff(in_rows, axis=axis), np.diff(in_cols, axis=axis))
            pixels = pixels[np.delete(near, -1, axis=axis) & np.isfinite(pixels)]
            # The median, because beside a pole there are pixels without number.
            samples.append(float(np.median(pixels)) / (place[1] - place[0]) if len(pixels) else 1.0)
        (row, height), (col, width) = spans
        down, across = (max(1, ceil(count - 0.1)) for count in samples)
        return Window(row, col, height, width), (down, across)


def _centres(first: int, count: int, samples: int) -> DoubleArray:
    # Counted from the grid's corner, not the window's, so that rounding is the same in all windows.
    return np.asarray((np.arange(first * samples, (first + count) * samples) + 0.5) / samples)


def _tiles(window: Window, samples: tuple[int, int]) -> Iterator[Window]:
    height, width = (max(1, size // count) for size, count in zip(TILE, samples, strict=True))
    for row in range(window.row, window.row + window.height, height):
        for col in range(window.col, window.col + window.width, width):
            yield Window(
                row,
                col,
                min(height, window.row + window.height - row),
                min(width, window.col + window.width - col),
            )


def _around(rows: DoubleArray, cols: DoubleArray, grid: Grid) -> Window | None:
    """Return the pixels of a file that interpolation between points can need."""
    known = np.isfinite(rows) & np.isfinite(cols)
    if not known.any():
        return None
    top, left = int(np.min(rows[known])) - 2, int(np.min(cols[known])) - 2
    bottom, right = ceil(np.max(rows[known])) + 2, ceil(np.max(cols[known])) + 2
    return intersection(
        Window(top, left, bottom - top, right - left), Window(0, 0, grid.height, grid.width)
    )


def _halves(window: Window) -> tuple[Window, Window]:
    row, col, height, width = window
    if height >= width:
        upper = height // 2
        return Window(row, col, upper, width), Window(row + upper, col, height - upper, width)
    left = width // 2
    return Window(row, col, height, left), Window(row, col + left, height, width - left)


def _transformed(
    grid: Grid, crs: CRS, rows: DoubleArray, cols: DoubleArray
) -> tuple[DoubleArray, DoubleArray]:
    """Transform points of a grid to another system; NaN where that cannot be.

    Longitudes come without a jump, within half a turn of the middle of the grid.
    """
    x, y = coordinates(grid.transform, rows, cols)
    if crs != grid.crs:
        x, y = transformer(grid.crs, crs).transform(x, y)
        lost = ~(np.isfinite(x) & np.isfinite(y))
        x[lost] = y[lost] = np.nan
        turn = full_turn(crs)
        if turn:
            middle = middle_longitude(grid, crs)
            x = middle + (x - middle + turn / 2) % turn - turn / 2
    return x, y


@lru_cache
def middle_longitude(grid: Grid, crs: CRS) -> float:
    """Return the x of the middle of a grid in another system; 0 if that cannot be."""
    x, y = coordinates(grid.transform, np.array([grid.height / 2]), np.array([grid.width / 2]))
    if crs != grid.crs:
        x = transformer(grid.crs, crs).transform(x, y)[0]
    return float(x[0]) if np.isfinite(x[0]) else 0.0


class _SearchPoints(NamedTuple):
    """Points all over a grid in a file's system, and the largest steps between them."""

    rows: DoubleArray
    cols: DoubleArray
    x: DoubleArray
    y: DoubleArray
    step_x: float
    step_y: float


@lru_cache(maxsize=4)
def _search_points(grid: Grid, crs: CRS) -> _SearchPoints:
    rows, cols = (np.linspace(0, size, min(size + 1, SEARCH_POINTS)) for size in grid.shape)
    x, y = _transformed(grid, crs, *np.meshgrid(rows, cols, indexing="ij"))

    def largest_step(place: DoubleArray) -> float:
        steps = [np.abs(np.diff(place, axis=axis)) for axis in (0, 1)]
        return max(float(step[np.isfinite(step)].max(initial=0.0)) for step in steps)

    return _SearchPoints(rows, cols, x, y, largest_step(x), largest_step(y))
