"""Files side by side: where the first has no data, the next one counts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from glavitu.arrays import FloatArray
from glavitu.rasters.grid import (
    GRID_TOLERANCE,
    Grid,
    pixels_between,
)
from glavitu.rasters.raster_file import RasterFile
from glavitu.rasters.warping import Warped
from glavitu.windows import Window, intersection


@dataclass(frozen=True)
class Aligned:
    """A file whose pixels are pixels of the grid, read as they are.

    Attributes:
        file: The file.
        extent: Where it is on the grid; it may reach beyond.
        flipped: Whether its first row is the southernmost.
    """

    file: RasterFile
    extent: Window
    flipped: bool = False

    def read(self, window: Window) -> FloatArray:
        """Read a window inside the extent, float32 (bands, h, w), NaN where missing."""
        row = window.row - self.extent.row
        if self.flipped:
            row = self.extent.height - row - window.height
        values = self.file.read(window._replace(row=row, col=window.col - self.extent.col))
        # PyTorch cannot hold what runs backwards in memory.
        return np.ascontiguousarray(values[:, ::-1]) if self.flipped else values


class Mosaic:
    """Some channels of a group on a grid, from one file or several.

    Args:
        files: Files with the same number of bands, those that count most first.
        grid: The target.

    Attributes:
        files: Those of the files that are on the grid.
        scaled: Whether all hold values in the model's range already.
    """

    def __init__(self, files: Sequence[RasterFile], grid: Grid) -> None:
        self.grid = grid
        self.channels = len(files[0].bands)
        self._placed = [placed for file in files for placed in place(file, grid)]
        self.files = tuple(dict.fromkeys(placed.file for placed in self._placed))
        self.scaled = all(file.scaled for file in files)

    def read(self, window: Window) -> FloatArray:
        """Read a window inside the grid, float32 (channels, h, w), NaN where missing."""
        result: FloatArray | None = None
        for placed in self._placed:
            assert placed.extent is not None
            part = intersection(window, placed.extent)
            if part is None:
                continue
            if part == window and result is None:
                result = placed.read(window)
                continue
            if result is None:
                result = self._nothing(window)
            top, left = part.row - window.row, part.col - window.col
            room = result[:, top : top + part.height, left : left + part.width]
            empty = np.isnan(room)
            if empty.any():
                np.copyto(room, placed.read(part), where=empty)
        return self._nothing(window) if result is None else result

    def part(self, numbers: Sequence[int]) -> "Mosaic":
        """Return the mosaic with some of its channels, by their index."""
        return Mosaic([file.part(numbers) for file in self.files], self.grid)

    def block_row_bytes(self) -> int:
        """Return how much memory a row of the files' blocks takes, across the grid."""
        extents = [placed.extent for placed in self._placed if placed.extent is not None]
        sizes = [placed.file.block_row_bytes for placed in self._placed]
        return max(
            sum(
                size
                for extent, size in zip(extents, sizes, strict=True)
                if extent.row <= row < extent.row + extent.height
            )
            for row in {extent.row for extent in extents}
        )

    def _nothing(self, window: Window) -> FloatArray:
        return np.full((self.channels, window.height, window.width), np.nan, dtype=np.float32)


def place(file: RasterFile, grid: Grid) -> list[Aligned | Warped]:
    """Find how a file is read on a grid.

    Args:
        file: The file.
        grid: The target.

    Returns:
        Nothing if it lies elsewhere; two where it goes around the Earth and the grid lies across
        its seam.
    """
    aligned = _aligned(file, grid)
    if aligned is not None:
        inside = intersection(aligned.extent, Window(0, 0, *grid.shape))
        return [] if inside is None else [aligned]
    turns = (0, -1, 1) if file.grid.crs.is_geographic else (0,)
    warped = [Warped(file, grid, turn) for turn in turns]
    return [placed for placed in warped if placed.extent is not None]


def _aligned(file: RasterFile, grid: Grid) -> Aligned | None:
    if file.grid.crs != grid.crs:
        return None
    matrix = pixels_between(grid, file.grid)
    flipped = bool(matrix[1, 1] < 0)
    drift = np.abs(matrix[:2, :2] - np.diag([1, -1 if flipped else 1])) * max(file.grid.shape)
    col, row = matrix[:2, 2]
    if flipped:
        row -= file.grid.height
    off = max(abs(row - round(row)), abs(col - round(col)))
    if max(drift.max(), off) > GRID_TOLERANCE:
        return None
    return Aligned(file, Window(round(row), round(col), *file.grid.shape), flipped)
