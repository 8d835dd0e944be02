"""Files side by side: where the first has no data, the next one counts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from affine import Affine

from glavitu.arrays import FloatArray
from glavitu.errors import InputError
from glavitu.rasters.grid import (
    GRID_TOLERANCE,
    Grid,
    extent_in_words,
    full_turn,
    horizontal,
    pixels_between,
)
from glavitu.rasters.raster_file import SCALED_TAG, RasterFile
from glavitu.rasters.warping import Warped, middle_longitude
from glavitu.windows import Window, intersection

#: Pixels of a file along one of the grid; all of these are in memory at once.
MOST_SAMPLES = 2048

#: Parts along each side of a grid by which it is told how much of it files reach.
COVERAGE_CELLS = 100


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

    @property
    def files(self) -> tuple[RasterFile, ...]:
        """The file."""
        return (self.file,)

    def block_row_bytes(self) -> int:
        """Return how much memory a row of the file's blocks takes."""
        return self.file.block_row_bytes

    def read(self, window: Window) -> FloatArray:
        """Read a window inside the extent, float32 (bands, h, w), NaN where missing."""
        row = window.row - self.extent.row
        if self.flipped:
            row = self.extent.height - row - window.height
        values = self.file.read(window._replace(row=row, col=window.col - self.extent.col))
        # PyTorch cannot hold what runs backwards in memory.
        return np.ascontiguousarray(values[:, ::-1]) if self.flipped else values


@dataclass(frozen=True)
class Neighbours:
    """Files on one lattice, which is not the grid's, read as one file that is warped.

    Attributes:
        files: The files.
        extent: Part of the grid beyond which they have nothing.
        own: The files on their lattice.
        warped: What is read.
    """

    files: tuple[RasterFile, ...]
    extent: Window
    own: "Mosaic"
    warped: Warped

    @classmethod
    def on(
        cls, files: Sequence[RasterFile], others: Sequence[RasterFile], grid: Grid
    ) -> "Neighbours | None":
        """Bring files onto a grid.

        Args:
            files: Files on one lattice, those that count most first.
            others: Files of other lattices that may lie beside them.
            grid: The target.

        Returns:
            None if they lie elsewhere.
        """
        own = Mosaic(files, _lattice(files), alone=True)
        warped = Warped(own, grid)
        if max(warped.samples) > MOST_SAMPLES:
            raise InputError(
                f"{files[0].name} has {max(warped.samples):,} pixels along one of the map's; bring "
                "it nearer to these first, for example: gdalwarp -r average -tr SIZE SIZE INPUT "
                "OUTPUT"
            )
        if others:
            # A pixel of the grid may reach this far beyond the files.
            reach = _wider(Window(0, 0, *own.grid.shape), max(warped.samples) + 2)
            own = Mosaic(files, _part(own.grid, reach), alone=True)
            warped = Warped(own, grid, Mosaic(others, own.grid, alone=True))
        return warped.extent and cls(tuple(files), warped.extent, own, warped)

    def read(self, window: Window) -> FloatArray:
        """Read a window inside the extent, float32 (bands, h, w), NaN where missing."""
        return self.warped.read(window)

    def block_row_bytes(self) -> int:
        """Return how much memory a row of the files' blocks takes."""
        return self.own.block_row_bytes()


class Mosaic:
    """Some channels of a group on a grid, from one file or several.

    Neighbours on one lattice are read as one file: what lies between the last pixel of one and the
    first of the next is interpolated between the two. So it is between neighbours of several
    lattices, each of which sees the others' pixels beyond its own edge.

    Args:
        files: Files with the same number of bands, those that count most first.
        grid: The target.
        alone: Leave the neighbours of other lattices out of what is interpolated.

    Attributes:
        grid: The target.
        bands: Numbers of the first file's bands.
        channels: How many there are.
        scaled: Whether all hold values in the model's range already.
    """

    def __init__(self, files: Sequence[RasterFile], grid: Grid, alone: bool = False) -> None:
        self.grid = grid
        self.bands = files[0].bands
        self.channels = len(self.bands)
        self.scaled = all(file.scaled for file in files)
        self._alone = alone
        self._moved = {turned: file for file in files for turned in turns_of(file, grid)}

    @cached_property
    def files(self) -> tuple[RasterFile, ...]:
        """Those of the files that are on the grid."""
        here = {self._moved[file] for placed in self._placed for file in placed.files}
        return tuple(file for file in dict.fromkeys(self._moved.values()) if file in here)

    @cached_property
    def _placed(self) -> list[Aligned | Neighbours]:
        return _placed(list(self._moved), self.grid, self._alone)

    @property
    def coverage(self) -> float:
        """About which part of the grid, from 0 to 1, the files reach, with or without data."""
        cells = np.zeros((COVERAGE_CELLS, COVERAGE_CELLS), dtype=bool)
        per_row, per_col = (COVERAGE_CELLS / size for size in self.grid.shape)
        for placed in self._placed:
            top, left, height, width = placed.extent
            rows = slice(max(0, round(top * per_row)), max(0, round((top + height) * per_row)))
            cols = slice(max(0, round(left * per_col)), max(0, round((left + width) * per_col)))
            cells[rows, cols] = True
        return float(cells.mean())

    def read(self, window: Window) -> FloatArray:
        """Read a window inside the grid, float32 (channels, h, w), NaN where missing."""
        result: FloatArray | None = None
        for placed in self._placed:
            part = intersection(window, placed.extent)
            if part is None:
                continue
            if part == window and result is None:
                result = placed.read(window)
                continue
            if result is None:
                result = self._nothing(window)
            rows, cols = part.slices_in(window)
            room = result[:, rows, cols]
            empty = np.isnan(room)
            if empty.any():
                np.copyto(room, placed.read(part), where=empty)
        return self._nothing(window) if result is None else result

    def part(self, numbers: Sequence[int]) -> "Mosaic":
        """Return the mosaic with some of its channels, by their index."""
        return Mosaic([file.part(numbers) for file in self.files], self.grid)

    def block_row_bytes(self) -> int:
        """Return how much memory a row of the files' blocks takes, across the grid."""
        sizes = [(placed.extent, placed.block_row_bytes()) for placed in self._placed]
        return max(
            sum(size for other, size in sizes if other.row <= extent.row < other.row + other.height)
            for extent, _ in sizes
        )

    def _nothing(self, window: Window) -> FloatArray:
        return np.full((self.channels, window.height, window.width), np.nan, dtype=np.float32)


