"""Glacier scenes as GeoTIFFs with outlines, each on its own pixel grid."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import rasterio
import shapely
import torch
from matplotlib.figure import Figure
from rasterio.warp import transform_bounds
from torchgeo.datasets import RasterDataset

from glavitu.datasets.plotting import plot_sample
from glavitu.datasets.samplers import TileWindow
from glavitu.datasets.scene import Scene, intersection
from glavitu.datasets.tiles import Patterns, find_tiles, pixels
from glavitu.errors import InputError
from glavitu.features import FeatureLike, resolve_features
from glavitu.regions import LOCATION_SIZES, coordinate_vector, region_vector
from glavitu.windows import Window

#: Open scenes kept by each process.
OPEN_SCENES = 32


class GlacierRasters(RasterDataset):
    """GeoTIFFs of feature groups, with glacier outlines as labels.

    Each folder that holds a raster for every feature group is a tile. No tile is ever resampled:
    a window comes on the pixel grid of its own file, in its own CRS. Over one CRS, TorchGeo's
    samplers index the dataset by coordinates; over many, :mod:`glavitu.datasets.samplers` draw
    windows of tiles.

    A sample is a dict: ``image`` float32 (C, H, W), scaled to [0, 1], the groups stacked in order,
    0 where the window reaches beyond the tile; ``mask`` int64 (H, W), 1 = glacier; ``region``
    int64, 11 = unknown; ``location`` float32 (L,) where asked for; ``tile`` int64, ``crs``, and
    ``bounds`` (slices of x, y and time).

    Args:
        paths: Folders to search, each with its subfolders.
        features: Feature groups, in the order of the image's channels.
        files: Name or glob pattern of the raster of each group in a tile's folder; one string
            names one raster with the bands of all groups in order. By default the group's name
            with ``.tif``, such as ``optical.tif``.
        outlines: Name or glob pattern of the labels in a tile's folder, or the absolute path of one
            file for all tiles: polygons in any CRS (GeoPackage, Shapefile, GeoJSON), or a raster
            on the same grid with 1 = glacier and 0 = not. None for tiles without labels.
        region: Code of the region of all tiles. By default the tag ``region`` of a tile's first
            raster tells.
        bounds: Keep only this part, (xmin, ymin, xmax, ymax) in the rasters' CRS.
        location: Adds a location vector to samples: ``'region'`` or ``'coordinates'`` (of the
            window's centre).
        transforms: Applied to each sample.

    Raises:
        InputError: If there is no tile, or a file is missing, unreadable, on another grid, has a
            wrong number of bands, no data or outlines elsewhere; the message says what to do.
    """

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
    ) -> None:
        if location is not None and location not in LOCATION_SIZES:
            raise InputError(
                f"unknown location {location!r}; choose from {', '.join(LOCATION_SIZES)}"
            )
        roots = tuple([paths] if isinstance(paths, str | Path) else paths)
        self.paths = roots
        self.features = resolve_features(features)
        self.location = location
        self.transforms = transforms
        self.tiles = find_tiles(
            [Path(path) for path in roots],
            self.features,
            self._patterns(files),
            outlines,
            region,
            bounds,
        )
        self._scenes: dict[tuple[int, int], Scene] = {}
        self.index = self._make_index()
        first = self.tiles[0].transform
        self._res = (abs(first.a), abs(first.e))

    @property
    def extents(self) -> list[Window]:
        """Extent of each tile in pixels of its raster, as samplers want it."""
        return [tile.extent for tile in self.tiles]

    @property
    def crs(self) -> Any:
        """CRS of the index: that of the tiles, or degrees where they have several."""
        return self.index.crs

    @crs.setter
    def crs(self, crs: Any) -> None:
        if crs != self.crs:
            raise InputError(
                f"these tiles stay in their own coordinate reference system ({self.crs.name}) and "
                "are not warped; bring the other dataset to theirs, for example by naming this one "
                "first in `&` or `|`"
            )

    def valid(self, number: int) -> npt.NDArray[np.bool_]:
        """Tell where a tile has data in every feature group, bool (H, W).

        Args:
            number: Index of the tile.
        """
        return self._scene(number).read(self.tiles[number].extent)[1]

    def __getitem__(self, query: Any) -> dict[str, Any]:
        """Read a window.

        Args:
            query: A :class:`~glavitu.datasets.samplers.TileWindow`; or, over one CRS, TorchGeo's
                slices [xmin:xmax, ymin:ymax], of which the tile with the largest overlap is read
                at the nearest pixels of its grid.

        Returns:
            A sample, see :class:`GlacierRasters`.

        Raises:
            IndexError: If slices lie outside all tiles.
            InputError: If slices index a dataset of several CRSs.
        """
        number, window = query if isinstance(query, TileWindow) else self._locate(query)
        tile = self.tiles[number]
        scene = self._scene(number)
        channels = sum(map(len, self.features))
        image = torch.zeros(channels, window.height, window.width)
        mask = torch.zeros(window.height, window.width, dtype=torch.int64)
        inside = intersection(window, tile.extent)
        if inside is not None:
            top, left = inside.row - window.row, inside.col - window.col
            rows, cols = slice(top, top + inside.height), slice(left, left + inside.width)
            image[:, rows, cols] = scene.read(inside)[0]
            if tile.outlines is not None:
                mask[rows, cols] = torch.from_numpy(tile.outlines.read(inside)).long()
        sample: dict[str, Any] = {
            "image": image,
            "region": torch.tensor(tile.region),
            "tile": torch.tensor(number),
            "crs": tile.crs,
            "bounds": _bounds(tile.transform, window),
        }
        if tile.outlines is not None:
            sample["mask"] = mask
        if self.location == "region":
            sample["location"] = region_vector(tile.region)
        elif self.location == "coordinates":
            sample["location"] = coordinate_vector(*scene.centre(window))
        return sample if self.transforms is None else self.transforms(sample)

    def plot(
        self,
        sample: dict[str, Any],
        show_titles: bool = True,
        suptitle: str | None = None,
    ) -> Figure:
        """Plot a sample: image, mask, and prediction where there is one.

        Args:
            sample: One sample, not a batch; ``prediction`` (H, W) is shown where present.
            show_titles: Put a title on each panel.
            suptitle: Title of the figure.

        Returns:
            A figure that belongs to no window; show or save it.
        """
        return plot_sample(sample, self.features, show_titles, suptitle)

    def _patterns(self, files: Mapping[str, str] | str | None) -> Patterns:
        names = [group.name for group in self.features]
        if isinstance(files, str):
            return files
        patterns = {name: f"{name}.tif" for name in names} | dict(files or {})
        unknown = sorted(set(patterns) - set(names))
        if unknown:
            raise InputError(
                f"files names {', '.join(unknown)}, but the features are {', '.join(names)}; "
                "give patterns for these alone"
            )
        return patterns

    def _make_index(self) -> gpd.GeoDataFrame:
        """Index the tiles' footprints, in degrees where they have several CRSs."""
        common = {tile.crs.to_wkt() for tile in self.tiles}
        crs = self.tiles[0].crs if len(common) == 1 else rasterio.CRS.from_epsg(4326)
        footprints = []
        for tile in self.tiles:
            x, y, _ = _bounds(tile.transform, tile.extent)
            box = (x.start, y.start, x.stop, y.stop)
            if tile.crs != crs:
                box = transform_bounds(tile.crs, crs, *box)
            footprints.append(shapely.box(*box))
        times = pd.IntervalIndex.from_tuples(
            [(self.mint, self.maxt)] * len(self.tiles), closed="both", name="datetime"
        )
        names = {"filepath": [tile.name for tile in self.tiles]}
        return gpd.GeoDataFrame(names, index=times, geometry=footprints, crs=crs.to_wkt())

    def _locate(self, query: Any) -> TileWindow:
        if len({tile.crs.to_wkt() for tile in self.tiles}) > 1:
            raise InputError(
                "the tiles have several coordinate reference systems, so coordinates alone do not "
                "name a window; use the samplers of glavitu.datasets, which draw windows of tiles"
            )
        x, y, _ = self._disambiguate_slice(query)
        wanted = shapely.box(x.start, y.start, x.stop, y.stop)
        overlap = self.index.geometry.intersection(wanted).area.to_numpy()
        number = int(np.argmax(overlap))
        if not overlap[number] > 0:
            raise IndexError(f"query {query} not found in index with bounds {self.bounds}")
        transform = self.tiles[number].transform
        return TileWindow(number, pixels(transform, x.start, y.start, x.stop, y.stop))

    def _scene(self, number: int) -> Scene:
        # Open files belong to a process: a forked worker must not share its parent's.
        key = (os.getpid(), number)
        if key not in self._scenes:
            while len(self._scenes) >= OPEN_SCENES:
                self._scenes.pop(next(iter(self._scenes)))
            self._scenes[key] = Scene(self.tiles[number].files, self.features)
        return self._scenes[key]

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open files out, so that spawned workers can have the dataset."""
        return self.__dict__ | {"_scenes": {}}


def _bounds(transform: Any, window: Window) -> tuple[slice, slice, slice]:
    """Describe a window as TorchGeo's slices of x, y and time."""
    left, top = transform @ (window.col, window.row)
    right, bottom = transform @ (window.col + window.width, window.row + window.height)
    time = slice(RasterDataset.mint, RasterDataset.maxt, 1)
    return slice(left, right, abs(transform.a)), slice(bottom, top, abs(transform.e)), time
