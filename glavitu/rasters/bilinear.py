"""Interpolation between pixels, and the pixels around points."""

import numpy as np

from glavitu.arrays import BoolArray, DoubleArray, FloatArray


def bilinear(
    values: FloatArray, holes: BoolArray | None, rows: DoubleArray, cols: DoubleArray
) -> FloatArray:
    """Interpolate at points, given in pixels from the first pixel's outer corner.

    Args:
        values: (bands, H, W).
        holes: Where they are missing (and 0), None for nowhere.
        rows: (h, w) of the points.
        cols: Likewise.

    Returns:
        (bands, h, w), NaN where the pixel around the point is missing or does not exist.
    """
    height, width = values.shape[1:]
    within = all(
        bool(np.min(place) >= 0.5 and np.max(place) < size - 0.5)
        for place, size in ((rows, height), (cols, width))
    )
    outside = None
    if not within:
        outside = ~((rows >= 0) & (rows < height) & (cols >= 0) & (cols < width))
        if outside.all():
            return np.full((len(values), *rows.shape), np.nan, dtype=np.float32)
        rows, cols = np.where(outside, 0, rows), np.where(outside, 0, cols)
    top, left = np.floor(rows - 0.5), np.floor(cols - 0.5)
    down, right = ((rows - 0.5) - top).astype(np.float32), ((cols - 0.5) - left).astype(np.float32)
    top, left = top.astype(np.intp), left.astype(np.intp)
    if within:
        corner = top * width + left
        corners = [(corner, away) for away in (0, 1, width, width + 1)]
    else:
        north, south = np.maximum(top, 0) * width, np.minimum(top + 1, height - 1) * width
        west, east = np.maximum(left, 0), np.minimum(left + 1, width - 1)
        corners = [(row + col, 0) for row in (north, south) for col in (west, east)]

    def between(bands: FloatArray) -> FloatArray:
        flat = bands.reshape(len(bands), -1)
        parts: list[FloatArray] = [flat[:, away:].take(place, axis=1) for place, away in corners]
        upper, upper_east, lower, lower_east = parts
        upper_east -= upper
        upper_east *= right
        upper += upper_east
        lower_east -= lower
        lower_east *= right
        lower += lower_east
        lower -= upper
        lower *= down
        upper += lower
        return upper

    points: FloatArray = between(values)
    if holes is not None:
        lost = pixels_at(holes, rows, cols)
        with np.errstate(invalid="ignore", divide="ignore"):
            points /= between((~holes).astype(np.float32))
        points[lost] = np.nan
    if outside is not None:
        points[:, outside] = np.nan
    return points


def pixels_at(pixels: BoolArray, rows: DoubleArray, cols: DoubleArray) -> BoolArray:
    """Return the pixels (bands, H, W) around points (h, w); beyond, false."""
    height, width = pixels.shape[1:]
    inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
    own = np.where(inside, rows, 0).astype(np.intp) * width
    own += np.where(inside, cols, 0).astype(np.intp)
    found = pixels.reshape(len(pixels), -1).take(own, axis=1)
    return np.asarray(found & inside)
