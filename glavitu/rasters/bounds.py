"""Rectangles around places, in any system: edges bend between corners, and longitudes turn."""

from collections.abc import Callable, Sequence

import numpy as np
import rasterio
import shapely

from glavitu.arrays import DoubleArray, Geometries
from glavitu.errors import InputError
from glavitu.rasters.grid import (
    Grid,
    crs_name,
    extent_in_words,
    full_turn,
    transformer,
    turns_between,
)

#: xmin, ymin, xmax, ymax.
Bounds = tuple[float, float, float, float]

#: Parts into which the longer side of a place is divided before it is transformed.
PARTS = 256

#: How often the way around the outermost points is divided further, each time by 32.
REFINED = 3

#: Edges are divided into no more points than this.
MOST_POINTS = 2**20


class NoPlaceError(InputError):
    """A place that another system cannot hold."""


def bounds_of(x: DoubleArray, y: DoubleArray, source: rasterio.CRS, target: rasterio.CRS) -> Bounds:
    """Return bounds of a polygon in another system, as far as its bent edges reach.

    Args:
        x: Along its border, (n,); from each point to the next, and from the last to the first, the
            edge is straight in its own system.
        y: Likewise.
        source: Its system.
        target: Another system, or the same.

    Returns:
        In degrees without a jump, xmin within half a turn of 0: 179 to 181 across the 180th
        meridian; a whole turn, and the pole, around a pole.

    Raises:
        NoPlaceError: If the system has no place for a part of it.
    """
    if source == target:
        return float(x.min()), float(y.min()), float(x.max()), float(y.max())
    way = transformer(source, target)
    turn = full_turn(target)
    x, y = _divided(np.asarray(x, dtype=float), np.asarray(y, dtype=float))
    there_x, there_y = way.transform(x, y)
    if not (np.isfinite(there_x).all() and np.isfinite(there_y).all()):
        raise NoPlaceError(f"no place in {crs_name(target)}")
    around = False
    if turn:
        closed = np.unwrap(np.append(there_x, there_x[0]), period=turn)
        around = abs(closed[-1] - closed[0]) > turn / 2
        there_x = closed[:-1]
    low_y, high_y = _outermost(x, y, there_y, lambda *place: way.transform(*place)[1])
    if around:
        # The border goes around a pole, which lies inside.
        pole = turn / 4
        low_y, high_y = (low_y, pole) if low_y + high_y > 0 else (-pole, high_y)
        return -turn / 2, low_y, turn / 2, high_y
    low_x, high_x = _outermost(x, y, there_x, lambda *place: way.transform(*place)[0], turn)
    by = turn * turns_between(low_x, 0.0, turn)
    return low_x + by, low_y, high_x + by, high_y


def bounds_of_grid(grid: Grid, target: rasterio.CRS) -> Bounds:
    """Return bounds of a grid in another system, see :func:`bounds_of`.

    Raises:
        NoPlaceError: If the system has no place for a part of it.
    """
    return bounds_of(*grid.outline(2), grid.crs, target)


def bounds_of_rings(
    rings: Geometries, source: rasterio.CRS, target: rasterio.CRS, other: Bounds
) -> Bounds:
    """Return bounds of polygons in another system, as far as their bent edges reach.

    Args:
        rings: Their exteriors, at least one.
        source: Their system.
        target: Another system, or the same.
        other: Bounds in it. In degrees each polygon counts where it shares most with them; where
            they are the whole Earth, the shortest way around all polygons is taken.

    Raises:
        NoPlaceError: If the system has no place for a part of them.
    """
    turn = full_turn(target)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    x, y = points.T
    if source != target:
        x, y = transformer(source, target).transform(x, y)
    first = np.flatnonzero(np.diff(ring, prepend=-1))
    low = np.column_stack([np.minimum.reduceat(values, first) for values in (x, y)])
    high = np.column_stack([np.maximum.reduceat(values, first) for values in (x, y)])
    if turn:
        middle = (low[:, 0] + high[:, 0]) / 2
        by = np.round(((other[0] + other[2]) / 2 - middle) / turn) * turn
        low[:, 0] += by
        high[:, 0] += by
    size = high - low
    # An edge bends by far less than it is long: only the outer ones of many count.
    inner_low, inner_high = (low + size).min(axis=0), (high - size).max(axis=0)
    outer = (low - size < inner_low).any(axis=1) | (high + size > inner_high).any(axis=1)
    outer |= ~np.isfinite(size).all(axis=1) | (size[:, 0] > turn / 2 if turn else False)
    parts = []
    for one in np.asarray(rings)[outer]:
        ring_x, ring_y = shapely.get_coordinates(one)[:-1].T
        part = bounds_of(ring_x, ring_y, source, target)
        parts.append(moved(part, turn * beside(part, other, turn)))
    return union(parts, turn if whole_earth(other, turn) else 0.0)


