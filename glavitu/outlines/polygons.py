"""Polygons of the pixels of a raster, as they are or simplified."""

from typing import Any

import numpy as np
import rasterio.features
import shapely
from rasterio.transform import Affine
from shapely.geometry import shape

from glavitu.arrays import DoubleArray, Geometries


def polygons_of(
    raster: Any, value: int, transform: Affine, simplification: float = 0.0
) -> Geometries:
    """Make a polygon of each group of pixels of one value that share edges.

    Args:
        raster: uint8 (H, W); an array, or a ``rasterio.Band``, of which GDAL reads some rows at a
            time.
        value: Value of the pixels, not 0.
        transform: From pixels to coordinates.
        simplification: 0 keeps the edges of the pixels. Otherwise vertices are left out one after
            the other (Visvalingam and Whyatt 1993, doi 10.1179/000870493786962263) while the
            triangle between such a vertex and its neighbours is smaller than the square of this
            number of pixels: 1 turns the stairs of a slanting edge into a line. It is in pixels,
            for stairs are as large as those, whatever the CRS. No polygon or hole is lost, none
            touches what it did not touch before. Areas stay, but for those of a few pixels, of
            which a triangle may remain.

    Returns:
        Valid polygons with their holes, in no order. Those that meet at a corner touch there.
    """
    # GDAL takes 0 of a band as its mask, and places its polygons; of an array the mask can name the
    # value itself.
    is_array = isinstance(raster, np.ndarray)
    mask, place = (raster == value, None) if is_array else (raster, raster.ds.transform)
    found = rasterio.features.shapes(raster, mask=mask, connectivity=4)
    parts = [shape(geometry) for geometry, of in found if of == value]
    if not parts:
        return np.empty(0, dtype=object)
    polygons: Geometries = np.array(parts, dtype=object)
    if place is not None:
        polygons = shapely.transform(in_pixels(polygons, place), np.rint)
    polygons = made_valid(polygons)
    if simplification > 0:
        polygons = shapely.coverage_simplify(polygons, simplification)
    return made_valid(_placed(polygons, transform))


def in_pixels(geometries: Geometries, transform: Affine) -> Geometries:
    """Bring geometries from coordinates to columns and rows of a raster."""
    return _placed(geometries, ~transform)


def made_valid(geometries: Geometries) -> Geometries:
    """Cut polygons with a ring that touches itself into valid ones (older GDALs make such).

    Whether rings cross one another is not looked at: they never do, and testing takes as long as
    there are holes times vertices.
    """
    rings, polygon = shapely.get_rings(geometries, return_index=True)
    invalid = np.unique(polygon[~shapely.is_valid(shapely.polygons(rings))])
    if len(invalid) == 0:
        return geometries
    # Twice, for a collection may hold multipolygons beside the lines that are dropped here.
    parts = shapely.get_parts(shapely.get_parts(shapely.make_valid(geometries[invalid])))
    return np.concatenate([np.delete(geometries, invalid), parts[shapely.area(parts) > 0]])


def _placed(geometries: Geometries, transform: Affine) -> Geometries:
    a, b, c, d, e, f = transform[:6]

    def place(xy: DoubleArray) -> DoubleArray:
        x, y = xy.T
        return np.column_stack([a * x + b * y + c, d * x + e * y + f])

    placed: Geometries = shapely.transform(geometries, place)
    return placed
