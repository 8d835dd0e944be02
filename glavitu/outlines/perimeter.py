"""Outlines without the stairs of pixels, to measure how long they are."""

import numpy as np
import shapely

from glavitu.arrays import DoubleArray, Geometries

#: A mean over three points taken twice, of which one more is taken of what it leaves.
WEIGHTS = (1 / 9, 2 / 9, 3 / 9, 2 / 9, 1 / 9)


def without_stairs(rings: Geometries) -> Geometries:
    """Smooth rings along pixels, which are up to 41 % longer than what they stand for.

    A point is taken every pixel, from the middle of an edge on, and a low-pass filter that does not
    shrink runs around the ring: twice a mean less the mean of it (Taubin 1995, doi
    10.1145/218380.218473, has the idea). The length of circles, ellipses and lobes of more than 100
    pixels comes out within 3 %, of more than 1,000 within 2 %; a corner loses half a pixel of it.
    Pieces of a few pixels have no shape to go by.

    Args:
        rings: Linear rings, in pixels, (n,).

    Returns:
        Linear rings, (n,).
    """
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    if not len(xy):
        return rings
    steps = np.hypot(*np.diff(xy, axis=0).T)
    steps[ring[1:] != ring[:-1]] = 0
    along = np.concatenate([[0.0], np.cumsum(steps)])
    start = along[np.flatnonzero(np.diff(ring, prepend=-1))]
    length = np.bincount(ring[:-1], weights=steps, minlength=len(rings))
    count = np.maximum(4, np.rint(length)).astype(np.int64)
    of = np.repeat(np.arange(len(rings)), count)
    first = np.cumsum(count) - count
    place = np.arange(len(of)) - first[of]
    at = start[of] + (place + 0.5) * (length / count)[of]
    points = np.column_stack([np.interp(at, along, values) for values in xy.T])

    def mean(values: DoubleArray) -> DoubleArray:
        result = np.zeros_like(values)
        for offset, weight in enumerate(WEIGHTS, -2):
            result += weight * values[first[of] + (place + offset) % count[of]]
        return result

    once = mean(points)
    return np.asarray(shapely.linearrings(2 * once - mean(once), indices=of))
