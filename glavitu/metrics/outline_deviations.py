"""How far outlines of a glacier lie apart: areas and distances, on a plane around the glacier."""

from collections.abc import Sequence
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np
import shapely

from glavitu.arrays import DoubleArray
from glavitu.outlines.plane import area_km2

#: Metres between the points of an outline whose distances are taken.
STEP = 10.0


class Distances(NamedTuple):
    """Distances from points along one outline to the nearest of the other, in metres.

    Attributes:
        mean: Over the points, which stand for equal lengths of the outline.
        median: Over the points.
        p95: The 95th percentile, which 5 % of the outline exceeds.
    """

    mean: float
    median: float
    p95: float


class ExpertSpread(NamedTuple):
    """How far experts lie apart, and whether a prediction lies within.

    The distance of two outlines is here the mean of the two mean distances, one in each direction;
    that of an expert is the mean over the other experts, that of the prediction over all experts.

    Attributes:
        experts: Number of experts.
        experts_km2: Mean of their areas.
        experts_std_percent: Standard deviation of their areas (n - 1), in percent of the mean.
        experts_min_percent: (smallest - mean) / mean of their areas, in percent.
        experts_max_percent: (largest - mean) / mean of their areas, in percent.
        predicted_to_experts_percent: (predicted - mean) / mean of their areas, in percent.
        within_experts_area: Whether the predicted area is between the smallest and the largest.
        experts_distance_mean_m: Mean of the experts' distances to one another.
        experts_distance_std_m: Standard deviation of the same (n - 1).
        experts_distance_min_m: The least of the same.
        experts_distance_max_m: The greatest of the same.
        predicted_to_experts_m: The prediction's distance.
        within_experts_distance: Whether that is at most the greatest of the experts'.
    """

    experts: int
    experts_km2: float
    experts_std_percent: float
    experts_min_percent: float
    experts_max_percent: float
    predicted_to_experts_percent: float
    within_experts_area: bool
    experts_distance_mean_m: float
    experts_distance_std_m: float
    experts_distance_min_m: float
    experts_distance_max_m: float
    predicted_to_experts_m: float
    within_experts_distance: bool


def percent(value: float, reference: float) -> float:
    """Return the signed deviation (value - reference) / reference in percent."""
    return 100 * ((value - reference) / reference)


def distances(outline: Any, other: Any, step: float = STEP) -> Distances:
    """Measure from points along an outline to the nearest point of another one.

    The outlines are all rings, those of holes too. Points stand at equal spacing along them.

    Args:
        outline: Polygon on a plane, in metres.
        other: Polygon on the same plane.
        step: Spacing of the points in metres, at most.

    Example:
        >>> square, shifted = shapely.box(0, 0, 1000, 1000), shapely.box(30, 0, 1030, 1000)
        >>> distances(square, shifted)
        Distances(mean=15.0, median=15.0, p95=30.0)
    """
    points = shapely.points(_points_along(*_segments(outline), step))
    pieces: Any = shapely.linestrings(np.stack(_segments(other), axis=1))
    tree = shapely.STRtree(pieces)
    _, nearest = tree.query_nearest(points, return_distance=True, all_matches=False)
    return Distances(
        float(nearest.mean()), float(np.median(nearest)), float(np.percentile(nearest, 95))
    )


def expert_spread(predicted: Any, experts: Sequence[Any], step: float = STEP) -> ExpertSpread:
    """Set the deviation of a prediction beside those of experts among themselves.

    Args:
        predicted: Polygon on a plane, in metres.
        experts: The same glacier by two or more experts, on the same plane.
        step: As for :func:`distances`.
    """
    n, area = len(experts), area_km2(predicted)
    areas = np.array([area_km2(expert) for expert in experts])
    mean = float(areas.mean())
    # Each expert is set against the others as the prediction is against all: like with like.
    apart = np.zeros((n, n))
    for a, b in permutations(range(n), 2):
        apart[[a, b], [b, a]] += distances(experts[a], experts[b], step).mean / 2
    among = apart.sum(axis=1) / (n - 1)
    both = [
        distances(predicted, expert, step).mean + distances(expert, predicted, step).mean
        for expert in experts
    ]
    far = float(np.mean(both)) / 2
    return ExpertSpread(
        experts=n,
        experts_km2=mean,
        experts_std_percent=100 * float(areas.std(ddof=1)) / mean,
        experts_min_percent=percent(float(areas.min()), mean),
        experts_max_percent=percent(float(areas.max()), mean),
        predicted_to_experts_percent=percent(area, mean),
        within_experts_area=bool(areas.min() <= area <= areas.max()),
        experts_distance_mean_m=float(among.mean()),
        experts_distance_std_m=float(among.std(ddof=1)),
        experts_distance_min_m=float(np.min(among)),
        experts_distance_max_m=float(np.max(among)),
        predicted_to_experts_m=far,
        within_experts_distance=bool(far <= np.max(among)),
    )


def _segments(polygon: Any) -> tuple[DoubleArray, DoubleArray]:
    """Return the starts and ends (n, 2) of the straight pieces of all rings."""
    rings = shapely.get_rings(shapely.get_parts(polygon))
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    joined = ring[1:] == ring[:-1]
    return xy[:-1][joined], xy[1:][joined]


def _points_along(start: DoubleArray, end: DoubleArray, step: float) -> DoubleArray:
    """Return points (n, 2) that stand for equal lengths, each amid its own."""
    length = np.hypot(*(end - start).T)
    reached = np.cumsum(length)
    n = int(np.ceil(reached[-1] / step))
    along = (np.arange(n) + 0.5) * reached[-1] / n
    piece = np.searchsorted(reached, along)
    left = (reached[piece] - along) / length[piece]
    points: DoubleArray = end[piece] - left[:, None] * (end - start)[piece]
    return points
