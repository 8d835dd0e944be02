"""A raster brought onto another grid while it is read.

GDAL's warper would do, but three things of it show in a map: what a pixel becomes depends on the
chunk in which it is computed (the transformation is approximated and the scale guessed per chunk);
data grows by up to a pixel into what is missing; and decibels would be averaged as they are.
"""

from collections.abc import Iterator
from functools import lru_cache
from math import ceil
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from rasterio import CRS

from glavitu.arrays import DoubleArray, FloatArray
from glavitu.rasters.grid import (
    Grid,
    coordinates,
    transformer,
)
from glavitu.rasters.raster_file import RasterFile
from glavitu.windows import Window, intersection

#: Pixels of the grid between points that are transformed exactly; linear between them, the error
#: is the square of their distance by 8 earth radii: 5 mm for pixels of 30 m.
STEP = 16

#: Points along each side of a grid by which a file's place on it is found.
SEARCH_POINTS = 257

#: Height and width of what is sampled at once, so that memory does not grow with a window.
TILE = (128, 512)


class Warped:
    """A file on a grid that is not its own: bilinear, and averaged where the grid is coarser.

    A pixel of the grid is the mean of points within it, as many along each side as pixels of the
    file; one, its centre, where the grid is finer. A point has data if the file's pixel around it
    has, and is interpolated between the pixels with data beside it; a pixel has data if half of
    its points have. What a pixel becomes does not depend on the window it is read in, to the bit.

    Args:
        file: The file.
        grid: The target.
        turns: How many times 360 degrees lie between longitudes of the grid and of the file.

    Attributes:
        file: The file.
        extent: Part of the grid beyond which the file has nothing; None if that is all of it.
        samples: Points down and across a pixel of the grid.
    """

    def __init__(self, file: RasterFile, grid: Grid, turns: int = 0) -> None:
        self.file = file
        self.grid = grid
        self._turns = turns
        self._to_pixels = ~file.grid.transform
        self.extent, self.samples = self._search()

    def read(self, window: Window) -> FloatArray:
        """Read a window inside the extent, float32 (bands, h, w), NaN where missing."""
        result = np.full(
            (len(self.file.bands), window.height, window.width), np.nan, dtype=np.float32
        )
        for tile in _tiles(window, self.samples):
            top, left = tile.row - window.row, tile.col - window.col
            self._warp(tile, result[:, top : top + tile.height, left : left + tile.width])
        return result

    def _warp(self, tile: Window, result: FloatArray) -> None:
        down, across = self.samples
        rows, cols, around = self._points(
            _centres(tile.row, tile.height, down), _centres(tile.col, tile.width, across)
        )
        if around is None:
            return
        values = self.file.read(around)
        rows -= around.row
        cols -= around.col
        missing = np.isnan(values)
        holes = missing if missing.any() else None
        if holes is not None:
            values[holes] = 0
        points = _bilinear(values, holes, rows, cols)
        if down == across == 1:
            result[:] = points
            return
        cells = points.reshape(len(points), tile.height, down, tile.width, across)
        known = ~np.isnan(cells)
        count = np.count_nonzero(known, axis=(2, 4))
        # In double precision, in which the sum does not depend on its order.
        total = np.where(known, cells, 0).sum(axis=(2, 4), dtype=np.float64)
        enough = 2 * count >= down * across
        result[enough] = total[enough] / count[enough]

    def _points(
        self, rows: DoubleArray, cols: DoubleArray
    ) -> tuple[DoubleArray, DoubleArray, Window | None]:
        """Return where points of the grid are in the file, and the file's pixels around them."""
        down, below = np.divmod(rows / STEP, 1)
        right, beside = np.divmod(cols / STEP, 1)
        i, j = (down - down[0]).astype(int), (right - right[0]).astype(int)
        x, y = self._coordinates(
            (np.arange(i[-1] + 2) + down[0]) * STEP, (np.arange(j[-1] + 2) + right[0]) * STEP
        )
        nodes = coordinates(self._to_pixels, y, x)[::-1]
        around = _around(*nodes, self.file.grid)
        if around is None:
            return x, y, None
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
            points = points.reshape(len(rows), -1)[:, first : first + len(cols)]
            # The noise of transformations must not decide on which side of a pixel's edge it is.
            points = points * 2**20
            np.rint(points, out=points)
            points /= 2**20
            found.append(points)
        if self.file.grid.crs.is_geographic:
            corners = np.stack([x[:-1, :-1], x[1:, :-1], x[:-1, 1:], x[1:, 1:]])
            torn = np.ptp(corners, axis=0) > 180  # around a pole there is no way between them
            found[0][torn[i][:, j]] = np.nan
        return found[0], found[1], around

    def _coordinates(self, rows: DoubleArray, cols: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
        """Transform each of some rows and columns of the grid to the file's coordinates."""
        x, y = _transformed(self.grid, self.file.grid.crs, rows, cols)
        return x + 360.0 * self._turns, y

    def _search(self) -> tuple[Window | None, tuple[int, int]]:
        """Return the part of the grid where the file is, and how many of its pixels are in one."""
        points = _search_points(self.grid, self.file.grid.crs)
        x = points.x + 360.0 * self._turns
        left, bottom = (np.min(place) for place in self.file.grid.outline(2))
        right, top = (np.max(place) for place in self.file.grid.outline(2))
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


def _bilinear(
    values: FloatArray, holes: npt.NDArray[np.bool_] | None, rows: DoubleArray, cols: DoubleArray
) -> FloatArray:
    """Interpolate at points, given in pixels from the first pixel's outer corner.

    Args:
        values: (bands, H, W).
        holes: Where they are missing (and 0), None for nowhere.
        rows: (h, w) of the points.
        cols: Likewise.

    Returns:
        (bands, h, w), NaN where the pixel around the point is missing or does not exist.
    """
    height, width = values.shape[1:]
    within = all(
        bool(np.min(place) >= 0.5 and np.max(place) < size - 0.5)
        for place, size in ((rows, height), (cols, width))
    )
    outside = None
    if not within:
        outside = ~((rows >= 0) & (rows < height) & (cols >= 0) & (cols < width))
        if outside.all():
            return np.full((len(values), *rows.shape), np.nan, dtype=np.float32)
        rows, cols = np.where(outside, 0, rows), np.where(outside, 0, cols)
    top, left = np.floor(rows - 0.5), np.floor(cols - 0.5)
    down, right = ((rows - 0.5) - top).astype(np.float32), ((cols - 0.5) - left).astype(np.float32)
    top, left = top.astype(np.intp), left.astype(np.intp)
    if within:
        corner = top * width + left
        corners = [(corner, away) for away in (0, 1, width, width + 1)]
    else:
        north, south = np.maximum(top, 0) * width, np.minimum(top + 1, height - 1) * width
        west, east = np.maximum(left, 0), np.minimum(left + 1, width - 1)
        corners = [(row + col, 0) for row in (north, south) for col in (west, east)]

    def between(bands: FloatArray) -> FloatArray:
        flat = bands.reshape(len(bands), -1)
        parts: list[FloatArray] = [flat[:, away:].take(place, axis=1) for place, away in corners]
        upper, upper_east, lower, lower_east = parts
        upper_east -= upper
        upper_east *= right
        upper += upper_east
        lower_east -= lower
        lower_east *= right
        lower += lower_east
        lower -= upper
        lower *= down
        upper += lower
        return upper

    points: FloatArray = between(values)
    if holes is not None:
        own = rows.astype(np.intp) * width + cols.astype(np.intp)
        lost = holes.reshape(len(holes), -1).take(own, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            points /= between((~holes).astype(np.float32))
        points[lost] = np.nan
    if outside is not None:
        points[:, outside] = np.nan
    return points


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


def _transformed(
    grid: Grid, crs: CRS, rows: DoubleArray, cols: DoubleArray
) -> tuple[DoubleArray, DoubleArray]:
    """Transform each of some rows and columns to another system; NaN where that cannot be.

    Longitudes come without a jump, within 180 degrees of the middle of the grid.
    """
    x, y = coordinates(grid.transform, *np.meshgrid(rows, cols, indexing="ij"))
    if crs != grid.crs:
        x, y = transformer(grid.crs, crs).transform(x, y)
        lost = ~(np.isfinite(x) & np.isfinite(y))
        x[lost] = y[lost] = np.nan
        if crs.is_geographic:
            middle = _middle_longitude(grid, crs)
            x = middle + (x - middle + 180.0) % 360.0 - 180.0
    return x, y


@lru_cache
def _middle_longitude(grid: Grid, crs: CRS) -> float:
    x, y = coordinates(grid.transform, np.array([grid.height / 2]), np.array([grid.width / 2]))
    longitude = float(transformer(grid.crs, crs).transform(x, y)[0][0])
    return longitude if np.isfinite(longitude) else 0.0


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
    x, y = _transformed(grid, crs, rows, cols)

    def largest_step(place: DoubleArray) -> float:
        steps = [np.abs(np.diff(place, axis=axis)) for axis in (0, 1)]
        return max(float(step[np.isfinite(step)].max(initial=0.0)) for step in steps)

    return _SearchPoints(rows, cols, x, y, largest_step(x), largest_step(y))
