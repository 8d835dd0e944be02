"""Polygons of the pixels of a raster, as they are or simplified."""

from typing import Any

import numpy as np
import rasterio.features
import shapely
from rasterio.transform import Affine
from shapely.geometry import shape

from glavitu.arrays import DoubleArray, Geometries

#: Share of its area by which a polygon may change where it is simplified by less than 1.
AREA_KEPT = 0.02


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
            number of pixels. It is in pixels, for stairs are as large as those, whatever the CRS.
            No polygon or hole is lost, none touches what it did not touch before. From 0.71 to
            below 1 the stairs of slanting edges become lines, no outline moves by more than a
            pixel, and a polygon whose area would change by more than :data:`AREA_KEPT` keeps its
            edges. From 1 on neither is promised: outlines may move by several pixels.

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
        polygons = _simplified(polygons, simplification)
    return made_valid(placed(polygons, transform))


def _simplified(polygons: Geometries, simplification: float) -> Geometries:
    simple: Geometries = shapely.coverage_simplify(polygons, simplification)
    if simplification < 1:
        # Triangles of half a pixel hold no corner of another one: what is simplified never reaches
        # into what is not.
        change = np.abs(shapely.area(simple) / shapely.area(polygons) - 1)
        simple = np.where(change > AREA_KEPT, polygons, simple)
    return simple


def in_pixels(geometries: Geometries, transform: Affine) -> Geometries:
    """Bring geometries from coordinates to columns and rows of a raster."""
    return placed(geometries, ~transform)


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


def placed(geometries: Geometries, transform: Affine) -> Geometries:
    """Bring geometries from columns and rows of a raster to coordinates."""
    a, b, c, d, e, f = transform[:6]

    def place(xy: DoubleArray) -> DoubleArray:
        x, y = xy.T
        return np.column_stack([a * x + b * y + c, d * x + e * y + f])

    result: Geometries = shapely.transform(geometries, place)
    return result
