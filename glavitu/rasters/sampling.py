"""Parts of rasters that are looked at before all of them are read."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import rasterio.warp

from glavitu.rasters.grid import Grid, coordinates
from glavitu.rasters.looks import Look, look_at
from glavitu.rasters.raster_file import RasterFile
from glavitu.rasters.values import ENOUGH, Finding, findings
from glavitu.windows import Window, intersection

#: Side of a part in pixels.
SIDE = 64

#: Parts along each side of a raster; where these hold too little, and where files are many.
PARTS, MORE, FEWER = 4, 12, 2

#: Files of a group above which fewer parts of each are looked at.
MANY = 16

#: Points along each side of a grid by which its place in a file is found.
POINTS = 33

#: Rows that are read at once where all are.
STRIP = 512


def sampled_findings(parts: Sequence[Sequence[RasterFile]], grid: Grid) -> Iterator[Finding]:
    """Look at a sample of the files of a group, where they lie on a grid.

    Args:
        parts: Files of each part of the group's channels, those that count most first.
        grid: The grid.

    Yields:
        What is wrong or unusual with them.

    Raises:
        InputError: If a file is damaged.
    """

    def look(file: RasterFile) -> list[Look]:
        number = PARTS if max(map(len, parts)) <= MANY else FEWER
        looks = look_at(file, sample(file.grid, grid, number))
        if all(look.known < ENOUGH for look in looks):
            looks = look_at(file, sample(file.grid, grid, MORE))
        return looks

    return _findings(parts, look)


def all_findings(parts: Sequence[Sequence[RasterFile]]) -> Iterator[Finding]:
    """Look at all pixels of the files of a group.

    Arguments, what is given and errors are as for :func:`sampled_findings`.
    """
    return _findings(parts, lambda file: look_at(file, whole(file.grid)))


def _findings(
    parts: Sequence[Sequence[RasterFile]], look: Callable[[RasterFile], list[Look]]
) -> Iterator[Finding]:
    # Rules that compare channels need the files that have one each together.
    yield from findings([seen for files in parts for seen in look(files[0])])
    for files in parts:
        for file in files[1:]:
            yield from findings(look(file))


def sample(file: Grid, grid: Grid, number: int) -> list[Window]:
    """Choose parts of a file all over where it lies on a grid, its corners among them.

    Args:
        file: The file's grid.
        grid: The grid; the file's own for all of it.
        number: How many parts along each side.

    Returns:
        Windows of the file; none where it lies elsewhere.
    """
    place = _place(file, grid)
    if place is None:
        return []
    rows, cols = (
        np.unique(np.linspace(first, max(first, first + size - SIDE), number).astype(int)).tolist()
        for first, size in ((place.row, place.height), (place.col, place.width))
    )
    chosen = (intersection(Window(row, col, SIDE, SIDE), place) for row in rows for col in cols)
    return [part for part in chosen if part is not None]


def whole(file: Grid) -> list[Window]:
    """Divide a file into strips."""
    return [
        Window(row, 0, min(STRIP, file.height - row), file.width)
        for row in range(0, file.height, STRIP)
    ]


def _place(file: Grid, grid: Grid) -> Window | None:
    """Return the pixels of a file around those of a grid."""
    everything = Window(0, 0, *file.shape)
    if file == grid:
        return everything
    step = np.linspace(0, 1, POINTS)
    rows, cols = np.meshgrid(step * grid.height, step * grid.width, indexing="ij")
    x, y = coordinates(grid.transform, rows.ravel(), cols.ravel())
    if file.crs != grid.crs:
        there = rasterio.warp.transform(grid.crs, file.crs, x, y)
        x, y = np.asarray(there[0]), np.asarray(there[1])
    if file.crs.is_geographic:
        middle = float(file.transform.a * file.width / 2 + file.transform.c)
        x = middle + (x - middle + 180) % 360 - 180
    col, row = coordinates(~file.transform, y, x)
    known = np.isfinite(col) & np.isfinite(row)
    if not known.any():
        return None
    top, left = int(np.floor(row[known].min())), int(np.floor(col[known].min()))
    bottom, right = int(np.ceil(row[known].max())), int(np.ceil(col[known].max()))
    around = Window(top, left, max(1, bottom - top), max(1, right - left))
    return intersection(around, everything)
