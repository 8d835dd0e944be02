"""The grid of a map: the reference raster's own, or one in another CRS, resolution or extent."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine
from rasterio.errors import CRSError, RasterioError
from rasterio.io import MemoryFile

from glavitu.errors import InputError
from glavitu.files import as_name
from glavitu.outlines.read_polygons import read_polygons
from glavitu.rasters.bounds import (
    Bounds,
    NoPlaceError,
    beside,
    bounds_of_grid,
    bounds_of_rings,
    empty,
    intersection,
    moved,
    no_place,
    union,
    whole_earth,
)
from glavitu.rasters.grid import (
    GRID_TOLERANCE,
    Grid,
    check_bounds,
    coordinates,
    crs_name,
    full_turn,
    horizontal,
    transformer,
)
from glavitu.rasters.open_files import OpenFiles
from glavitu.rasters.raster_file import RasterFile
from glavitu.rasters.sources import Files, list_files

#: The longest side of a grid in pixels; beyond it a resolution is in the wrong unit.
LONGEST = 2_000_000

#: A resolution is that of the raster, or a multiple or part of it, where it is within this share.
SAME_SIZE = 1e-4


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
    resolution; where that is the raster's own, or a multiple or a part of it, its pixels are kept
    whole. Extents are widened to whole pixels. In degrees the grid may reach beyond 180: rasters on
    both sides of that meridian are neighbours.

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
    check_writable(target)
    if target == first.crs and resolution is None:
        lattice = _north_up(files[0])
    else:
        size = resolution or _pixel_in(first, target)
        lattice = _lattice(size, files[0] if target == first.crs else None)
    turn = full_turn(target)
    covered = union([_bounds_in(file, target) for file in files], turn)
    wanted = covered
    if bounds is not None:
        wanted = check_bounds(bounds, "the map's CRS")
        by = turn * beside(covered, wanted, turn)
        covered, lattice = moved(covered, by), Affine.translation(by, 0) @ lattice
        _check_overlap(wanted, covered, "bounds", target)
    elif aoi is not None:
        area = _area_of_interest(as_name(aoi), layer, target, covered)
        _check_overlap(area, covered, str(aoi), target)
        if whole_earth(covered, turn):
            covered = (-math.inf, covered[1], math.inf, covered[3])
        wanted = intersection(area, covered)
    return _snapped(target, lattice, wanted)


def _describe(names: Sequence[str]) -> list[RasterFile]:
    opened = OpenFiles()
    try:
        files = [RasterFile.open(name, opened) for name in names]
        for file in files:
            file.check_georeferenced()
    finally:
        opened.close()
    # Heights do not matter for a place.
    flat = [file.grid._replace(crs=horizontal(file.grid.crs)) for file in files]
    return [replace(file, grid=grid) for file, grid in zip(files, flat, strict=True)]


def _crs(given: Any) -> rasterio.CRS:
    try:
        crs = horizontal(rasterio.CRS.from_user_input(given))
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


@lru_cache(maxsize=32)
def check_writable(crs: rasterio.CRS) -> None:
    """Check that a GeoTIFF can hold a coordinate reference system.

    GDAL puts what it cannot write into a file beside it, where it is soon lost.

    Raises:
        InputError: If it cannot.
    """
    place = {"width": 1, "height": 1, "count": 1, "dtype": "uint8"}
    with rasterio.Env(GDAL_PAM_ENABLED="NO"), MemoryFile() as memory:
        try:
            there = Affine(1, 0, 1, 0, -1, 1)
            with memory.open(driver="GTiff", crs=crs, transform=there, **place):
                pass
            with memory.open() as file:
                kept = file.crs
        except RasterioError:
            kept = None
    if kept is None or not _same_places(kept, crs):
        raise InputError(
            f"a GeoTIFF cannot hold the coordinate reference system {crs_name(crs)}; choose "
            "another one for the map (--crs), such as EPSG:32645"
        )


def _same_places(one: rasterio.CRS, other: rasterio.CRS) -> bool:
    """Tell whether two systems place coordinates alike, however they are written."""
    if one == other:
        return True
    x, y = np.meshgrid([-2.0, 0, 5], [-3.0, 0, 4])
    if not other.is_geographic:
        x, y = x * 1e5, y * 1e5
    try:
        ours, theirs = (transformer(crs).transform(x, y) for crs in (one, other))
    except InputError:
        return False
    return bool(np.allclose(ours, theirs, rtol=0, atol=1e-8, equal_nan=True))


def _lattice(size: float, own: RasterFile | None) -> Affine:
    """Return a lattice of squares whose edges are multiples of their size.

    Args:
        size: Of the squares.
        own: A raster in the same system. Where the size is that of its pixels, or a multiple or a
            part of it, edges are its own, so that pixels are not cut.
    """
    step, start = [size, size], [0.0, 0.0]
    if own is not None and not own.grid.transform.b and not own.grid.transform.d:
        pixels = _north_up(own)
        for axis, (pixel, origin) in enumerate(((pixels.a, pixels.c), (-pixels.e, pixels.f))):
            ratio = size / pixel if size >= pixel else pixel / size
            times = max(1, round(min(ratio, LONGEST)))
            if abs(ratio / times - 1) <= SAME_SIZE:
                step[axis] = pixel * times if size >= pixel else pixel / times
                start[axis] = math.fmod(origin, pixel)
    return Affine(step[0], 0, start[0], 0, -step[1], start[1])


def _pixel_in(grid: Grid, crs: rasterio.CRS) -> float:
    """Return the size in another CRS of a square as large as a pixel in the middle of a grid."""
    row, col = grid.height / 2, grid.width / 2
    x, y = coordinates(
        grid.transform, row + np.array([0.0, 0.0, 1.0, 1.0]), col + np.array([0.0, 1.0, 1.0, 0.0])
    )
    if crs != grid.crs:
        x, y = transformer(grid.crs, crs).transform(x, y)
    if turn := full_turn(crs):
        x = np.unwrap(x, period=turn)
    known = np.isfinite([x, y]).all()
    area = abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2 if known else 0.0
    if area == 0:
        raise no_place("the first raster", grid, crs)
    return float(f"{math.sqrt(area):.2g}")


def _bounds_in(file: RasterFile, crs: rasterio.CRS) -> Bounds:
    try:
        return bounds_of_grid(file.grid, crs)
    except NoPlaceError:
        raise no_place(file.name, file.grid, crs) from None


def _area_of_interest(path: str, layer: str | None, crs: rasterio.CRS, covered: Bounds) -> Bounds:
    """Return the bounds of polygons, in degrees each part at the rasters' longitudes."""
    polygons = read_polygons(path, layer)
    if not len(polygons):
        raise InputError(f"{path}: holds no polygon; draw the area of interest into it")
    own = horizontal(rasterio.CRS.from_wkt(polygons.crs.to_wkt()))
    rings = shapely.get_exterior_ring(shapely.get_parts(np.asarray(polygons.geometry)))
    try:
        return bounds_of_rings(rings, own, crs, covered)
    except NoPlaceError as error:
        raise InputError(
            f"{path}: its polygons have no place in {crs_name(crs)}; give those of the scene's "
            "region, or another CRS"
        ) from error


