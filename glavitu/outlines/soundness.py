"""Which features of a vector file are polygons with a place, and what is wrong with the others."""

import warnings
from collections import Counter

import numpy as np
import numpy.typing as npt
import pyproj
import shapely

from glavitu.arrays import DoubleArray, Geometries
from glavitu.errors import InputError
from glavitu.files import Name
from glavitu.outlines.layers import COLLECTION, POLYGON_TYPES, polygons_in
from glavitu.outlines.plane import repaired

#: What may be wrong with a polygon, in words.
MISSING = "no geometry that can be read"
INFINITE = "coordinates that are no finite numbers"
IMPOSSIBLE = "coordinates that are none in the file's CRS"
FLAT = "no area"
FAULTS = (MISSING, INFINITE, IMPOSSIBLE, FLAT)

#: Longitudes are -180 to 180 or 0 to 360, and go on where a polygon crosses the end of that.
MOST_LONGITUDE = 540.0

#: No projection of the Earth has larger coordinates, in metres; Gauss and Krueger's put the zone's
#: number before the millions.
MOST_METRES = 1e8

#: A word for each feature, (n,), empty where it is sound.
Words = npt.NDArray[np.object_]


def decoded(wkb: npt.NDArray[np.object_], crs: pyproj.CRS) -> tuple[Geometries, Words]:
    """Decode features; open rings are closed, and polygons are taken out of collections.

    Args:
        wkb: Well-known binary of each feature, or None, (n,).
        crs: Their coordinate reference system.

    Returns:
        Geometries without heights, (n,), as valid or invalid as those of the file; and what is
        wrong with each, (n,): nothing, one of :data:`FAULTS`, or, of what is no polygon, its kind.
    """
    geometries: Geometries = shapely.force_2d(shapely.from_wkb(wkb, on_invalid="fix"))
    words = np.full(len(wkb), "", dtype=object)
    words[shapely.is_missing(geometries) | shapely.is_empty(geometries)] = MISSING
    for index in np.flatnonzero(shapely.get_type_id(geometries) == COLLECTION):
        parts = polygons_in(geometries[index])
        if parts:
            geometries[index] = shapely.MultiPolygon(parts)
    for index in np.flatnonzero(~np.isin(shapely.get_type_id(geometries), POLYGON_TYPES)):
        words[index] = words[index] or geometries[index].geom_type
    xy, feature = shapely.get_coordinates(geometries, return_index=True)
    for word, wrong in (
        (INFINITE, ~np.isfinite(xy).all(axis=1)),
        (IMPOSSIBLE, ~(np.abs(xy) <= largest(crs)).all(axis=1)),
    ):
        found = np.unique(feature[wrong])
        words[found] = np.where(words[found] == "", word, words[found])
    # Only when it is repaired does a bow tie have an area.
    flat = np.flatnonzero((words == "") & (shapely.area(geometries) == 0))
    words[flat[shapely.area(repaired(geometries[flat])) == 0]] = FLAT
    return geometries, words


def largest(crs: pyproj.CRS) -> tuple[float, float]:
    """Return the largest x and y, without their signs, that coordinates of a CRS can have."""
    unit = float(crs.axis_info[0].unit_conversion_factor or 1)
    if crs.is_geographic:
        degree = np.radians(1) / unit
        return MOST_LONGITUDE * degree, (90 + 1e-6) * degree
    return MOST_METRES / unit, MOST_METRES / unit


def report(path: Name, words: Words, bounds: DoubleArray, crs: pyproj.CRS) -> None:
    """Say what is wrong with the features of a file.

    Args:
        path: The file.
        words: What :func:`decoded` gives of all its features, (n,).
        bounds: xmin, ymin, xmax, ymax of each, (n, 4).
        crs: Their coordinate reference system.

    Raises:
        InputError: If something is no polygon, no feature is sound, or coordinates are in another
            unit than the CRS.
    """
    counts = Counter(words.tolist())
    kinds = sorted(set(counts) - {"", *FAULTS})
    if kinds:
        raise InputError(
            f"{path}: holds {', '.join(kinds)} geometries, but glacier outlines must be "
            "polygons; convert lines to polygons first"
        )
    if counts[IMPOSSIBLE] and not counts[""]:
        raise InputError(f"{path}: {_impossible(bounds[words == IMPOSSIBLE], crs)}")
    sound = bounds[words == ""]
    if len(sound) and not crs.is_geographic and _like_degrees(sound):
        raise InputError(
            f"{path}: its coordinates, {_span(sound)}, look like degrees, but those of its CRS "
            f"{crs.name} are in {crs.axis_info[0].unit_name}s; write the right CRS into the file, "
            "such as EPSG:4326"
        )
    wrong = len(words) - counts[""]
    if not wrong:
        return
    found = ", ".join(f"{counts[word]} with {word}" for word in FAULTS if counts[word])
    text = f"{path}: {wrong} of {len(words)} outlines cannot be used: {found}"
    remedy = "mend them (in QGIS: Fix geometries) or delete them"
    if not len(sound):
        raise InputError(f"{text}; {remedy}, or write the file again")
    warnings.warn(f"{text}. They are left out, as if there were no glacier; {remedy}", stacklevel=2)


def _impossible(bounds: DoubleArray, crs: pyproj.CRS) -> str:
    (xmin, ymin), (xmax, ymax) = bounds[:, :2].min(axis=0), bounds[:, 2:].max(axis=0)
    found = f"its coordinates, {_span(bounds)}, are none in its CRS {crs.name}"
    if not crs.is_geographic:
        return f"{found}; no place on the Earth has such. Write the right CRS into the file"
    if max(abs(xmin), abs(xmax)) <= 90 and max(abs(ymin), abs(ymax)) <= MOST_LONGITUDE:
        return (
            f"{found}; latitude and longitude are swapped. Longitude comes first in a file: swap "
            "them (in QGIS: Swap X and Y coordinates)"
        )
    return (
        f"{found}, which is in degrees; they seem to be metres. Write the CRS that they are in "
        "into the file, such as EPSG:32645"
    )


def _like_degrees(bounds: DoubleArray) -> bool:
    x, y = bounds[:, ::2], bounds[:, 1::2]
    return bool((np.abs(x) <= 360).all() and (np.abs(y) <= 90).all())


def _span(bounds: DoubleArray) -> str:
    low, high = bounds[:, :2].min(axis=0), bounds[:, 2:].max(axis=0)
    return f"x {low[0]:.6g} to {high[0]:.6g}, y {low[1]:.6g} to {high[1]:.6g}"
