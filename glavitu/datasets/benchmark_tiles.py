"""The published benchmark, read in place from its HDF5 files."""

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from glavitu.arrays import FloatArray
from glavitu.datasets.benchmark_files import (
    OUTLINES,
    ReleasedTile,
    content_faults,
    is_benchmark,
    open_release,
    released_files,
    tiles_of,
)
from glavitu.datasets.tile_dataset import TileDataset, check_location, choose
from glavitu.errors import InputError
from glavitu.features import FeatureGroup, FeatureLike, resolve_features
from glavitu.files.hdf5 import DAMAGE
from glavitu.windows import Window

__all__ = ["BenchmarkTiles", "is_benchmark"]


class BenchmarkTiles(TileDataset):
    """A split of the published benchmark (Maslov et al. 2025, doi 10.1038/s41467-024-54956-x).

    The HDF5 files are read in place, window by window; indexing reads their attributes alone. The
    values in them are scaled already. Tiles without one of the feature groups are left out, and a
    warning says how many. Windows count from the corner of the unpadded tile, as in
    :class:`~glavitu.datasets.GlacierRasters`, so that the same samplers draw from both.

    Args:
        root: Folder of the files, whose names contain ``train``, ``val`` or ``test``.
        split: ``'train'``, ``'val'`` or ``'test'``.
        features: Feature groups, in the order of the image's channels.
        regions: Keep the tiles of these regions alone.
        subregions: Keep the tiles of these subregions alone.
        location: Adds a location vector to samples: ``'region'`` or ``'coordinates'`` (of the
            window's centre).
        transforms: Applied to each sample.
        padding: What labels say where a window reaches beyond a tile: ``'land'`` as published, or
            ``'unknown'``.

    Raises:
        InputError: If there is no file of the split, a file cannot be read, a tile is not as it
            should be, or no tile is left; the message says what to do.
    """

    tiles: tuple[ReleasedTile, ...]

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        features: Sequence[FeatureLike] = ("optical", "dem"),
        regions: Sequence[str] | None = None,
        subregions: Sequence[str] | None = None,
        location: str | None = None,
        transforms: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        *,
        padding: str = "land",
    ) -> None:
        check_location(location)
        groups = resolve_features(features)
        self.paths = released_files(root, split)
        tiles = [tile for path in self.paths for tile in tiles_of(path)]
        if not tiles:
            raise InputError(f"{self.paths[0]}: holds no tile; download it again")
        chosen = choose(tiles, regions, subregions, f"{root} ({split})")
        super().__init__(
            _with_groups(chosen, groups, f"{root} ({split})"),
            groups,
            location,
            transforms,
            padding=padding,
        )
        self._files: dict[tuple[int, Path], h5py.File] = {}

    def valid(self, number: int) -> npt.NDArray[np.bool_]:
        """Return True for all pixels of a tile: the files do not tell what was missing."""
        extent = self.tiles[number].extent
        return np.ones((extent.height, extent.width), dtype=np.bool_)

    def _read_image(self, number: int, window: Window, image: Tensor) -> None:
        rooms = torch.split(image, [len(group) for group in self.features])
        for group, room in zip(self.features, rooms, strict=True):
            self._read(number, group.name, window, room.numpy())

    def _read_mask(self, number: int, window: Window) -> Tensor:
        labels = np.empty((2, window.height, window.width), dtype=np.float32)
        self._read(number, OUTLINES, window, labels)
        return torch.from_numpy(labels[1])

    def _labelled(self, number: int) -> bool:
        return True

    def _centre(self, number: int, window: Window) -> tuple[float, float]:
        longitude, latitude = self.tiles[number].transform @ (
            window.col + window.width / 2,
            window.row + window.height / 2,
        )
        return longitude, latitude

    def _read(self, number: int, name: str, window: Window, room: FloatArray) -> None:
        """Read a window of an array into another (channels, h, w)."""
        tile = self.tiles[number]
        row, col = window.row + tile.padding[0], window.col + tile.padding[1]
        rows, cols = slice(row, row + window.height), slice(col, col + window.width)
        file = self._file(tile.path)
        try:
            array = file[f"{tile.name}/{name}"]
            if array.chunks and array.chunks[2] == 1:
                # Channels that are stored apart need not be woven together and taken apart again.
                for channel in range(len(room)):
                    room[channel] = array[rows, cols, channel]
            else:
                room[:] = np.moveaxis(array[rows, cols], -1, 0)
        except DAMAGE as error:
            raise InputError(
                f"{tile.path}: tile {tile.name}: array {name} cannot be read; the file is damaged, "
                f"download it again ({error})"
            ) from error
        for fault in content_faults(name, np.moveaxis(room, 0, -1)):
            raise InputError(
                f"{tile.path}: tile {tile.name}: {fault}. Download the file again, or leave the "
                f"tile out; `glavitu info --check {tile.path}` lists every fault"
            )

    def _file(self, path: Path) -> h5py.File:
        # Open files belong to a process: a forked worker must not share its parent's.
        key = (os.getpid(), path)
        if key not in self._files:
            self._files[key] = open_release(path)
        return self._files[key]

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open files out, so that spawned workers can have the dataset."""
        return self.__dict__ | {"_files": {}}


def _with_groups(
    tiles: Sequence[ReleasedTile], groups: Sequence[FeatureGroup], source: str
) -> tuple[ReleasedTile, ...]:
    """Keep the tiles that have all groups, and say how many have not."""
    names = [group.name for group in groups]
    kept = tuple(tile for tile in tiles if all(name in tile.groups for name in names))
    if not kept:
        known = ", ".join(sorted({name for tile in tiles for name in tile.groups}))
        raise InputError(
            f"{source}: none of its {len(tiles)} tiles has all of {', '.join(names)}; the groups "
            f"in it are {known}. Choose features from these (data.features)"
        )
    if len(kept) < len(tiles):
        warnings.warn(
            f"{source}: {len(tiles) - len(kept)} of {len(tiles)} tiles lack one of "
            f"{', '.join(names)} and are left out",
            stacklevel=3,
        )
    for tile in kept:
        for group in groups:
            if tile.groups[group.name] != len(group):
                raise InputError(
                    f"{tile.path}: tile {tile.name}: array {group.name} has "
                    f"{tile.groups[group.name]} channels, but the feature group has "
                    f"{len(group)} ({', '.join(group.channels)}); describe it as it is in the file"
                )
    return kept
