"""Pixel grids: whether rasters have a place on the Earth, and whether it is the same."""

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyproj
import rasterio
from affine import Affine

from glavitu.errors import InputError

#: Grids are one where their corners lie within this fraction of a pixel of each other.
GRID_TOLERANCE = 0.01

#: Metres from the origin of a projection to where nothing on the Earth is, whatever it is.
FARTHEST = 1e9


class Grid(NamedTuple):
    """What places pixels on the Earth; open rasters have the same attributes.

    Attributes:
        crs: Coordinate reference system, ``rasterio.CRS``.
        transform: Affine transform from columns and rows to coordinates.
        shape: Height and width in pixels.
    """

    crs: rasterio.CRS
    transform: Affine
    shape: tuple[int, int]

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.shape[0]

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.shape[1]

    def outline(self, points: int = 21) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return coordinates along its border.

        Args:
            points: Number of points on each side.

        Returns:
            x and y, each (4 * points,).
        """
        step = np.linspace(0, 1, points)
        cols = np.concatenate([step, np.ones(points), 1 - step, np.zeros(points)]) * self.width
        rows = np.concatenate([np.zeros(points), step, np.ones(points), 1 - step]) * self.height
        return coordinates(self.transform, rows, cols)


def coordinates(
    transform: Affine, rows: npt.NDArray[np.float64], cols: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return x and y of pixel coordinates, which count from the first pixel's outer corner."""
    a, b, c, d, e, f = transform[:6]
    return a * cols + b * rows + c, d * cols + e * rows + f


@lru_cache(maxsize=256)
def transformer(source: rasterio.CRS, target: rasterio.CRS | None = None) -> pyproj.Transformer:
    """Return what transforms x, y of one system to another's, by default longitude and latitude.

    Heights are left alone. They are slow to make, and tiles by the thousand share a few systems.

    Raises:
        InputError: If there is no way between them.
    """
    try:
        return pyproj.Transformer.from_crs(_placed(source), _placed(target), always_xy=True)
    except pyproj.exceptions.ProjError as error:
        names = " and ".join(crs_name(crs) for crs in (source, target) if crs is not None)
        raise InputError(
            f"the coordinate reference system {names} has no known place on the Earth ({error}); "
            "assign a geographic or projected one, such as EPSG:32645"
        ) from error


def _placed(crs: rasterio.CRS | None) -> pyproj.CRS:
    if crs is None:
        return pyproj.CRS.from_epsg(4326)
    flat = pyproj.CRS.from_wkt(crs.to_wkt()).to_2d()
    if not (flat.is_geographic or flat.is_projected):
        raise InputError(
            f"the coordinate reference system {crs_name(crs)} has no known place on the Earth "
            f"for pixels (it is a {flat.type_name}); assign a geographic or projected one, such as "
            "EPSG:32645"
        )
    return flat


@lru_cache(maxsize=256)
def horizontal(crs: rasterio.CRS) -> rasterio.CRS:
    """Return the part of a system that places pixels: of a compound one or of three axes, two.

    Systems that differ in the heights alone place pixels alike.
    """
    try:
        whole = pyproj.CRS.from_wkt(crs.to_wkt())
    except pyproj.exceptions.ProjError:
        return crs  # :func:`transformer` says what is wrong with it.
    if len(whole.axis_info) <= 2 or whole.is_geocentric:
        return crs
    return rasterio.CRS.from_wkt(whole.to_2d().to_wkt())


def crs_name(crs: rasterio.CRS) -> str:
    """Return what a system is called, such as ``EPSG:32645``, for messages."""
    text = str(crs.to_string())
    if len(text) < 50:
        return text
    try:
        return str(pyproj.CRS.from_wkt(crs.to_wkt()).name)
    except pyproj.exceptions.ProjError:
        return f"{text[:50]}..."


def full_turn(crs: rasterio.CRS) -> float:
    """Return the longitudes after which a place comes again, such as 360 degrees or 400 grads.

    Args:
        crs: Any system; the places of a projected one come once, which is 0.
    """
    return 2 * math.pi / float(crs.units_factor[1]) if crs.is_geographic else 0.0


def turns_between(x: float, middle: float, turn: float) -> int:
    """Return how many full turns bring a longitude within half a turn of another.

    Args:
        x: The longitude; ``x + turn * turns_between(x, middle, turn)`` is the same place.
        middle: The other.
        turn: What :func:`full_turn` gives; of 0 there is none.
    """
    return -math.floor((x - middle) / turn + 0.5) if turn else 0


def check_bounds(bounds: Sequence[float], crs: str) -> tuple[float, float, float, float]:
    """Check that four numbers bound an area.

    Args:
        bounds: xmin, ymin, xmax, ymax.
        crs: Whose system they are in, in words for the message.

    Raises:
        InputError: If they are not.
    """
    if (
        len(bounds) != 4
        or not all(map(math.isfinite, bounds))
        or bounds[0] >= bounds[2]
        or bounds[1] >= bounds[3]
    ):
        raise InputError(
            f"bounds {list(bounds)} are not xmin, ymin, xmax, ymax with xmin < xmax and "
            f"ymin < ymax; give these four, in {crs}"
        )
    xmin, ymin, xmax, ymax = bounds
    return xmin, ymin, xmax, ymax


