"""Polygons brought from one system to another: edges bend, and longitudes come again."""

from functools import lru_cache

import numpy as np
import pyproj
import shapely

from glavitu.arrays import DoubleArray, Geometries
from glavitu.outlines.plane import repaired

#: Metres after which an edge gets a vertex more: what is straight in one system is an arc in
#: another, whose middle is off the chord by 0.1 m at a latitude of 80 degrees.
PIECE = 1000.0

#: Metres per radian of latitude, about.
EARTH = 6371e3

#: Pieces into which a polygon's outline is divided at most, however large it says to be.
MOST_PIECES = 100_000


def full_turn(crs: pyproj.CRS) -> float:
    """Return the longitudes after which a place comes again, such as 360; 0 where x is none."""
    return 2 * np.pi / _unit(crs) if crs.is_geographic else 0.0


def boxes_around(
    x: DoubleArray, y: DoubleArray, source: pyproj.CRS, target: pyproj.CRS
) -> DoubleArray | None:
    """Return bounds of a place in another system.

    Args:
        x: Along its border, (n,).
        y: Likewise.
        source: Their system.
        target: The other system.

    Returns:
        xmin, ymin, xmax, ymax, (k, 4), a little wide; of longitudes the same place a turn to the
        west and to the east too. None where the other system has no bounds for the place.
    """
    x, y = transformer(source, target).transform(x, y)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return None
    turn = full_turn(target)
    if turn:
        x = np.unwrap(x, period=turn)
        if abs(x[-1] - x[0]) > turn / 2:
            return None  # It goes around a pole.
    margin = 0.05 * max(np.ptp(x), np.ptp(y))
    box: DoubleArray = np.array(
        [x.min() - margin, y.min() - margin, x.max() + margin, y.max() + margin]
    )
    turns = np.outer([-turn, 0, turn] if turn else [0], [1, 0, 1, 0])
    return np.asarray(box + turns)


def placed(
    geometries: Geometries, source: pyproj.CRS, target: pyproj.CRS, box: DoubleArray
) -> Geometries:
    """Bring polygons to another system.

    Args:
        geometries: Polygons, valid or not, (n,).
        source: Their system.
        target: The other.
        box: xmin, ymin, xmax, ymax of the place in question, in the other system. Longitudes are
            those that polygons have there; one that meets it in two ways comes twice.

    Returns:
        Valid polygons, (m,). What has no place in the other system is left out.
    """
    polygons = repaired(_unbroken(geometries, full_turn(source)))
    if source != target:
        piece = np.maximum(PIECE / _metres(source), shapely.length(polygons) / MOST_PIECES)
        way = transformer(source, target)
        polygons = shapely.transform(
            shapely.segmentize(polygons, piece), lambda xy: np.column_stack(way.transform(*xy.T))
        )
        # What a projection takes to infinity lies far from where it is used.
        polygons = polygons[np.isfinite(shapely.bounds(polygons)).all(axis=1)]
        polygons = repaired(_unbroken(polygons, full_turn(target)))
    turn = full_turn(target)
    if not turn or not len(polygons):
        return polygons
    left, _, right, _ = shapely.bounds(polygons).T
    copies = []
    for shift in (-turn, 0.0, turn):
        here = polygons[(left + shift <= box[2]) & (right + shift >= box[0])]
        copies.append(moved(here, shift) if shift else here)
    return np.concatenate(copies)


def moved(geometries: Geometries, by: float) -> Geometries:
    """Return geometries moved along x."""
    shifted: Geometries = shapely.transform(geometries, lambda xy: xy + np.array([by, 0.0]))
    return shifted


@lru_cache(maxsize=64)
def transformer(source: pyproj.CRS, target: pyproj.CRS) -> pyproj.Transformer:
    """Return what transforms x and y, longitude and latitude in this order."""
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


def _unbroken(geometries: Geometries, turn: float) -> Geometries:
    """Mend polygons whose longitudes jump from one end to the other where they cross it."""
    if not turn or not len(geometries):
        return geometries
    left, _, right, _ = shapely.bounds(geometries).T
    result = geometries.copy()
    for index in np.flatnonzero(right - left > turn / 2):
        turned = shapely.transform(
            result[index], lambda xy: np.column_stack([xy[:, 0] % turn, xy[:, 1]])
        )
        west, _, east, _ = shapely.bounds(turned)
        if east - west < right[index] - left[index]:
            result[index] = turned
    return result


def _unit(crs: pyproj.CRS) -> float:
    """Return radians or metres in a unit of a system."""
    return float(crs.axis_info[0].unit_conversion_factor or 1)


def _metres(crs: pyproj.CRS) -> float:
    return _unit(crs) * (EARTH if crs.is_geographic else 1)