def _check_overlap(wanted: Bounds, covered: Bounds, name: str, crs: rasterio.CRS) -> None:
    if empty(intersection(wanted, covered)):
        theirs, ours = (
            f"x {xmin:.7g} to {xmax:.7g}, y {ymin:.7g} to {ymax:.7g}"
            for xmin, ymin, xmax, ymax in (wanted, covered)
        )
        raise InputError(
            f"{name}: no overlap with the rasters. In {crs_name(crs)} the area spans {theirs}; "
            f"the rasters span {ours}. Give an area of the same place"
        )


def _snapped(crs: rasterio.CRS, lattice: Affine, bounds: Bounds) -> Grid:
    """Return the grid of the whole pixels of a lattice that cover bounds."""
    xmin, ymin, xmax, ymax = bounds
    # Not by the inverse: of the smallest numbers there is none.
    with np.errstate(over="ignore", invalid="ignore"):
        left, right = (float(np.divide(x - lattice.c, lattice.a)) for x in (xmin, xmax))
        top, bottom = (float(np.divide(y - lattice.f, lattice.e)) for y in (ymax, ymin))
        cols, rows = np.divide(xmax - xmin, lattice.a), np.divide(ymin - ymax, lattice.e)
    size = f"{lattice.a:.6g} x {-lattice.e:.6g} {'degrees' if crs.is_geographic else 'units'}"
    if not max(rows, cols) <= LONGEST:
        raise InputError(
            f"pixels of {size} would make {rows:.7g} rows and {cols:.7g} columns; "
            f"the resolution is in units of {crs_name(crs)}, give a larger one"
        )
    # What reaches into a pixel by less than the tolerance is an edge that was rounded.
    col, row = math.floor(left + GRID_TOLERANCE), math.floor(top + GRID_TOLERANCE)
    width = max(1, math.ceil(right - GRID_TOLERANCE) - col)
    height = max(1, math.ceil(bottom - GRID_TOLERANCE) - row)
    if lattice.a > 2 * (xmax - xmin) and -lattice.e > 2 * (ymax - ymin):
        raise InputError(
            f"the whole area, {xmax - xmin:.6g} x {ymax - ymin:.6g}, would be within a pixel of "
            f"{size}; the resolution is in units of {crs_name(crs)}, give a smaller one"
        )
    return Grid(crs, lattice @ Affine.translation(col, row), (height, width))
