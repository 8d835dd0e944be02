"""Which outlines show the same glacier."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from glavitu.arrays import Geometries
from glavitu.compare.outline_files import OutlineFile
from glavitu.errors import InputError

#: Share of the smaller of two outlines that both must cover to show the same glacier.
MINIMUM_OVERLAP = 0.1

#: For each file the glacier (a number from 0) of each outline.
Matches = list[npt.NDArray[np.intp]]


def by_overlap(files: Sequence[OutlineFile]) -> Matches:
    """Match outlines by the area they share with the reference.

    Each outline goes with the one of the other file with which it shares the largest area, if that
    is at least :data:`MINIMUM_OVERLAP` of the smaller of the two. What goes together, over one or
    several such pairs, is one glacier: parts into which one file splits it, and neighbours that
    one file merges. Every file is matched with the reference alone.

    Args:
        files: Predicted, reference, and experts.

    Raises:
        InputError: If no outline of a file shows a glacier of the reference.
    """
    sizes = [len(file.plane) for file in files]
    first = np.cumsum([0, *sizes[:-1]])
    pairs = []
    for file, offset in zip(files, first, strict=True):
        if file is files[1]:
            continue
        mine, theirs = _partners(file.plane, files[1].plane)
        if len(mine) == 0:
            raise InputError(
                f"{file.path}: none of its {len(file.plane)} outlines overlaps one of "
                f"{files[1].path}; {_remedy(file, files[1])}"
            )
        pairs.append((mine + offset, theirs + first[1]))
    rows, columns = (np.concatenate(side) for side in zip(*pairs, strict=True))
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(sum(sizes), sum(sizes)))
    _, glaciers = connected_components(graph, directed=False)
    return np.split(glaciers.astype(np.intp), first[1:])


def by_id(files: Sequence[OutlineFile]) -> Matches:
    """Match outlines by their ids; several outlines with one id are parts of one glacier.

    Args:
        files: Predicted, reference, and experts, all with ids.

    Raises:
        InputError: If a file has no id of the reference.
    """
    ids = [file.ids for file in files if file.ids is not None]
    for file, names in zip(files, ids, strict=True):
        if not np.isin(names, ids[1]).any():
            raise InputError(
                f"{file.path}: none of its ids, such as {names[0]}, is in {files[1].path}, which "
                f"has such as {ids[1][0]}; name a column that both share, or match by overlap"
            )
    glaciers, _ = pd.factorize(np.concatenate(ids))
    return np.split(glaciers, np.cumsum([len(names) for names in ids])[:-1])


def _remedy(file: OutlineFile, reference: OutlineFile) -> str:
    """Say what may be wrong with outlines of two places."""
    # As if its longitudes were latitudes.
    bottom, left, top, right = shapely.total_bounds(file.degrees)
    west, south, east, north = shapely.total_bounds(reference.degrees)
    if left <= east and right >= west and bottom <= north and top >= south:
        return (
            "longitude and latitude seem to be swapped in one of the two; longitude comes first: "
            "swap them (in QGIS: Swap X and Y coordinates)"
        )
    return "give outlines of the same place, and check both files' CRS"


def _partners(
    mine: Geometries, theirs: Geometries
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the pairs of which one is the best partner of the other."""
    i, j = shapely.STRtree(theirs).query(mine, predicate="intersects")
    shared = shapely.area(shapely.intersection(mine[i], theirs[j]))
    smaller = np.minimum(shapely.area(mine)[i], shapely.area(theirs)[j])
    pairs = pd.DataFrame({"i": i, "j": j, "shared": shared})[shared >= MINIMUM_OVERLAP * smaller]
    best = [pairs.groupby(side)["shared"].idxmax() for side in ("i", "j")]
    pairs = pairs.loc[np.union1d(*best)]
    return pairs["i"].to_numpy(), pairs["j"].to_numpy()
