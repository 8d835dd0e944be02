"""Glacier scenes as GeoTIFFs with outlines, each on its own pixel grid."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from glavitu.datasets.find_tiles import (
    Patterns,
    RasterTile,
    find_tiles,
)
from glavitu.datasets.tile_dataset import TileDataset, check_location
from glavitu.datasets.torchgeo_api import RasterDataset
from glavitu.errors import InputError
from glavitu.features import FeatureGroup, FeatureLike, resolve_features
from glavitu.rasters.open_files import Said
from glavitu.rasters.scene import Scene
from glavitu.rasters.units import units_of
from glavitu.windows import Window

#: Open scenes kept by each process.
OPEN_SCENES = 32


class GlacierRasters(TileDataset, RasterDataset):  # type: ignore[misc]
    """GeoTIFFs of feature groups, with glacier outlines as labels.

    Each folder that holds a raster for every feature group is a tile; folders with some of them
    are left out, and a warning says how many. Samples are as in
    :class:`~glavitu.datasets.tile_dataset.TileDataset`.

    It is a RasterDataset of TorchGeo's: over tiles of one CRS its samplers draw from it, ``&`` and
    ``|`` join it with other datasets, and its trainers train on it. It differs in two things. No
    pixel is ever resampled: a window comes on the pixel grid of its own file, so ``crs`` and
    ``res`` can only be what the tiles have. And the tiles may lie in several CRSs: then
    coordinates name no window, TorchGeo's samplers, ``&`` and ``|`` end with an error, and
    :mod:`glavitu.datasets.samplers` draw windows of tiles.

    Args:
        paths: Folders to search, each with its subfolders; or manifests, CSV files that list
            scenes (:func:`~glavitu.datasets.manifest.read_manifest`).
        features: Feature groups, in the order of the image's channels.
        files: Name or glob pattern of the raster of each group in a tile's folder; one string
            names one raster with the bands of all groups in order. By default the group's name
            with ``.tif``, such as ``optical.tif``.
        outlines: Name or glob pattern of the labels in a tile's folder, or the absolute path of one
            file for all tiles, of which those that it has no outline in are land without
            glaciers: polygons in any CRS (GeoPackage, Shapefile, GeoJSON), or a raster
            on the same grid with 1 = glacier, 0 = not and nodata or 255 = unknown. None for tiles
            without labels. Where a feature group has no data, labels are unknown too.
        region: Code of the region of all tiles. By default the tag ``region`` of a tile's first
            raster tells, as the tags ``subregion``, ``date`` and ``sensor`` do; a manifest comes
            before all of these.
        bounds: Keep only this part, (xmin, ymin, xmax, ymax) in the rasters' CRS.
        location: Adds a location vector to samples: ``'region'`` or ``'coordinates'`` (of the
            window's centre).
        transforms: Applied to each sample.
        regions: Keep the tiles of these regions alone.
        subregions: Keep the tiles of these subregions alone.
        crs: As TorchGeo has it, but nothing is warped: the CRS that all tiles must have.
        res: The size in units of the CRS that the first tile's pixels must have.
        bands: Names of the channels to give, in order; by default all of the feature groups, which
            :attr:`all_bands` names.
        padding: What labels say where a window reaches beyond a tile: ``'unknown'``, or ``'land'``
            as in the published training.
        cache: Keep up to 32 tiles open between windows; without it, one.
        time_series: TorchGeo's stack of all dates, which there is not: a sample is of one date.
        scales: Scale and offset of stored values by the name of their group (or ``'slope'``), such
            as ``{"optical": (0.0001, -0.1)}``; by default those of the files' own tags.
        nodata: Stored value that means missing by the same names, in the place of what the files
            say, such as ``{"dem": -9999}``; None if no value does.
        decibels: Sigma0 is in decibels.
        slope_percent: Slope is in percent.
        layer: Layer of the outlines, in files of which several layers hold polygons.

    Raises:
        InputError: If there is no tile, a tile is in another CRS or has other pixels than asked
            for, a time series is asked for, values cannot be what their group wants, or a file is
            missing, unreadable, on another grid, has a wrong number of bands, no data or outlines
            elsewhere; the message says what to do.
    """

    tiles: tuple[RasterTile, ...]

    def __init__(
        self,
        paths: str | Path | Sequence[str | Path] = "data",
        features: Sequence[FeatureLike] = ("optical", "dem"),
        files: Mapping[str, str] | str | None = None,
        outlines: str | None = "outlines.*",
        region: str | None = None,
        bounds: Sequence[float] | None = None,
        location: str | None = None,
        transforms: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        regions: Sequence[str] | None = None,
        subregions: Sequence[str] | None = None,
        *,
        crs: Any = None,
        res: float | tuple[float, float] | None = None,
        bands: Sequence[str] | None = None,
        padding: str = "unknown",
        cache: bool = True,
        time_series: bool = False,
        scales: Mapping[str, Sequence[float] | float] | None = None,
        nodata: Mapping[str, float | None] | None = None,
        decibels: bool = False,
        slope_percent: bool = False,
        layer: str | None = None,
    ) -> None:
        if time_series:
            raise InputError(
                "time_series: a sample of these tiles is of one date; ask for one date after "
                "another, ds[xmin:xmax, ymin:ymax, tmin:tmax]"
            )
        check_location(location)
        roots = tuple([paths] if isinstance(paths, str | Path) else paths)
        groups = resolve_features(features)
        self._units = units_of(groups, scales, decibels, slope_percent, nodata)
        self._said = Said()
        tiles = find_tiles(
            [Path(path) for path in roots],
            groups,
            _patterns(files, groups),
            outlines,
            region,
            bounds,
            regions,
            subregions,
            self._units,
            self._said,
            layer,
        )
        self.paths = roots
        super().__init__(tiles, groups, location, transforms, bands, padding)
        if crs is not None:
            self.crs = crs
        if res is not None:
            self.res = res
        self.cache = cache
        self._scenes: dict[tuple[int, int], Scene] = {}

    @property
    def files(self) -> list[str]:
        """Paths of all rasters of the tiles, sorted."""
        return sorted({path for tile in self.tiles for path in tile.rasters})

    def valid(self, number: int) -> npt.NDArray[np.bool_]:
        """Tell where a tile has data in every feature group, bool (H, W).

        Args:
            number: Index of the tile.
        """
        return self._scene(number).read(self.tiles[number].extent)[1]

    def _read_image(self, number: int, window: Window, image: Tensor) -> npt.NDArray[np.bool_]:
        valid = np.empty((window.height, window.width), dtype=np.bool_)
        self._scene(number).read_image(window, image, valid)
        return valid

    def _read_mask(self, number: int, window: Window) -> Tensor:
        outlines = self.tiles[number].outlines
        assert outlines is not None
        return torch.from_numpy(outlines.read(window))

    def _labelled(self, number: int) -> bool:
        return self.tiles[number].outlines is not None

    def _centre(self, number: int, window: Window) -> tuple[float, float]:
        return self._scene(number).centre(window)

    def _scene(self, number: int) -> Scene:
        # Open files belong to a process: a forked worker must not share its parent's.
        key = (os.getpid(), number)
        if key not in self._scenes:
            while len(self._scenes) >= (OPEN_SCENES if self.cache else 1):
                self._scenes.pop(next(iter(self._scenes)))
            self._scenes[key] = Scene(
                self.tiles[number].files,
                self.features,
                units=self._units,
                check=False,  # as they were when the tiles were found
                said=self._said,
            )
        return self._scenes[key]

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open files out, so that spawned workers can have the dataset."""
        return self.__dict__ | {"_scenes": {}}


def _patterns(files: Mapping[str, str] | str | None, groups: Sequence[FeatureGroup]) -> Patterns:
    if isinstance(files, str):
        return files
    names = [group.name for group in groups]
    patterns = {name: f"{name}.tif" for name in names} | dict(files or {})
    unknown = sorted(set(patterns) - set(names))
    if unknown:
        raise InputError(
            f"files names {', '.join(unknown)}, but the features are {', '.join(names)}; "
            "give patterns for these alone"
        )
    return patterns
