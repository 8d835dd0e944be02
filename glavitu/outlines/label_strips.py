"""Which polygon each pixel belongs to, strip by strip."""

import numpy as np
import numpy.typing as npt
import shapely
from rasterio.transform import Affine

from glavitu.arrays import Geometries
from glavitu.outlines.polygons import in_pixels

Labels = npt.NDArray[np.int32]


class LabelStrips:
    """Polygons that do not overlap, rasterised some rows at a time.

    A pixel belongs to the polygon that holds its centre, as in GDAL. But GDAL converts all vertices
    of a polygon for every strip that it touches; here an edge is looked at only where it is.

    Args:
        geometries: Polygons that do not overlap, (n,).
        transform: From pixels to their coordinates.
        width: Columns of the raster.
    """

    def __init__(self, geometries: Geometries, transform: Affine, width: int) -> None:
        self.width = width
        rings, polygon = shapely.get_rings(in_pixels(geometries, transform), return_index=True)
        outer = np.diff(polygon, prepend=-1) != 0
        xy, ring = shapely.get_coordinates(rings, return_index=True)
        start, end = xy[:-1], xy[1:]
        edge = (ring[1:] == ring[:-1]) & (start[:, 1] != end[:, 1])
        start, end, ring = start[edge], end[edge], ring[:-1][edge]
        down = end[:, 1] > start[:, 1]
        # From left to right, a polygon begins at the edges that go up where it is on their right.
        begins = down == (shapely.is_ccw(rings) != outer)[ring]
        label = polygon[ring].astype(np.int32) + 1
        self._step = np.where(begins, label, -label)
        # Always downwards, so that two polygons find a common edge in the same place.
        self._top = np.where(down[:, None], start, end)
        self._bottom = np.where(down[:, None], end, start)
        # The rows whose centres an edge passes.
        self._first, self._last = (
            np.ceil(y - 0.5).astype(np.int64) for y in (self._top[:, 1], self._bottom[:, 1])
        )

    def read(self, row: int, rows: int) -> Labels:
        """Return the strip from ``row``, int32 (rows, width): 0, or 1 + the polygon's index."""
        first, last = np.maximum(self._first, row), np.minimum(self._last, row + rows)
        here = np.flatnonzero(last > first)
        first, count = first[here], (last - first)[here]
        edge = np.repeat(here, count)
        y = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count - first, count)
        top, bottom = self._top[edge], self._bottom[edge]
        share = (y + 0.5 - top[:, 1]) / (bottom[:, 1] - top[:, 1])
        x = top[:, 0] + share * (bottom[:, 0] - top[:, 0])
        column = np.clip(np.ceil(x - 0.5), 0, self.width).astype(np.int64)
        steps = np.zeros((rows, self.width + 1), dtype=np.int32)
        np.add.at(steps.reshape(-1), (y - row) * (self.width + 1) + column, self._step[edge])
        labels: Labels = np.cumsum(steps, axis=1, dtype=np.int32, out=steps)[:, :-1]
        return labels