def check_georeferenced(path: str | Path, grid: Any) -> None:
    """Check that a raster has a coordinate reference system and a position.

    Args:
        path: Its file.
        grid: The open raster, or its :class:`Grid`.

    Raises:
        InputError: If it has none.
    """
    unplaced = grid.crs is None or grid.transform.is_identity
    if unplaced and getattr(grid, "rpcs", None):
        raise InputError(
            f"{path} is as its sensor saw it and has rational polynomials (RPC) that place it; "
            f"orthorectify it first, for example: gdalwarp -rpc -to RPC_DEM=dem.tif -t_srs "
            f"EPSG:32645 {path} OUTPUT"
        )
    if unplaced and getattr(grid, "gcps", ([], None))[0]:
        raise InputError(
            f"{path} has ground control points, but no pixel grid yet; warp it to one first, for "
            f"example: gdalwarp -tps -t_srs EPSG:32645 {path} OUTPUT"
        )
    if grid.crs is None:
        raise InputError(
            f"{path} has no coordinate reference system; if you know it, write it into the file, "
            f"as in: rio edit-info --crs EPSG:32645 {path}"
        )
    if grid.transform.is_identity:
        raise InputError(
            f"{path} has no position (its geotransform is not set); georeference it first, for "
            "example with gdal_translate -a_ullr"
        )
    problem = _impossible(grid.crs, grid.transform, grid.shape)
    if problem:
        raise InputError(
            f"{path} has {problem}; write its geotransform again, for example with gdal_translate "
            "-a_ullr, or its coordinate reference system (-a_srs)"
        )


def _impossible(crs: rasterio.CRS, transform: Affine, shape: tuple[int, int]) -> str:
    """Say why pixels cannot be on the Earth where a transform puts them; nothing if they can."""
    a, b, c, d, e, f = transform[:6]
    numbers = ", ".join(f"{number:g}" for number in (c, a, b, f, d, e))
    if not all(map(math.isfinite, transform[:6])):
        return f"a position that is no number (geotransform {numbers})"
    across, down = math.hypot(a, d), math.hypot(b, e)
    if not across * down or abs(a / across * e / down - b / down * d / across) < 1e-9:
        return f"pixels without an area (geotransform {numbers})"
    x, y = Grid(crs, transform, shape).outline(2)
    place = f"x {x.min():g} to {x.max():g}, y {y.min():g} to {y.max():g} ({crs_name(crs)})"
    if crs.is_geographic:
        turn, edge = full_turn(crs), max(across, down)
        # Grids of points, which reach half a pixel beyond, are common.
        if np.abs(y).max() > turn / 4 + edge or np.abs(x).max() > 2 * turn + edge:
            return f"a place that cannot be in degrees, {place}"
    elif crs.is_projected and max(np.abs(x).max(), np.abs(y).max()) > (
        FARTHEST / crs.linear_units_factor[1]
    ):
        return f"a place that is nowhere on the Earth, {place}"
    if min(across, down) < 1e-12 * max(abs(c), abs(f), 1e-3):
        return f"pixels too small to be told apart (geotransform {numbers})"
    return ""


def extent_in_words(grid: Any) -> str:
    """Return a grid's extent in its own coordinates, for messages."""
    x, y = Grid(grid.crs, grid.transform, grid.shape).outline(2)
    return (
        f"x {np.min(x):.7g} to {np.max(x):.7g}, y {np.min(y):.7g} to {np.max(y):.7g} "
        f"({crs_name(grid.crs)})"
    )


def grid_differences(one: Any, other: Any) -> list[str]:
    """Describe how the grid of a dataset differs from the first one's, in words."""
    differences = []
    same = horizontal(one.crs) == horizontal(other.crs)
    if not same:
        differences.append(f"CRS ({crs_name(other.crs)} against {crs_name(one.crs)})")
    if one.shape != other.shape:
        theirs, ours = (f"{rows} x {columns}" for rows, columns in (other.shape, one.shape))
        differences.append(f"size ({theirs} against {ours} rows x columns)")
    if not same:
        return differences  # Coordinates of two systems cannot be compared.
    # The rest is compared where it shows: in pixels of the first, over the whole raster.
    turn = full_turn(one.crs)
    there = turn * turns_between(other.transform.c, one.transform.c, turn)
    moved = Affine.translation(there, 0) @ other.transform if there else other.transform
    to_pixels = pixels_between(one, Grid(one.crs, moved, other.shape))
    drift = np.abs(to_pixels[:2, :2] - np.eye(2)) * max(one.shape)
    if drift.max() > GRID_TOLERANCE:
        differences.append(
            f"pixel size or rotation ({_matrix(other.transform)} against {_matrix(one.transform)})"
        )
    if np.abs(to_pixels[:2, 2]).max() > GRID_TOLERANCE:
        differences.append(
            f"origin ({other.transform.c:.10g}, {other.transform.f:.10g} against "
            f"{one.transform.c:.10g}, {one.transform.f:.10g})"
        )
    return differences


def pixels_between(one: Any, other: Any) -> npt.NDArray[np.float64]:
    """Return the matrix (3, 3) from columns and rows of the other grid to those of the first."""
    return np.asarray(np.linalg.inv(_square(one.transform)) @ _square(other.transform))


def _square(transform: Affine) -> npt.NDArray[np.float64]:
    return np.array(transform, dtype=np.float64).reshape(3, 3)


def _matrix(transform: Affine) -> str:
    if transform.b == transform.d == 0:
        return f"{transform.a:.10g} x {transform.e:.10g}"
    return f"[{transform.a:.6g} {transform.b:.6g}; {transform.d:.6g} {transform.e:.6g}]"
