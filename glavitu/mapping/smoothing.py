"""The median filter over a class raster."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.ndimage import correlate1d

from glavitu.classes import GLACIER
from glavitu.mapping.row_store import STRIP_ROWS, RowStore

#: Value of a class raster where nothing is known.
NODATA = 255

ClassArray = npt.NDArray[np.uint8]


def median_of_classes(classes: ClassArray, window: int) -> ClassArray:
    """Replace each pixel by the median of the square around it.

    Pixels without data, and those beyond the raster, have no part in it. Where as many pixels are
    glacier as are not, the pixel stays what it is.

    Args:
        classes: uint8 (H, W), 1 = glacier, 0 = not, 255 = no data.
        window: Side of the square in pixels, odd.

    Returns:
        uint8 (H, W), 255 where it was before.
    """
    votes = np.where(classes == NODATA, 0, np.where(classes == GLACIER, 1, -1)).astype(np.int32)
    for axis in (0, 1):
        votes = correlate1d(votes, np.ones(window), axis, mode="constant")
    kept = (classes == NODATA) | (votes == 0)
    smoothed: ClassArray = np.where(kept, classes, votes > 0).astype(np.uint8)
    return smoothed


def smoothed_strips(store: RowStore, field: str, window: int) -> Iterator[ClassArray]:
    """Smooth a class raster strip by strip; that it is done so does not show.

    Args:
        store: Complete rows.
        field: Its field with the classes.
        window: Side of the median's square in pixels, odd.

    Yields:
        uint8 (rows, W), from the top to the bottom.
    """
    margin = window // 2
    for row in range(0, store.rows, STRIP_ROWS):
        last = min(row + STRIP_ROWS, store.rows)
        above, below = max(0, row - margin), min(store.rows, last + margin)
        strip = median_of_classes(store.read(above, below - above)[field], window)
        yield strip[row - above : last - above]
