"""The blending of what a model says of overlapping windows.

The published prediction (Maslov et al. 2025): the image is padded to multiples of the window,
windows of 384 pixels step by 192, and each window's class probabilities are weighted by a Gaussian
around its centre.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from glavitu.windows import centred_padding, mirrored_pixels, window_starts


def blend_weights(window: int) -> Tensor:
    """Weights exp(-d^2 / 2) of a window's pixels, d the distance from its centre.

    Args:
        window: Window size in pixels.

    Returns:
        float32 (window, window); the grid runs from -1 to 1 in both directions.
    """
    axis = torch.linspace(-1, 1, window)
    return torch.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / 2)


class BandBlender:
    """Weighted sum of windows, kept for one row of windows at a time.

    Windows are added from the top to the bottom; rows that no later window touches are handed out
    and forgotten, so that memory grows with the width of an image and not with its height.

    Args:
        classes: Number of classes.
        width: Width of the padded image in pixels.
        window: Window size in pixels.
        device: Where the windows are, and the sums.
    """

    def __init__(
        self, classes: int, width: int, window: int, device: torch.device | str = "cpu"
    ) -> None:
        self.window = window
        self.weights = blend_weights(window).to(device)
        self.total = torch.zeros(classes, window, width, device=device)
        self.weight = torch.zeros(window, width, device=device)

    def add(self, col: int, probabilities: Tensor) -> None:
        """Add a window of the current row of windows.

        Args:
            col: First column of the window in the padded image.
            probabilities: (classes, window, window).
        """
        columns = slice(col, col + self.window)
        self.total[:, :, columns] += self.weights * probabilities
        self.weight[:, columns] += self.weights

    def advance(self, rows: int) -> Tensor:
        """Hand out the top rows and move down by as many.

        Args:
            rows: Number of finished rows, at most a window.

        Returns:
            (classes, rows, width) blended probabilities, NaN where there was no window.
        """
        finished = self.total[:, :rows] / self.weight[:rows]
        self.total = torch.nn.functional.pad(self.total[:, rows:], (0, 0, 0, rows))
        self.weight = torch.nn.functional.pad(self.weight[rows:], (0, 0, 0, rows))
        return finished


#: Gives the columns and the class probabilities (classes, window, window) of windows, the row at
#: which they start and their columns given, in the order of these; it may leave some out.
PredictRow = Callable[[int, Sequence[int]], Iterable[tuple[int, Tensor]]]


def blend_bands(
    predict: PredictRow,
    height: int,
    width: int,
    window: int,
    stride: int,
    classes: int,
    *,
    first_row: int = 0,
    device: torch.device | str = "cpu",
) -> Iterator[tuple[int, Tensor]]:
    """Predict all windows of a padded image and blend them, band by band.

    Windows are added up in a fixed order, from the top left. Where ``first_row`` is given, the rows
    from there on are equal to the bit to those of a run from the start.

    Args:
        predict: Predicts a row of windows.
        height: Height of the padded image in pixels, at least a window.
        width: Width of the padded image in pixels, at least a window.
        window: Window size in pixels.
        stride: Step between windows in pixels.
        classes: Number of classes.
        first_row: First row that is wanted; windows that end above it are not predicted.
        device: Where the probabilities are.

    Yields:
        The first row of a band in the padded image, and its probabilities (classes, rows, width);
        NaN where no window was predicted.
    """
    blender = BandBlender(classes, width, window, device)
    rows, cols = window_starts(height, window, stride), window_starts(width, window, stride)
    for row, next_row in zip(rows, [*rows[1:], height], strict=True):
        if row + window <= first_row:
            continue
        for col, probabilities in predict(row, cols):
            blender.add(col, probabilities)
        band = blender.advance(next_row - row)
        start = max(row, first_row)
        if start < next_row:
            yield start, band[:, start - row :]


def predict_blended(
    predict: Callable[[Tensor], Tensor],
    image: Tensor,
    window: int,
    stride: int,
    classes: int,
    batch_size: int = 8,
    mirrored: bool = False,
) -> Tensor:
    """Predict a whole image in memory by blended windows.

    Args:
        predict: Maps windows (n, C, window, window) to probabilities (n, classes, window, window).
        image: (C, H, W), scaled; padded here and cut again.
        window: Window size in pixels.
        stride: Step between windows in pixels.
        classes: Number of classes.
        batch_size: Windows predicted at once.
        mirrored: Pad with the image mirrored at its borders; with 0, as published, by default.

    Returns:
        float32 (classes, H, W) on the CPU.
    """
    channels, height, width = image.shape
    vertical, horizontal = centred_padding(height, window), centred_padding(width, window)
    top, left = vertical.before, horizontal.before
    blended = torch.empty(classes, height, width)

    def predict_row(row: int, cols: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        # Only these rows are padded: of a whole scene a second copy would take much memory.
        if mirrored:
            down = mirrored_pixels(row - top, row - top + window, height)
            strip = image[:, down][:, :, mirrored_pixels(-left, horizontal.size - left, width)]
        else:
            strip = image.new_zeros(channels, window, horizontal.size)
            first, last = max(row, top), min(row + window, top + height)
            if first < last:
                held = image[:, first - top : last - top]
                strip[:, first - row : last - row, left : left + width] = held
        for first in range(0, len(cols), batch_size):
            batch = cols[first : first + batch_size]
            windows = torch.stack([strip[:, :, col : col + window] for col in batch])
            yield from zip(batch, predict(windows).float().cpu(), strict=True)

    for row, band in blend_bands(
        predict_row, vertical.size, horizontal.size, window, stride, classes
    ):
        first, last = max(row, top), min(row + band.shape[1], top + height)
        if first < last:
            inside = band[:, first - row : last - row, left : left + width]
            blended[:, first - top : last - top] = inside
    return blended
