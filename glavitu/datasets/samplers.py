"""Samplers of windows: over tiles of many sizes and coordinate reference systems."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DistributedSampler, Sampler, SequentialSampler

from glavitu.windows import Window, centred_padding


class TileWindow(NamedTuple):
    """A window of a tile: the tile's index in its dataset, and pixels of its raster.

    The window may reach beyond the tile; what lies there is padding.

    Attributes:
        tile: Index of the tile.
        window: Pixels of its raster.
        counted: The part of the window whose labels count, all of it by default; elsewhere they
            are unknown. So no pixel counts twice where windows overlap.
    """

    tile: int
    window: Window
    counted: Window | None = None


#: A window without pixels, for a process that has none of its own but must not stand aside.
NO_WINDOW = TileWindow(0, Window(0, 0, 0, 0))


class RandomWindows(Sampler[TileWindow]):
    """Draws a tile uniformly, then a window uniformly inside its padded extent.

    As in the published training (Maslov et al. 2025), where the padding is land: a model that never
    saw it draws glaciers along the borders of scenes, which are padded for prediction too. Where
    the padding is unknown, windows in it teach nothing, and ``inside`` keeps them out of it. The
    windows of an epoch depend on seed and epoch alone.

    Args:
        tiles: Extent of each tile in pixels of its raster.
        size: Side of the windows in pixels.
        length: Number of windows of an epoch.
        seed: Seed of the draws, 0 or more.
        regions: Region of each tile, to draw a region uniformly first, then a tile in it. By
            default all tiles are equally likely.
        inside: Draw windows inside the tile; along a side that is shorter than a window, windows
            that hold all of it.
    """

    def __init__(
        self,
        tiles: Sequence[Window],
        size: int,
        length: int,
        seed: int = 0,
        regions: Sequence[int] | None = None,
        inside: bool = False,
    ) -> None:
        self.inside = inside
        self.tiles = tiles
        self.size = size
        self.length = length
        self.seed = seed
        self.epoch = 0
        self._trained = (0, 0)
        places = [0] * len(tiles) if regions is None else regions
        self._groups = [
            [tile for tile, place in enumerate(places) if place == wanted]
            for wanted in sorted(set(places))
        ]

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose windows are drawn next; Lightning calls this."""
        self.epoch = epoch

    def go_on(self, epoch: int, windows: int) -> None:
        """Leave out the first windows of an epoch, which were trained before it was stopped."""
        self._trained = (epoch, windows)

    def __iter__(self) -> Iterator[TileWindow]:
        """Draw the windows of the epoch."""
        mixed = np.random.SeedSequence((self.seed, self.epoch)).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(mixed[0]))

        def draw(choices: int) -> int:
            return int(torch.randint(choices, (), generator=generator))

        stopped, trained = self._trained
        for number in range(self.length):
            group = self._groups[draw(len(self._groups))]
            tile = group[draw(len(group))]
            extent = self.tiles[tile]
            first, last = self._starts(extent.height)
            row = extent.row + first + draw(last - first + 1)
            first, last = self._starts(extent.width)
            col = extent.col + first + draw(last - first + 1)
            if self.epoch == stopped and number < trained:
                continue
            yield TileWindow(tile, Window(row, col, self.size, self.size))

    def __len__(self) -> int:
        """Return the number of windows of an epoch."""
        return self.length

    def _starts(self, extent: int) -> tuple[int, int]:
        """Return the first and the last start of a window along a side."""
        if self.inside:
            return min(0, extent - self.size), max(0, extent - self.size)
        padding = centred_padding(extent, self.size)
        return -padding.before, padding.size - padding.before - self.size


class GridWindows(Sampler[TileWindow]):
    """Windows that cover each padded tile, in which each pixel counts once.

    Args:
        tiles: Extent of each tile in pixels of its raster.
        size: Side of the windows in pixels.
        inside: Cover the tile without its padding: the last windows are moved back into it, and
            count where the others do not reach. Along a side that is shorter than a window, one
            window lies around it.
    """

    def __init__(self, tiles: Sequence[Window], size: int, inside: bool = False) -> None:
        self.windows = [
            TileWindow(
                index,
                Window(tile.row + row, tile.col + col, size, size),
                Window(tile.row + top, tile.col + left, height, width) if inside else None,
            )
            for index, tile in enumerate(tiles)
            for row, top, height in _grid(tile.height, size, inside)
            for col, left, width in _grid(tile.width, size, inside)
        ]

    def __iter__(self) -> Iterator[TileWindow]:
        """Go through the windows, tile by tile."""
        return iter(self.windows)

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.windows)


class WholeTiles(Sampler[TileWindow]):
    """Each tile once, whole, without padding.

    Args:
        tiles: Extent of each tile in pixels of its raster.
    """

    def __init__(self, tiles: Sequence[Window]) -> None:
        self.tiles = tiles

    def __iter__(self) -> Iterator[TileWindow]:
        """Go through the tiles."""
        return (TileWindow(index, tile) for index, tile in enumerate(self.tiles))

    def __len__(self) -> int:
        """Return the number of tiles."""
        return len(self.tiles)


class ProcessShare(DistributedSampler[TileWindow]):
    """The share of one process in the windows of another sampler.

    Each window is in the share of exactly one process. PyTorch's sampler repeats some so that all
    shares are equally long; Lightning leaves samplers of its type as they are.

    Args:
        sampler: Gives the same windows in all processes.
        rank: Number of the process.
        processes: Number of all processes.
        fill: Give a process without any window :data:`NO_WINDOW`, so that it takes part where
            processes wait for each other.
    """

    def __init__(
        self, sampler: Sampler[TileWindow], rank: int, processes: int, fill: bool = False
    ) -> None:
        super().__init__(sampler, num_replicas=processes, rank=rank, shuffle=False)  # type: ignore[arg-type]
        self.sampler = sampler
        self.own = len(range(rank, len(sampler), processes))  # type: ignore[arg-type]
        self.fill = fill

    def set_epoch(self, epoch: int) -> None:
        """Hand the epoch on to the sampler that draws."""
        if isinstance(self.sampler, RandomWindows):
            self.sampler.set_epoch(epoch)

    def __iter__(self) -> Iterator[TileWindow]:
        """Go through the share."""
        if self.own == 0 and self.fill:
            return iter([NO_WINDOW])
        return islice(iter(self.sampler), self.rank, None, self.num_replicas)

    def __len__(self) -> int:
        """Return the number of windows of the share."""
        return self.own or int(self.fill)


class FixedShare(ProcessShare, SequentialSampler):  # type: ignore[misc]
    """The share of one process in windows that are the same in every epoch.

    For Lightning's ``overfit_batches``, which puts indices into the dataset in the place of every
    sampler but PyTorch's sequential one.
    """

    def set_epoch(self, epoch: int) -> None:
        """Stay with the windows there are."""


def patches_of(tile: Window, size: int) -> int:
    """Count the patches of a padded tile, of which the published steps per epoch are made."""
    return len(_grid(tile.height, size)) * len(_grid(tile.width, size))


def _grid(extent: int, size: int, inside: bool = False) -> list[tuple[int, int, int]]:
    """Return starts of windows along a side, and start and length of the part that counts."""
    if not inside:
        padding = centred_padding(extent, size)
        starts = range(-padding.before, -padding.before + padding.size, size)
        return [(start, start, size) for start in starts]
    before = centred_padding(extent, size).before if extent < size else 0
    return [
        (min(start, max(0, extent - size)) - before, start, min(size, extent - start))
        for start in range(0, extent, size)
    ]
