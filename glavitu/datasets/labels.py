"""Labels: glacier outlines as a raster or as polygons, read on an image's grid."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyproj
import rasterio
import rasterio.windows
import shapely
from affine import Affine
from rasterio import CRS
from rasterio.errors import RasterioError
from rasterio.features import rasterize

from glavitu.errors import InputError
from glavitu.files import Name
from glavitu.outlines.read_polygons import (
    RASTER_SUFFIXES,
    VECTOR_SUFFIXES,
    read_polygons,
    suffix_of,
)
from glavitu.rasters.grid import (
    Grid,
    check_georeferenced,
    grid_differences,
)
from glavitu.strangers import check_opened, check_reach
from glavitu.windows import Window

Mask = npt.NDArray[np.uint8]


class Polygons(NamedTuple):
    """The outlines of a file, in some CRS.

    Attributes:
        geometries: Valid polygons, shapely's.
        tree: Finds them by place.
        total: How many the file has; some may have no place in the CRS.
        bounds: xmin, ymin, xmax, ymax of them all.
    """

    geometries: npt.NDArray[Any]
    tree: shapely.STRtree
    total: int
    bounds: tuple[float, ...]


def load_polygons(path: Name, crs: CRS) -> Polygons:
    """Read the outlines of a file and bring them to a CRS.

    Args:
        path: See :func:`read_polygons`.
        crs: CRS of the image.

    Raises:
        InputError: See :func:`read_polygons`.
    """
    outlines = read_polygons(path)
    total = len(outlines)
    outlines = outlines.to_crs(pyproj.CRS.from_wkt(crs.to_wkt()))
    # What a projection takes to infinity lies far from where it is used.
    outlines = outlines[np.isfinite(outlines.bounds).all(axis=1)]
    geometries = np.asarray(outlines.geometry.make_valid())
    return Polygons(geometries, shapely.STRtree(geometries), total, tuple(outlines.total_bounds))


class ElsewhereError(InputError):
    """None of a file's outlines overlaps the image."""


class VectorOutlines:
    """Polygons in any CRS, rasterised on an image's grid: 1 where a pixel's centre is inside.

    Args:
        path: GeoPackage, Shapefile or GeoJSON.
        grid: Of the image.
        load: Reads the file; one that remembers lets images share its polygons.

    Raises:
        ElsewhereError: If the file has outlines, and none overlaps the image.
        InputError: If the file is missing or unreadable, has no CRS, or holds something else than
            polygons.
    """

    def __init__(
        self,
        path: Name,
        grid: Grid,
        load: Callable[[Name, CRS], Polygons] = load_polygons,
    ) -> None:
        self.transform = grid.transform
        self.polygons = load(path, grid.crs)
        image = _footprint(grid.transform, Window(0, 0, *grid.shape))
        total, bounds = self.polygons.total, self.polygons.bounds
        if total and not len(self.polygons.tree.query(image, "intersects")):
            theirs, ours = (_span(*bounds) for bounds in (bounds, image.bounds))
            raise ElsewhereError(
                f"{path}: none of its {total} outlines overlaps the image. In the image's "
                f"CRS they span {theirs}; the image spans {ours}. Give outlines of the same place, "
                "and check that their CRS is right"
            )

    def read(self, window: Window) -> Mask:
        """Rasterise a window, uint8 (h, w); it may reach beyond the image."""
        transform = rasterio.windows.transform(
            rasterio.windows.Window(window.col, window.row, window.width, window.height),
            self.transform,
        )
        shape = (window.height, window.width)
        geometries, tree, *_ = self.polygons
        inside = geometries[tree.query(_footprint(self.transform, window))]
        if not len(inside):
            return np.zeros(shape, dtype=np.uint8)
        mask: Mask = rasterize(inside, out_shape=shape, transform=transform, dtype=np.uint8)
        return mask


class RasterOutlines:
    """A label raster on an image's grid: 1 is glacier, 0 and nodata are not.

    Args:
        path: Raster of one band.
        grid: Of the image.

    Raises:
        InputError: If the file is missing or unreadable, has more than one band, or is on another
            grid than the image.
    """

    def __init__(self, path: Name, grid: Grid) -> None:
        self.path = path
        with _open_raster(path) as dataset:
            if dataset.count != 1:
                raise InputError(
                    f"{path}: has {dataset.count} bands, but labels need 1 (1 = glacier); write a "
                    "file with this band alone"
                )
            check_georeferenced(path, dataset)
            differences = grid_differences(grid, dataset)
            if differences:
                raise InputError(
                    f"{path}: is on another grid than the image; it differs in "
                    f"{'; '.join(differences)}. Warp the labels to the image's grid, or give the "
                    "outlines as polygons, which may have any CRS"
                )

    def read(self, window: Window) -> Mask:
        """Read a window inside the image, uint8 (h, w)."""
        where = rasterio.windows.Window(window.col, window.row, window.width, window.height)
        try:
            with _open_raster(self.path) as dataset:
                values = dataset.read(1, window=where, masked=True).filled(0)
        except RasterioError as error:
            raise InputError(
                f"{self.path} cannot be read at rows {window.row} to "
                f"{window.row + window.height} ({error}); it seems damaged, download or write it "
                "again"
            ) from error
        odd = values[(values != 0) & (values != 1)]
        if odd.size:
            raise InputError(
                f"{self.path}: has the value {odd[0]}, but labels are 1 (glacier) and 0 (not); "
                "write these, or set what means neither as the file's nodata value"
            )
        mask: Mask = values.astype(np.uint8)
        return mask


class NoOutlines:
    """The labels of land without glaciers."""

    def read(self, window: Window) -> Mask:
        """Return a window of zeros, uint8 (h, w)."""
        return np.zeros((window.height, window.width), dtype=np.uint8)


Outlines = VectorOutlines | RasterOutlines | NoOutlines


def open_outlines(
    path: Name,
    grid: Grid,
    load: Callable[[Name, CRS], Polygons] = load_polygons,
) -> Outlines:
    """Open labels by their suffix; arguments and errors as for the two classes.

    Raises:
        ElsewhereError: If the file has outlines, and none overlaps the image.
        InputError: If the suffix is of neither kind, or the file does not fit.
    """
    if suffix_of(path) in VECTOR_SUFFIXES:
        return VectorOutlines(path, grid, load)
    if suffix_of(path) in RASTER_SUFFIXES:
        return RasterOutlines(path, grid)
    raise InputError(
        f"{path}: labels must be polygons ({', '.join(VECTOR_SUFFIXES)}) or a raster "
        f"({', '.join(RASTER_SUFFIXES)}); convert the file to one of them"
    )


def _footprint(transform: Affine, window: Window) -> shapely.Polygon:
    top, left = window.row, window.col
    bottom, right = top + window.height, left + window.width
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    return shapely.Polygon([transform @ corner for corner in corners])


def _span(left: float, bottom: float, right: float, top: float) -> str:
    return f"x {left:.6g} to {right:.6g}, y {bottom:.6g} to {top:.6g}"


def _open_raster(path: Name) -> Any:
    check_reach(path)
    try:
        dataset = rasterio.open(path)
    except RasterioError as error:
        raise InputError(
            f"{path}: cannot be read as a raster ({error}); check the path and write it again"
        ) from error
    check_opened(path, dataset.driver, dataset.files)
    return dataset
