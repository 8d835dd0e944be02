"""Labels: glacier outlines as a raster or as polygons, read on an image's grid."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pyproj
import rasterio.windows
import shapely
from affine import Affine
from pyproj.exceptions import ProjError
from rasterio.features import rasterize

from glavitu.arrays import DoubleArray
from glavitu.datasets.label_raster import Mask, RasterOutlines
from glavitu.errors import InputError
from glavitu.files import Name
from glavitu.outlines.layers import suffix_of
from glavitu.outlines.placing import boxes_around, placed
from glavitu.outlines.read_polygons import RASTER_SUFFIXES, VECTOR_SUFFIXES, PolygonFile
from glavitu.rasters.grid import Grid
from glavitu.windows import Window

#: Opens a file of outlines, of a layer; one that remembers lets images share it.
OpenPolygons = Callable[[Name, str | None], PolygonFile]


class ElsewhereError(InputError):
    """None of a file's outlines overlaps the image."""


class VectorOutlines:
    """Polygons in any CRS, rasterised on an image's grid: 1 where a pixel's centre is inside.

    Those around the image alone are read and kept.

    Args:
        path: GeoPackage, Shapefile or GeoJSON.
        grid: Of the image.
        layer: The file's layer, where several hold polygons.
        load: Opens the file.

    Raises:
        ElsewhereError: If the file has outlines, and none overlaps the image.
        InputError: See :meth:`~glavitu.outlines.read_polygons.PolygonFile.open`.
    """

    def __init__(
        self,
        path: Name,
        grid: Grid,
        layer: str | None = None,
        load: OpenPolygons = PolygonFile.open,
    ) -> None:
        self.transform = grid.transform
        file = load(path, layer)
        crs = pyproj.CRS.from_wkt(grid.crs.to_wkt()).to_2d()
        image = _footprint(grid.transform, Window(0, 0, *grid.shape))
        with _naming(path):
            boxes = boxes_around(*grid.outline(), crs, file.crs)
            near = np.asarray(file.read(boxes).geometry)
            self.geometries = placed(near, file.crs, crs, np.array(image.bounds))
        self.tree = shapely.STRtree(self.geometries)
        total = int((~file.is_rock).sum())
        if total and not len(self.tree.query(image, "intersects")):
            raise ElsewhereError(_elsewhere(file, total, boxes))

    def read(self, window: Window) -> Mask:
        """Rasterise a window, uint8 (h, w); it may reach beyond the image."""
        transform = rasterio.windows.transform(
            rasterio.windows.Window(window.col, window.row, window.width, window.height),
            self.transform,
        )
        shape = (window.height, window.width)
        inside = self.geometries[self.tree.query(_footprint(self.transform, window))]
        if not len(inside):
            return np.zeros(shape, dtype=np.uint8)
        mask: Mask = rasterize(inside, out_shape=shape, transform=transform, dtype=np.uint8)
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
    layer: str | None = None,
    load: OpenPolygons = PolygonFile.open,
) -> Outlines:
    """Open labels by their suffix; arguments and errors as for the two classes.

    Raises:
        ElsewhereError: If the file has outlines, and none overlaps the image.
        InputError: If the suffix is of neither kind, or the file does not fit.
    """
    if suffix_of(path) in VECTOR_SUFFIXES:
        return VectorOutlines(path, grid, layer, load)
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


def _elsewhere(file: PolygonFile, total: int, boxes: DoubleArray | None) -> str:
    theirs = _span(*file.bounds[:, :2].min(axis=0), *file.bounds[:, 2:].max(axis=0))
    text = f"{file.path}: none of its {total} outlines overlaps the image"
    if boxes is None:
        return f"{text}; give outlines of the same place, and check that their CRS is right"
    # Of longitudes the middle one is the place itself.
    text += (
        f". In their CRS, {file.crs.name}, they span {theirs}; the image spans about "
        f"{_span(*boxes[len(boxes) // 2])}. "
    )
    if file.crs.is_geographic and file.meets(boxes[:, [1, 0, 3, 2]]).any():
        return (
            f"{text}Their longitudes and latitudes seem to be swapped; longitude comes first: "
            "swap them (in QGIS: Swap X and Y coordinates)"
        )
    return f"{text}Give outlines of the same place, and check that their CRS is right"


def _span(left: float, bottom: float, right: float, top: float) -> str:
    return f"x {left:.6g} to {right:.6g}, y {bottom:.6g} to {top:.6g}"


@contextmanager
def _naming(path: Name) -> Iterator[None]:
    """Name the file where its system cannot be brought to the image's."""
    try:
        yield
    except ProjError as error:
        raise InputError(
            f"{path}: its outlines cannot be brought to the image's CRS ({error}); write the file "
            "in another CRS, such as EPSG:4326"
        ) from error
