"""The grid of a map: the reference raster's own, or one in another CRS, resolution or extent."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
from affine import Affine
from rasterio.errors import CRSError

from glavitu.errors import InputError
from glavitu.files import as_name
from glavitu.outlines.read_polygons import read_polygons
from glavitu.rasters.grid import (
    GRID_TOLERANCE,
    Grid,
    check_bounds,
    coordinates,
    extent_in_words,
    transformer,
)
from glavitu.rasters.raster_file import OpenFiles, RasterFile
from glavitu.rasters.sources import Files, list_files

#: xmin, ymin, xmax, ymax.
Bounds = tuple[float, float, float, float]

#: The longest side of a grid in pixels; beyond it a resolution is in the wrong unit.
LONGEST = 2_000_000

NO_BOUNDS: Bounds = (math.inf, math.inf, -math.inf, -math.inf)


def target_grid(
    reference: Files,
    *,
    crs: Any = None,
    resolution: float | None = None,
    bounds: Sequence[float] | None = None,
    aoi: str | Path | None = None,
    layer: str | None = None,
) -> Grid:
    """Describe the grid on which a scene is mapped.

    By default it is the reference raster's own; of several rasters, the first one's, extended to
    all of them. In another CRS or resolution, pixels are square and their edges multiples of the
    resolution. Extents are widened to whole pixels.

    Args:
        reference: The rasters that the grid is taken from, such as the optical ones.
        crs: Coordinate reference system, such as ``'EPSG:32645'``, by default the reference's.
        resolution: Size of a pixel in units of the CRS. By default the reference's; in another CRS
            that of a pixel as large on the ground in the middle of the scene, to two digits.
        bounds: xmin, ymin, xmax, ymax in the CRS. Beyond the rasters the map has no data.
        aoi: Polygons in any CRS; the grid is the part of the reference within their bounds.
        layer: Layer of the area's file, where several hold polygons.

    Returns:
        The grid, north up.

    Raises:
        InputError: If a file or an option cannot be used, or they do not overlap.
    """
    if bounds is not None and aoi is not None:
        raise InputError("both bounds and an area of interest are given; give one of them")
    if layer is not None and aoi is None:
        raise InputError(
            f"layer {layer!r} is given, but no area of interest whose layer it could be; give that "
            "(--aoi), or leave the layer out"
        )
    if resolution is not None and not (math.isfinite(resolution) and resolution > 0):
        raise InputError(f"the resolution is {resolution}; give the size of a pixel, above 0")
    files = _describe(list_files(reference))
    first = files[0].grid
    target = _crs(crs) if crs is not None else first.crs
    if target == first.crs and resolution is None:
        lattice = _north_up(files[0])
    else:
        size = resolution or _pixel_in(first, target)
        lattice = Affine(size, 0, 0, 0, -size, 0)
    covered = NO_BOUNDS
    for file in files:
        covered = _union(covered, _bounds_in(file, target))
    wanted = covered
    if bounds is not None:
        wanted = _overlapping(check_bounds(bounds, "the map's CRS"), covered, "bounds", target)
    elif aoi is not None:
        area = _area_of_interest(as_name(aoi), layer, target)
        _overlapping(area, covered, str(aoi), target)
        wanted = _intersection(area, covered)
    return _snapped(target, lattice, wanted)


def _describe(names: Sequence[str]) -> list[RasterFile]:
    opened = OpenFiles()
    try:
        files = [RasterFile.open(name, opened) for name in names]
        for file in files:
            file.check_georeferenced()
    finally:
        opened.close()
    return files


def _crs(given: Any) -> rasterio.CRS:
    try:
        crs = rasterio.CRS.from_user_input(given)
        transformer(crs)
    except (CRSError, InputError) as error:
        raise InputError(
            f"the CRS {given!r} is unknown ({error}); give one such as EPSG:32645"
        ) from error
    return crs


def _north_up(file: RasterFile) -> Affine:
    """Return the pixel lattice of a raster, its first row the northernmost."""
    a, b, c, d, e, f = file.grid.transform[:6]
    height, width = file.grid.shape
    if max(abs(b) * height, abs(d) * width) > GRID_TOLERANCE * min(abs(a), abs(e)):
        raise InputError(
            f"{file.name} is rotated or skewed, but a map's grid is not; give the resolution of a "
            "grid that is not (--resolution, in units of the CRS), or another CRS (--crs), and the "
            "raster is brought onto it"
        )
    return Affine(abs(a), 0, c + min(a, 0) * width, 0, -abs(e), f + max(e, 0) * height)


def _pixel_in(grid: Grid, crs: rasterio.CRS) -> float:
    """Return the size in another CRS of a square as large as a pixel in the middle of a grid."""
    row, col = grid.height / 2, grid.width / 2
    x, y = coordinates(
        grid.transform, row + np.array([0.0, 0.0, 1.0, 1.0]), col + np.array([0.0, 1.0, 1.0, 0.0])
    )
    if crs != grid.crs:
        x, y = transformer(grid.crs, crs).transform(x, y)
    known = np.isfinite([x, y]).all()
    area = abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2 if known else 0.0
    if area == 0:
        raise InputError(
            f"the rasters have no place in {crs.to_string()}; they span {extent_in_words(grid)}. "
            "Give a CRS that is made for the region"
        )
    return float(f"{math.sqrt(area):.2g}")


def _bounds_in(file: RasterFile, crs: rasterio.CRS) -> Bounds:
    if file.grid.crs == crs:
        x, y = file.grid.outline(2)
    else:
        x, y = transformer(file.grid.crs, crs).transform(*file.grid.outline(101))
    if not np.isfinite([x, y]).all():
        raise InputError(
            f"{file.name} has no place in {crs.to_string()}; it spans "
            f"{extent_in_words(file.grid)}. Give a CRS that is made for the region"
        )
    if crs.is_geographic and not file.grid.crs.is_geographic and np.ptp(x) > 180:
        raise InputError(
            f"{file.name} lies across the 180th meridian, where degrees jump; give a projected CRS"
        )
    return float(np.min(x)), float(np.min(y)), float(np.max(x)), float(np.max(y))


def _area_of_interest(path: str, layer: str | None, crs: rasterio.CRS) -> Bounds:
    polygons = read_polygons(path, layer)
    if not len(polygons):
        raise InputError(f"{path}: holds no polygon; draw the area of interest into it")
    xmin, ymin, xmax, ymax = polygons.to_crs(pyproj.CRS.from_wkt(crs.to_wkt())).total_bounds
    if not np.isfinite([xmin, ymin, xmax, ymax]).all():
        raise InputError(
            f"{path}: its polygons have no place in {crs.to_string()}; give those of the scene's "
            "region, or another CRS"
        )
    return float(xmin), float(ymin), float(xmax), float(ymax)


def _overlapping(wanted: Bounds, covered: Bounds, name: str, crs: rasterio.CRS) -> Bounds:
    part = _intersection(wanted, covered)
    if part[0] >= part[2] or part[1] >= part[3]:
        theirs, ours = (
            f"x {xmin:.7g} to {xmax:.7g}, y {ymin:.7g} to {ymax:.7g}"
            for xmin, ymin, xmax, ymax in (wanted, covered)
        )
        raise InputError(
            f"{name}: no overlap with the rasters. In {crs.to_string()} the area spans {theirs}; "
            f"the rasters span {ours}. Give an area of the same place"
        )
    return wanted


def _snapped(crs: rasterio.CRS, lattice: Affine, bounds: Bounds) -> Grid:
    """Return the grid of the whole pixels of a lattice that cover bounds."""
    xmin, ymin, xmax, ymax = bounds
    inverse = ~lattice
    left, top = inverse @ (xmin, ymax)
    right, bottom = inverse @ (xmax, ymin)
    # What reaches into a pixel by less than the tolerance is an edge that was rounded.
    col, row = math.floor(left + GRID_TOLERANCE), math.floor(top + GRID_TOLERANCE)
    width = max(1, math.ceil(right - GRID_TOLERANCE) - col)
    height = max(1, math.ceil(bottom - GRID_TOLERANCE) - row)
    size = f"{lattice.a:.6g} x {-lattice.e:.6g} {'degrees' if crs.is_geographic else 'units'}"
    if max(height, width) > LONGEST:
        raise InputError(
            f"pixels of {size} would make {height} rows and {width} columns; the resolution is in "
            f"units of {crs.to_string()}, give a larger one"
        )
    if lattice.a > 2 * (xmax - xmin) and -lattice.e > 2 * (ymax - ymin):
        raise InputError(
            f"the whole area, {xmax - xmin:.6g} x {ymax - ymin:.6g}, would be within a pixel of "
            f"{size}; the resolution is in units of {crs.to_string()}, give a smaller one"
        )
    return Grid(crs, lattice @ Affine.translation(col, row), (height, width))


def _union(one: Bounds, other: Bounds) -> Bounds:
    (a, b, c, d), (e, f, g, h) = one, other
    return min(a, e), min(b, f), max(c, g), max(d, h)


def _intersection(one: Bounds, other: Bounds) -> Bounds:
    (a, b, c, d), (e, f, g, h) = one, other
    return max(a, e), max(b, f), min(c, g), min(d, h)