def turns_of(file: RasterFile, grid: Grid) -> list[RasterFile]:
    """Return a file as often as it comes where a grid is, moved by full turns, without heights.

    Args:
        file: The file.
        grid: The target.

    Returns:
        One where it is not in degrees; two where it goes around the Earth and the grid
        lies across its seam; none that lies elsewhere.
    """
    turn = full_turn(file.grid.crs)
    if not turn:
        return [_moved(file, 0.0)]
    x, _ = file.grid.outline(2)
    if grid.crs == horizontal(file.grid.crs):
        wanted = grid.outline(2)[0]
        left, right = float(np.min(wanted)), float(np.max(wanted))
    else:
        middle = middle_longitude(grid, horizontal(file.grid.crs))
        left, right = middle - turn / 2, middle + turn / 2
    margin = abs(file.grid.transform.a) + abs(file.grid.transform.b)
    first = math.ceil((left - margin - float(np.max(x))) / turn)
    last = math.floor((right + margin - float(np.min(x))) / turn)
    # What it is at its own longitudes counts most.
    turns = sorted(range(first, last + 1), key=abs)
    return [_moved(file, number * turn) for number in turns]


def _moved(file: RasterFile, by: float) -> RasterFile:
    crs, there, shape = file.grid
    there = Affine.translation(by, 0) @ there if by else there
    return replace(file, grid=Grid(horizontal(crs), there, shape))


def _placed(files: Sequence[RasterFile], grid: Grid, alone: bool) -> list[Aligned | Neighbours]:
    """Find how files are read on a grid; those that lie elsewhere are left out."""
    whole = Window(0, 0, *grid.shape)
    found: list[Aligned | list[RasterFile]] = []
    extents: dict[RasterFile, Window] = {}
    for file in files:
        aligned = _aligned(file, grid)
        extent = Warped(file, grid).extent if aligned is None else aligned.extent
        if extent is None or intersection(extent, whole) is None:
            continue
        extents[file] = extent
        last = found[-1] if found else None
        if aligned is not None:
            found.append(aligned)
        elif isinstance(last, list) and _aligned(file, last[0].grid) is not None:
            last.append(file)
        else:
            found.append([file])
    placed: list[Aligned | Neighbours] = []
    for one in found:
        if isinstance(one, Aligned):
            placed.append(one)
            continue
        around = [_wider(extents[file]) for file in one]
        others = [
            file
            for file, extent in extents.items()
            if not alone and file not in one and any(intersection(extent, own) for own in around)
        ]
        neighbours = Neighbours.on(one, others, grid)
        if neighbours is not None:
            placed.append(neighbours)
    return placed


def _wider(window: Window, by: int = 1) -> Window:
    return Window(window.row - by, window.col - by, window.height + 2 * by, window.width + 2 * by)


def _lattice(files: Sequence[RasterFile]) -> Grid:
    """Return the grid of the pixels of files on one lattice."""
    first = files[0].grid
    extents = [aligned.extent for file in files if (aligned := _aligned(file, first))]
    row, col = min(e.row for e in extents), min(e.col for e in extents)
    bottom, right = max(e.row + e.height for e in extents), max(e.col + e.width for e in extents)
    return _part(first, Window(row, col, bottom - row, right - col))


def _part(grid: Grid, window: Window) -> Grid:
    there = grid.transform @ Affine.translation(window.col, window.row)
    return Grid(grid.crs, there, (window.height, window.width))


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


def mosaic_on(part: Sequence[RasterFile], grid: Grid) -> Mosaic:
    """Make a mosaic of files that must lie on a grid.

    Args:
        part: The files, those that count most first.
        grid: The target.

    Raises:
        InputError: If none overlaps it, or some hold scaled values and others not.
    """
    mosaic = Mosaic(part, grid)
    if not mosaic.files:
        more = f" (and {len(part) - 1} more files)" if len(part) > 1 else ""
        raise InputError(
            f"{part[0].name}{more} does not overlap the target grid: it spans "
            f"{extent_in_words(part[0].grid)}, the grid {extent_in_words(grid)}; give files of the "
            "same place, and check that their CRS is right"
        )
    if len({file.scaled for file in part}) > 1:
        scaled, other = (next(f.name for f in part if f.scaled is s) for s in (True, False))
        raise InputError(
            f"{scaled} has scaled values (tag {SCALED_TAG}), but {other} has not; give files of "
            "one kind"
        )
    return mosaic
