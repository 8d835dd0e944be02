"""Sizes and places of polygons on the Earth, whatever their CRS."""

from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyproj
import rasterio
import shapely
from rasterio.transform import Affine

from glavitu.arrays import DoubleArray, Geometries
from glavitu.errors import InputError
from glavitu.outlines.perimeter import without_stairs
from glavitu.outlines.plane import centre, plane_at
from glavitu.outlines.polygons import in_pixels, placed

#: Pixels after which an edge gets a vertex more before it is measured.
PIECE = 10

#: Vertices whose rings are smoothed at once, so that memory does not grow with all of them.
PART = 1 << 19

_GEOD = pyproj.Geod(ellps="WGS84")


class Measures(NamedTuple):
    """Polygons on the WGS 84 ellipsoid, each (n,).

    Attributes:
        area_km2: Without holes.
        perimeter_km: Of all rings, those of holes too, without the stairs of pixels; see
            :func:`glavitu.outlines.perimeter.without_stairs`.
        cenlon: Longitude of a point inside, degrees, -180 to 180.
        cenlat: Latitude of the same point, degrees.
        utm_zone: UTM zone of that point, 1 to 60, six degrees each.
    """

    area_km2: DoubleArray
    perimeter_km: DoubleArray
    cenlon: DoubleArray
    cenlat: DoubleArray
    utm_zone: npt.NDArray[np.int64]

    def taken(self, order: npt.NDArray[np.intp]) -> "Measures":
        """Return some of the polygons, in this order."""
        return Measures(
            self.area_km2[order],
            self.perimeter_km[order],
            self.cenlon[order],
            self.cenlat[order],
            self.utm_zone[order],
        )


def measured(geometries: Geometries, transform: Affine, crs: rasterio.CRS) -> Measures:
    """Measure polygons on the ellipsoid.

    Args:
        geometries: Valid polygons, (n,).
        transform: From the pixels of the raster they were made of to their coordinates.
        crs: Coordinate reference system of these coordinates.

    Raises:
        InputError: If a polygon lies where its coordinates have no place on the Earth.
    """
    if len(geometries) == 0:
        empty = np.empty(0)
        return Measures(empty, empty, empty, empty, np.empty(0, dtype=np.int64))
    transformer = pyproj.Transformer.from_crs(
        pyproj.CRS.from_user_input(crs), "EPSG:4326", always_xy=True
    )

    def to_degrees(xy: DoubleArray) -> DoubleArray:
        return np.column_stack(transformer.transform(*xy.T))

    # Ring by ring: GEOS would repair whole polygons first, which takes long where holes are many.
    pixel_rings, polygon = shapely.get_rings(geometries, return_index=True)
    hole = np.diff(polygon, prepend=-1) == 0
    # What is straight in one CRS is curved elsewhere, but short pieces hardly are.
    pixel = float(max(np.hypot(transform.a, transform.d), np.hypot(transform.b, transform.e)))
    rings = shapely.transform(shapely.segmentize(pixel_rings, PIECE * pixel), to_degrees)
    points: Geometries = shapely.transform(shapely.point_on_surface(geometries), to_degrees)
    inside = shapely.get_coordinates(points)
    longitude, latitude = shapely.get_coordinates(rings).T
    if not np.isfinite(longitude).all() or not (np.abs(latitude) <= 90 + 1e-9).all():
        raise InputError(
            "outlines lie at coordinates that have no longitude and latitude in the CRS "
            f"{pyproj.CRS.from_user_input(crs).name}; map the scene in a CRS made for the place"
        )

    # Areas on this plane are true everywhere, also across the antimeridian and at the poles.
    plane = plane_at(*centre(points))
    flat = shapely.transform(rings, lambda xy: np.column_stack(plane(*xy.T)))
    square_metres = shapely.area(shapely.polygons(flat))
    in_parts = np.array_split(pixel_rings, shapely.get_num_coordinates(rings).sum() // PART + 1)
    metres = np.concatenate(
        [
            _lengths(shapely.transform(placed(without_stairs(part), transform), to_degrees))
            for part in map(partial(in_pixels, transform=transform), in_parts)
        ]
    )
    # Nothing is shorter around than a circle, which pieces of few pixels would be.
    metres = np.maximum(metres, 2 * np.sqrt(np.pi * square_metres))
    longitude = (inside[:, 0] + 180) % 360 - 180
    return Measures(
        _sums(polygon, np.where(hole, -1, 1) * square_metres, len(geometries)) / 1e6,
        _sums(polygon, metres, len(geometries)) / 1e3,
        longitude,
        inside[:, 1],
        np.floor((longitude + 180) / 6).astype(np.int64) + 1,
    )


def _lengths(rings: Geometries) -> DoubleArray:
    """Lengths of rings in degrees, in metres on the ellipsoid."""
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    joined = ring[1:] == ring[:-1]
    metres = _GEOD.inv(*xy[:-1][joined].T, *xy[1:][joined].T)[2]
    return _sums(ring[:-1][joined], metres, len(rings))


def _sums(index: npt.NDArray[np.int64], values: DoubleArray, size: int) -> DoubleArray:
    return np.bincount(index, weights=values, minlength=size).astype(np.float64)
