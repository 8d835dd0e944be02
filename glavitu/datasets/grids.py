"""Pixel grids: whether rasters have a place on the Earth, and whether it is the same."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from glavitu.errors import InputError

#: Grids are one where their corners lie within this fraction of a pixel of each other.
GRID_TOLERANCE = 0.01


class Grid(NamedTuple):
    """What places pixels on the Earth; open rasters have the same attributes."""

    crs: Any
    transform: Any
    shape: tuple[int, int]


def check_georeferenced(path: Path, grid: Any) -> None:
    """Check that a raster has a coordinate reference system and a position.

    Args:
        path: Its file.
        grid: The open raster, or its :class:`Grid`.

    Raises:
        InputError: If it has none.
    """
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


def grid_differences(one: Any, other: Any) -> list[str]:
    """Describe how the grid of a dataset differs from the first one's, in words."""
    differences = []
    if one.crs != other.crs:
        differences.append(f"CRS ({other.crs.to_string()} against {one.crs.to_string()})")
    if one.shape != other.shape:
        theirs, ours = (f"{rows} x {columns}" for rows, columns in (other.shape, one.shape))
        differences.append(f"size ({theirs} against {ours} rows x columns)")
    if one.crs != other.crs:
        return differences  # Coordinates of two systems cannot be compared.
    # The rest is compared where it shows: in pixels of the first, over the whole raster.
    to_pixels = np.linalg.inv(_square(one.transform)) @ _square(other.transform)
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


def _square(transform: Any) -> npt.NDArray[np.float64]:
    return np.array(transform, dtype=np.float64).reshape(3, 3)


def _matrix(transform: Any) -> str:
    if transform.b == transform.d == 0:
        return f"{transform.a:.10g} x {transform.e:.10g}"
    return f"[{transform.a:.6g} {transform.b:.6g}; {transform.d:.6g} {transform.e:.6g}]"
