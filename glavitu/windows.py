"""Pixel rectangles, and overlapping windows over a padded image."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from glavitu.errors import InputError


class Window(NamedTuple):
    """A rectangle of pixels: its first row and column, its height and width."""

    row: int
    col: int
    height: int
    width: int

    def slices_in(self, other: "Window") -> tuple[slice, slice]:
        """Return the rows and columns that it has in an array of another window, which holds it."""
        top, left = self.row - other.row, self.col - other.col
        return slice(top, top + self.height), slice(left, left + self.width)


def intersection(one: Window, other: Window) -> Window | None:
    """Return the pixels that two windows share, None where there are none."""
    row, col = max(one.row, other.row), max(one.col, other.col)
    height = min(one.row + one.height, other.row + other.height) - row
    width = min(one.col + one.width, other.col + other.width) - col
    return Window(row, col, height, width) if height > 0 and width > 0 else None


class Padding(NamedTuple):
    """Padding of one axis: pixels before and after, and the padded size."""

    before: int
    after: int
    size: int


def centred_padding(size: int, window: int) -> Padding:
    """Padding of an axis to window * (size // window + 1), the odd pixel at the end.

    Args:
        size: Length of the axis in pixels.
        window: Window size in pixels.
    """
    padded = window * (size // window + 1)
    before = (padded - size) // 2
    return Padding(before, padded - size - before, padded)


def mirrored_pixels(start: int, stop: int, size: int) -> npt.NDArray[np.intp]:
    """Find what is seen along an axis that is mirrored at both of its borders.

    Args:
        start: First pixel that is seen, below 0 where it lies before the axis.
        stop: End of what is seen, above ``size`` where it lies behind the axis.
        size: Length of the axis in pixels.

    Returns:
        (stop - start,), pixels of the axis. The pixel at a border is not repeated.
    """
    period = max(1, 2 * (size - 1))
    pixels = np.arange(start, stop) % period
    return np.minimum(pixels, period - pixels)


def window_stride(window: int, overlap: float) -> int:
    """Step between windows that share a part of their pixels.

    Args:
        window: Window size in pixels.
        overlap: Part of a window's width that it shares with the next; 0.5 as published.

    Raises:
        InputError: If the overlap is not in [0, 1) or the step not a whole number of pixels.
    """
    step = window * (1 - overlap)
    if not 0 <= overlap < 1 or step < 1 - 1e-6 or abs(step - round(step)) > 1e-6:
        raise InputError(
            f"overlap is {overlap}; give a number from 0 to below 1 by which windows of {window} "
            "pixels step by whole pixels, such as 0, 0.25, 0.5 or 0.75"
        )
    return round(step)


def window_starts(size: int, window: int, stride: int) -> list[int]:
    """Starts of the windows along an axis, from 0 as long as they fit.

    Where the stride leaves a rest at the end, one more window ends at the border. (The published
    stride, half a window, never does.)
    """
    starts = list(range(0, size - window + 1, stride))
    if starts[-1] + window < size:
        starts.append(size - window)
    return starts
