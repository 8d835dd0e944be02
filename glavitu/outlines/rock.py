"""Rock in glaciers: in downloads of GLIMS it comes as polygons beside theirs."""

from collections.abc import Iterable

import numpy as np
import shapely

from glavitu.arrays import BoolArray, Geometries

#: The column that tells what a feature is.
COLUMN = "line_type"

#: What GLIMS calls features that are no glacier's boundary; rock is a hole in it.
ROCK = "intrnl_rock"
NO_GLACIER = ("debris_cov", "supra_lake", "pro_lake", "centerline", "snow_line")


def without_rock(geometries: Geometries, rock: Geometries) -> Geometries:
    """Cut rock out of glaciers.

    Args:
        geometries: Polygons, (n,).
        rock: Polygons in the same system, (m,).

    Returns:
        Polygons with holes, (n,); empty where all is rock.
    """
    result = geometries.copy()
    inside, holes = shapely.STRtree(rock).query(geometries, predicate="intersects")
    for index in np.unique(inside):
        hole = shapely.union_all(rock[holes[inside == index]])
        result[index] = shapely.difference(geometries[index], hole)
    return result


def line_types(column: Iterable[object]) -> tuple[BoolArray, BoolArray]:
    """Tell which features are rock, and which are neither rock nor a glacier.

    Args:
        column: The values of :data:`COLUMN`, (n,).

    Returns:
        Whether each is rock, and whether it is debris, a lake or a line, (n,). What is neither, or
        says nothing of itself, is a glacier.
    """
    names = np.array([str(one).strip().lower() for one in column], dtype=np.str_)
    return names == ROCK, np.isin(names, NO_GLACIER)
