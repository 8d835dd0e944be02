"""Streaming a model over a scene: reading, predicting and writing at the same time."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from glavitu.classes import GLACIER
from glavitu.confidence.calibration import Calibration
from glavitu.errors import InputError
from glavitu.mapping.devices import Predictor
from glavitu.mapping.location import LocationOf
from glavitu.mapping.row_store import RowStore
from glavitu.mapping.smoothing import NODATA
from glavitu.models.blending import blend_bands
from glavitu.models.entropy import confidence
from glavitu.rasters.scene import Scene
from glavitu.threads import background_thread, prefetch
from glavitu.windows import (
    Padding,
    Window,
    centred_padding,
    mirrored_pixels,
    window_starts,
)

#: Rows of pixels: the image (C, rows, W), and whether there is data (rows, W).
Piece = tuple[Tensor, npt.NDArray[np.bool_]]


class Layout(NamedTuple):
    """Where the windows of a scene lie.

    Attributes:
        window: Window size in pixels.
        stride: Step between windows in pixels.
        vertical: Padding of the rows.
        horizontal: Padding of the columns.
        mirrored: Whether the padding shows the scene mirrored at its borders, and not 0.
    """

    window: int
    stride: int
    vertical: Padding
    horizontal: Padding
    mirrored: bool = False

    @classmethod
    def of(cls, scene: Scene, window: int, stride: int, mirrored: bool = False) -> "Layout":
        """Lay windows over a scene, padded by as much as published."""
        vertical, horizontal = (centred_padding(n, window) for n in (scene.height, scene.width))
        return cls(window, stride, vertical, horizontal, mirrored)

    @property
    def rows(self) -> list[int]:
        """First row of each row of windows in the padded scene."""
        return window_starts(self.vertical.size, self.window, self.stride)

    @property
    def cols(self) -> list[int]:
        """First column of the windows in each row of them."""
        return window_starts(self.horizontal.size, self.window, self.stride)

    @property
    def windows(self) -> int:
        """Number of windows."""
        return len(self.rows) * len(self.cols)


class Counts(NamedTuple):
    """Windows of a run.

    Attributes:
        predicted: Those that went through the model.
        skipped: Those without data.
        done: Those whose pixels were there from a run before.
    """

    predicted: int
    skipped: int
    done: int


@dataclass(frozen=True)
class Finish:
    """Turns blended probabilities into rows of the map.

    Attributes:
        store: Where the rows go: ``classes``, ``confidence``, and ``probability`` (of glacier)
            where it has it.
        calibration: Makes calibrated confidence, None for raw.
        region: Index of the region whose calibration counts.
        source: The scene's files, for messages.
    """

    store: RowStore
    calibration: Calibration | None
    region: int
    source: str

    def __call__(self, band: Tensor, valid: npt.NDArray[np.bool_]) -> None:
        """Store the next rows.

        Args:
            band: Probabilities (classes, rows, W).
            valid: bool (rows, W), where there is data.

        Raises:
            InputError: If a probability is not finite.
            OSError: If the rows cannot be written.
        """
        if not band.sum(0).isfinite().numpy()[valid].all():
            raise InputError(
                "the model's probabilities are not finite; check the checkpoint, and the units of "
                f"{self.source}"
            )
        with torch.inference_mode():
            sure = confidence(band, dim=0)
            if self.calibration is not None:
                sure = self.calibration(sure, self.region)
        fields = {
            "classes": np.where(valid, band.numpy().argmax(0) == GLACIER, np.uint8(NODATA)),
            "confidence": np.where(valid, sure.numpy(), np.float32(np.nan)),
            "probability": np.where(valid, band[GLACIER].numpy(), np.float32(np.nan)),
        }
        self.store.append({name: fields[name] for name in self.store.dtype.names or ()})


def predict_scene(
    predictor: Predictor,
    scene: Scene,
    layout: Layout,
    location_of: LocationOf,
    finish: Finish,
    progress: bool,
) -> Counts:
    """Predict a scene and store its rows, from the first that is missing.

    Each row of pixels is read once, by a thread of its own; another one stores the finished bands.
    Windows are predicted in batches that never reach over the end of a row of windows, so that the
    batches of a run that was interrupted are those of one that was not, and so are its pixels.

    Args:
        predictor: Predicts batches of windows.
        scene: The scene.
        layout: The scene's windows.
        location_of: Gives the windows' location vectors.
        finish: Stores what is finished.
        progress: Show a progress bar.

    Returns:
        How many windows were predicted, and how many were not.

    Raises:
        InputError: If a file cannot be read, or a probability is not finite.
        OSError: If rows cannot be stored.
    """
    top, left = layout.vertical.before, layout.horizontal.before
    columns = slice(left, left + scene.width)
    first_row, last_row = top + finish.store.rows, top + scene.height
    if first_row == last_row:
        return Counts(0, 0, layout.windows)
    starts = [row for row in layout.rows if row + layout.window > first_row]
    done = (len(layout.rows) - len(starts)) * len(layout.cols)
    with (
        torch.inference_mode(),
        background_thread("read") as reader,
        background_thread("write") as writer,
        tqdm(
            total=layout.windows, initial=done, desc="Mapping", unit="window", disable=not progress
        ) as bar,
    ):
        strip = _Strip(layout.window)
        pieces = prefetch(reader, partial(_read, scene, layout), _pieces(starts, layout.window))
        predict = _RowPredictor(predictor, strip, pieces, layout, location_of, bar)
        storing: Future[None] | None = None
        for row, band in blend_bands(
            predict,
            layout.vertical.size,
            layout.horizontal.size,
            layout.window,
            layout.stride,
            predictor.classes,
            first_row=first_row,
            device=predictor.device,
        ):
            last = min(row + band.shape[1], last_row)
            valid = strip.valid(row, last)[:, columns]
            # One at a time: after a band that failed none may follow.
            if storing is not None:
                storing.result()
            storing = writer.submit(finish, band[:, : last - row, columns].cpu(), valid)
            bar.set_postfix_str(f"row {last - top} of {scene.height}", refresh=False)
        if storing is not None:
            storing.result()
    return Counts(predict.predicted, predict.skipped, done)


class _Strip:
    """The pixels of one row of windows, in the pieces in which they were read."""

    def __init__(self, window: int) -> None:
        self.window = window
        self._pieces: deque[tuple[range, Piece]] = deque()

    def append(self, piece: Piece, row: int) -> None:
        """Take in the last rows of the windows that start at ``row``; forget those above."""
        end = row + self.window
        self._pieces.append((range(end - len(piece[1]), end), piece))
        while self._pieces[0][0].stop <= row:
            self._pieces.popleft()

    def windows(self, row: int, cols: Sequence[int]) -> Tensor:
        """Return the windows (n, C, window, window) that start at these columns."""
        size, channels = self.window, len(self._pieces[0][1][0])
        images = torch.empty(len(cols), channels, size, size)
        for room, part, (image, _) in self._parts(row, row + size):
            for number, col in enumerate(cols):
                images[number, :, room] = image[:, part, col : col + size]
        return images

    def valid(self, first: int, last: int) -> npt.NDArray[np.bool_]:
        """Return where there is data in some rows, bool (rows, padded width)."""
        return np.concatenate([valid[part] for _, part, (_, valid) in self._parts(first, last)])

    def _parts(self, first: int, last: int) -> Iterator[tuple[slice, slice, Piece]]:
        """Yield where in some rows each piece belongs, which of its own rows do, and the piece."""
        for rows, piece in self._pieces:
            start, stop = max(rows.start, first), min(rows.stop, last)
            if start < stop:
                room, part = (slice(start - of, stop - of) for of in (first, rows.start))
                yield room, part, piece


class _RowPredictor:
    """Predicts the rows of windows that :func:`blend_bands` asks for.

    Attributes:
        predicted: Number of windows predicted so far.
        skipped: Number of windows without data.
    """

    def __init__(
        self,
        predictor: Predictor,
        strip: _Strip,
        pieces: Iterator[Piece],
        layout: Layout,
        location_of: LocationOf,
        bar: "tqdm[Any]",
    ) -> None:
        self.predictor = predictor
        self.strip = strip
        self.pieces = pieces
        self.layout = layout
        self.location_of = location_of
        self.bar = bar
        self.predicted = self.skipped = 0

    def __call__(self, row: int, cols: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        size = self.layout.window
        top, left = self.layout.vertical.before, self.layout.horizontal.before
        self.strip.append(next(self.pieces), row)
        valid = self.strip.valid(row, row + size)
        # None of the pixels of a window without data reaches the map.
        wanted = [col for col in cols if valid[:, col : col + size].any()]
        self.skipped += len(cols) - len(wanted)
        self.bar.update(len(cols) - len(wanted))
        for first in range(0, len(wanted), self.predictor.batch_size):
            batch = wanted[first : first + self.predictor.batch_size]
            images = self.strip.windows(row, batch)
            location = self.location_of([Window(row - top, c - left, size, size) for c in batch])
            yield from zip(batch, self.predictor(images, location), strict=True)
            self.predicted += len(batch)
            self.bar.update(len(batch))


def _pieces(starts: Sequence[int], window: int) -> Iterator[range]:
    """Return the rows of the padded scene that each row of windows adds to the one before."""
    end = starts[0]
    for start in starts:
        yield range(end, start + window)
        end = start + window


def _read(scene: Scene, layout: Layout, rows: range) -> Piece:
    top, left = layout.vertical.before, layout.horizontal.before
    first, width = rows.start - top, layout.horizontal.size
    if not layout.mirrored:
        return scene.read(Window(first, -left, len(rows), width))
    down = mirrored_pixels(first, first + len(rows), scene.height)
    across = mirrored_pixels(-left, width - left, scene.width)
    highest = int(down.min())
    image, valid = scene.read(Window(highest, 0, int(down.max()) + 1 - highest, scene.width))
    # What is seen in the mirror is there twice, and no data of its own.
    own_rows, own_cols = (
        seen == np.arange(start, start + len(seen))
        for seen, start in ((down, first), (across, -left))
    )
    seen = valid[down - highest][:, across] & own_rows[:, None] & own_cols
    return image[:, down - highest][:, :, across], seen
