"""Samplers of windows: over tiles of many sizes and coordinate reference systems."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch.utils.data import Sampler

from glavitu.windows import Window, centred_padding


class TileWindow(NamedTuple):
    """A window of a tile: the tile's index in its dataset, and pixels of its raster.

    The window may reach beyond the tile; what lies there is padding.
    """

    tile: int
    window: Window


class RandomWindows(Sampler[TileWindow]):
    """Draws a tile uniformly, then a window uniformly inside its padded extent.

    As in the published training (Maslov et al. 2025). That windows reach into the padding matters:
    scenes are padded for prediction too, and a model that never saw padding draws glaciers along
    their borders. Draws follow torch's global random state.

    Args:
        tiles: Extent of each tile in pixels of its raster.
        size: Side of the windows in pixels.
        length: Number of windows of an epoch.
    """

    def __init__(self, tiles: Sequence[Window], size: int, length: int) -> None:
        self.tiles = tiles
        self.size = size
        self.length = length

    def __iter__(self) -> Iterator[TileWindow]:
        """Draw the windows of an epoch."""
        for tile in torch.randint(len(self.tiles), (self.length,)).tolist():
            extent = self.tiles[tile]
            row = extent.row + self._start(extent.height)
            col = extent.col + self._start(extent.width)
            yield TileWindow(tile, Window(row, col, self.size, self.size))

    def __len__(self) -> int:
        """Return the number of windows of an epoch."""
        return self.length

    def _start(self, extent: int) -> int:
        padding = centred_padding(extent, self.size)
        room = padding.size - self.size
        return int(torch.randint(room + 1, ())) - padding.before


class GridWindows(Sampler[TileWindow]):
    """Windows that do not overlap and cover each padded tile.

    Args:
        tiles: Extent of each tile in pixels of its raster.
        size: Side of the windows in pixels.
    """

    def __init__(self, tiles: Sequence[Window], size: int) -> None:
        self.windows = [
            TileWindow(index, Window(tile.row + row, tile.col + col, size, size))
            for index, tile in enumerate(tiles)
            for row in _grid(tile.height, size)
            for col in _grid(tile.width, size)
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


def patches_of(tile: Window, size: int) -> int:
    """Count the patches of a padded tile, of which the published steps per epoch are made."""
    return len(_grid(tile.height, size)) * len(_grid(tile.width, size))


def _grid(extent: int, size: int) -> range:
    padding = centred_padding(extent, size)
    return range(-padding.before, -padding.before + padding.size, size)