def union(bounds: Sequence[Bounds], turn: float = 0.0) -> Bounds:
    """Return bounds of several.

    Args:
        bounds: At least one.
        turn: A full turn of x, see :func:`~glavitu.rasters.grid.full_turn`. Of the ways around the
            Earth the shortest is taken, from the longitudes of the first; all are a whole turn.
    """
    low, high = min(b[1] for b in bounds), max(b[3] for b in bounds)
    if not turn:
        return min(b[0] for b in bounds), low, max(b[2] for b in bounds), high
    first = bounds[0][0]
    # From west to east, each from the first's west on.
    spans = sorted(((b[0] - first) % turn, b[2] - b[0]) for b in bounds)
    ends = np.array([start + width for start, width in spans])
    ends = np.maximum(np.maximum.accumulate(ends), ends.max() - turn)
    starts = np.array([start for start, _ in spans])
    gaps = np.append(starts[1:], starts[0] + turn) - ends
    widest = int(np.argmax(gaps))
    if gaps[widest] <= 0:
        return first, low, first + turn, high
    # What follows the widest gap lies west of the first, but for the last gap.
    west = starts[0] if widest == len(starts) - 1 else starts[widest + 1] - turn
    return first + west, low, first + float(ends[widest]), high


def intersection(one: Bounds, other: Bounds) -> Bounds:
    """Return what two bounds share; where that is nothing, xmin is not below xmax or so for y."""
    (a, b, c, d), (e, f, g, h) = one, other
    return max(a, e), max(b, f), min(c, g), min(d, h)


def whole_earth(bounds: Bounds, turn: float) -> bool:
    """Tell whether bounds are a full turn wide, so that they may be cut at any longitude."""
    return bounds[2] - bounds[0] > 0.9999 * turn > 0


def moved(bounds: Bounds, by: float) -> Bounds:
    """Return bounds moved along x."""
    return bounds[0] + by, bounds[1], bounds[2] + by, bounds[3]


def empty(bounds: Bounds) -> bool:
    """Tell whether bounds hold nothing."""
    return not (bounds[0] < bounds[2] and bounds[1] < bounds[3])


def beside(bounds: Bounds, other: Bounds, turn: float) -> int:
    """Return how many full turns bring bounds to where they share most with others.

    Args:
        bounds: What is moved.
        other: What stays.
        turn: What :func:`~glavitu.rasters.grid.full_turn` gives; of 0 there is none.
    """
    if not turn:
        return 0
    middle = turns_between((bounds[0] + bounds[2]) / 2, (other[0] + other[2]) / 2, turn)

    def shared(turns: int) -> float:
        by = turn * turns
        return min(bounds[2] + by, other[2]) - max(bounds[0] + by, other[0])

    # Where two share as much, what is not moved.
    return max((0, middle - 1, middle, middle + 1), key=lambda turns: (shared(turns), turns == 0))


def beside_grid(bounds: Bounds, grid: Grid) -> Bounds:
    """Return bounds in a grid's system, moved by the full turns that bring them to the grid."""
    turn = full_turn(grid.crs)
    return moved(bounds, turn * beside(bounds, bounds_of_grid(grid, grid.crs), turn))


def no_place(name: str, grid: Grid, crs: rasterio.CRS) -> InputError:
    """Return the error of a raster that a system has no place for."""
    return InputError(
        f"{name} has no place in {crs_name(crs)}; it spans {extent_in_words(grid)}. Give a CRS "
        "that is made for the region"
    )


def _divided(x: DoubleArray, y: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
    """Divide the edges of a border, so that no part is longer than a share of the whole."""
    right, up = np.roll(x, -1) - x, np.roll(y, -1) - y
    longest = max(np.ptp(x), np.ptp(y), np.finfo(float).tiny) / PARTS
    parts = np.maximum(1, np.ceil(np.hypot(right, up) / longest)).astype(int)
    if parts.sum() > MOST_POINTS:
        parts = np.maximum(1, parts * (MOST_POINTS / parts.sum())).astype(int)
    edge = np.repeat(np.arange(len(x)), parts)
    share = (np.arange(len(edge)) - np.repeat(np.cumsum(parts) - parts, parts)) / parts[edge]
    return x[edge] + share * right[edge], y[edge] + share * up[edge]


def _outermost(
    x: DoubleArray,
    y: DoubleArray,
    values: DoubleArray,
    value_at: Callable[[DoubleArray, DoubleArray], DoubleArray],
    turn: float = 0.0,
) -> tuple[float, float]:
    """Return the least and the largest value along a border, also between its points.

    Args:
        x: Of the border's points.
        y: Likewise.
        values: At the points.
        value_at: Gives the value at any place, but for full turns.
        turn: A full turn of the values.
    """
    found = []
    for sign in (1, -1):
        at = int(np.argmin(sign * values))
        best = float(values[at])
        part = [(at - 1) % len(x), at, (at + 1) % len(x)]
        near_x, near_y = x[part], y[part]
        for _ in range(REFINED):
            steps = np.linspace(0, 2, 65)
            near_x, near_y = (np.interp(steps, [0, 1, 2], near) for near in (near_x, near_y))
            further = value_at(near_x, near_y) - best
            if turn:
                further -= turn * np.round(further / turn)
            here = min(max(int(np.argmin(sign * further)), 1), len(steps) - 2)
            best += sign * min(0.0, float((sign * further).min()))
            near_x, near_y = near_x[here - 1 : here + 2], near_y[here - 1 : here + 2]
        found.append(best)
    return found[0], found[1]
