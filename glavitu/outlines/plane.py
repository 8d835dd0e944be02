"""Polygons on a plane in metres around their place, where lengths and areas are true."""

from typing import Any

import numpy as np
import pyproj
import shapely

from glavitu.arrays import Geometries

#: Vertices of polygons that are joined are rounded to this, in metres: a projection opens slits
#: between neighbours whose common divide has other vertices on either side.
JOIN = 0.01


def centre(geometries: Geometries) -> tuple[float, float]:
    """Return the middle of geometries in degrees, also at poles and on the antimeridian.

    Args:
        geometries: In degrees of longitude and latitude.
    """
    lon, lat = np.radians(shapely.get_coordinates(geometries)).T
    xyz = np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    x, y, z = (xyz.min(axis=1) + xyz.max(axis=1)) / 2
    return float(np.degrees(np.arctan2(y, x))), float(np.degrees(np.arctan2(z, np.hypot(x, y))))


def plane_at(longitude: float, latitude: float) -> pyproj.Proj:
    """Return Lambert's azimuthal equal-area projection of the WGS 84 ellipsoid around a point.

    Areas on it are true everywhere. Lengths are true at its centre, to 1 in 100 000 within 50 km
    of it and to 1 in 10 000 within 180 km.

    Args:
        longitude: Degrees east.
        latitude: Degrees north.
    """
    return pyproj.Proj(proj="laea", lon_0=longitude, lat_0=latitude, ellps="WGS84")


def on_plane(geometries: Geometries, plane: pyproj.Proj) -> Geometries:
    """Bring polygons to a plane and make them valid.

    Args:
        geometries: Polygons in degrees of longitude and latitude, (n,).
        plane: What :func:`plane_at` gives.

    Returns:
        Valid polygons or multipolygons in metres, (n,). Where nothing has an area they are empty.
    """
    return repaired(shapely.transform(geometries, lambda xy: np.column_stack(plane(*xy.T))))


def repaired(geometries: Geometries) -> Geometries:
    """Make invalid polygons valid; points and lines that remain of them are dropped.

    Args:
        geometries: Polygons, (n,).

    Returns:
        Valid polygons or multipolygons, (n,). Where nothing has an area they are empty.
    """
    result = geometries.copy()
    for index in np.flatnonzero(~shapely.is_valid(geometries)):
        # Twice, for a collection may hold multipolygons.
        parts = shapely.get_parts(shapely.get_parts(shapely.make_valid(geometries[index])))
        result[index] = shapely.union_all(parts[shapely.area(parts) > 0])
    return result


def united(polygons: Geometries) -> Any:
    """Join polygons to one geometry; what they share of their outlines is none any more.

    Args:
        polygons: Valid polygons on a plane, (n,).

    Returns:
        A polygon or multipolygon. A single polygon comes back as it is; the vertices of several
        are rounded to a centimetre, so that no slits remain between neighbours.
    """
    parts = shapely.get_parts(polygons)
    if len(parts) == 1:
        return parts[0]
    joined = shapely.union_all(parts, grid_size=JOIN)
    # Splinters thinner than that would vanish.
    return shapely.union_all(parts) if joined.is_empty else joined


def area_km2(polygon: Any) -> float:
    """Return the area of a polygon on a plane, without its holes, in square kilometres."""
    return float(shapely.area(polygon)) / 1e6
