"""What all datasets of tiles share: windows on each tile's own grid, as TorchGeo's samples."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import rasterio
import shapely
import torch
from matplotlib.figure import Figure
from rasterio.warp import transform_bounds
from torch import Tensor
from torchgeo.datasets import GeoDataset, IntersectionDataset, RasterDataset, concat_samples

from glavitu.datasets.plotting import plot_sample
from glavitu.datasets.samplers import TileWindow
from glavitu.errors import InputError
from glavitu.features import FeatureGroup
from glavitu.regions import (
    LOCATION_SIZES,
    coordinate_vector,
    region_index,
    region_name,
    region_vector,
)
from glavitu.windows import Window, intersection

#: Rows of a tile that are read at once; windows of training have fewer.
STRIP = 512


class Tile(Protocol):
    """What a dataset knows of a tile without keeping its files open."""

    @property
    def name(self) -> str:
        """Its name, one of its own in the dataset."""

    @property
    def region(self) -> int:
        """Index of its region, 11 for unknown."""

    @property
    def subregion(self) -> str:
        """Its subregion, empty where unknown."""

    @property
    def extent(self) -> Window:
        """The part of the raster that belongs to the dataset, in pixels."""

    @property
    def crs(self) -> Any:
        """Its coordinate reference system, rasterio's."""

    @property
    def transform(self) -> Any:
        """Affine transform of the whole raster."""

    @property
    def date(self) -> str:
        """When it was taken, as ISO 8601 writes it; empty where unknown."""

    @property
    def sensor(self) -> str:
        """What took it, empty where unknown."""


AnyTile = TypeVar("AnyTile", bound=Tile)


class TileDataset(GeoDataset):
    """Tiles of many places, sizes and CRSs, read by windows that are never resampled.

    A sample is a dict: ``image`` float32 (C, H, W), scaled to [0, 1], the groups stacked in order,
    0 where the window reaches beyond the tile; ``mask`` int64 (H, W), 1 = glacier, where the tile
    has labels; ``region`` int64, 11 = unknown; ``location`` float32 (L,) where asked for; ``tile``
    int64, ``crs``, and ``bounds`` (slices of x, y and time).

    Args:
        tiles: The tiles, at least one.
        features: Feature groups, in the order of the image's channels.
        location: Adds a location vector to samples: ``'region'`` or ``'coordinates'`` (of the
            window's centre).
        transforms: Applied to each sample.

    Raises:
        InputError: If the location is unknown.
    """

    tiles: Sequence[Tile]

    def __init__(
        self,
        tiles: Sequence[Tile],
        features: tuple[FeatureGroup, ...],
        location: str | None,
        transforms: Callable[[dict[str, Any]], dict[str, Any]] | None,
    ) -> None:
        self.tiles = tiles
        self.features = features
        self.location = location
        self.transforms = transforms
        self._crss = len({tile.crs for tile in tiles})
        self.index = _index(tiles)
        first = tiles[0].transform
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

    @property
    def res(self) -> tuple[float, float]:
        """Width and height of the first tile's pixels, in units of the CRS."""
        return self._res

    @res.setter
    def res(self, res: float | tuple[float, float]) -> None:
        wanted = res if isinstance(res, tuple) else (res, res)
        if not np.allclose(wanted, self.res, rtol=1e-6):
            raise InputError(
                f"these tiles stay on their own pixels of {self.res[0]:.8g} x {self.res[1]:.8g} "
                f"and are not resampled to {wanted[0]:.8g} x {wanted[1]:.8g}; bring the other "
                "dataset to theirs, for example by naming this one first in `&` or `|`"
            )

    @abstractmethod
    def _read_image(self, number: int, window: Window, image: Tensor) -> None:
        """Read a window inside a tile's extent, scaled, into a float32 tensor (C, H, W)."""

    @abstractmethod
    def _read_mask(self, number: int, window: Window) -> Tensor:
        """Read the mask (H, W), 0 and 1 of any type, of a window inside a tile's extent."""

    @abstractmethod
    def _labelled(self, number: int) -> bool:
        """Tell whether a tile has a mask."""

    @abstractmethod
    def _centre(self, number: int, window: Window) -> tuple[float, float]:
        """Return longitude and latitude of a window's centre."""

    @abstractmethod
    def valid(self, number: int) -> npt.NDArray[np.bool_]:
        """Tell where a tile has data in every feature group, bool (H, W).

        Args:
            number: Index of the tile.
        """

    def __getitem__(self, query: Any) -> dict[str, Any]:
        """Read a window.

        Args:
            query: A :class:`~glavitu.datasets.samplers.TileWindow`; or, over one CRS, TorchGeo's
                slices [xmin:xmax, ymin:ymax]. Of these, the tile with the largest overlap is read
                on its own grid, around the same centre, as many pixels as the slices have at the
                dataset's resolution.

        Returns:
            A sample, see :class:`TileDataset`.

        Raises:
            IndexError: If slices lie outside all tiles.
            InputError: If slices index a dataset of several CRSs.
        """
        number, window = query if isinstance(query, TileWindow) else self._locate(query)
        tile = self.tiles[number]
        inside = intersection(window, tile.extent)
        new = torch.empty if inside == window else torch.zeros
        image = new(sum(map(len, self.features)), window.height, window.width)
        mask = new(window.height, window.width, dtype=torch.int64)
        # In strips, since reading needs several times the memory of what is read.
        for strip in _strips(inside):
            top, left = strip.row - window.row, strip.col - window.col
            rows, cols = slice(top, top + strip.height), slice(left, left + strip.width)
            self._read_image(number, strip, image[:, rows, cols])
            if self._labelled(number):
                mask[rows, cols] = self._read_mask(number, strip)
        sample: dict[str, Any] = {
            "image": image,
            "region": torch.tensor(tile.region),
            "tile": torch.tensor(number),
            "crs": tile.crs,
            "bounds": _bounds(tile.transform, window),
        }
        if self._labelled(number):
            sample["mask"] = mask
        if self.location == "region":
            sample["location"] = region_vector(tile.region)
        elif self.location == "coordinates":
            sample["location"] = coordinate_vector(*self._centre(number, window))
        return sample if self.transforms is None else self.transforms(sample)

    def __and__(self, other: GeoDataset) -> IntersectionDataset:
        """Take what lies in both datasets: the other's image bands follow these.

        Args:
            other: Any dataset of TorchGeo's; it is brought to the CRS and resolution of this one.

        Raises:
            InputError: If the tiles have several CRSs or resolutions, so that there is no one grid
                to bring the other dataset to.
        """
        grids = {(t.crs, f"{t.transform.a:.6g} {t.transform.e:.6g}") for t in self.tiles}
        if len(grids) > 1:
            raise InputError(
                "`&` needs tiles of one CRS and one resolution, but these have "
                f"{len(grids)}; intersect datasets of the tiles that share one"
            )
        return IntersectionDataset(self, other, collate_fn=_join)

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

    def _locate(self, query: Any) -> TileWindow:
        if self._crss > 1:
            raise InputError(
                "the tiles have several coordinate reference systems, so coordinates alone do not "
                "name a window; use the samplers of glavitu.datasets, which draw windows of tiles"
            )
        x, y, _ = self._disambiguate_slice(query)
        wanted = shapely.box(x.start, y.start, x.stop, y.stop)
        overlap = shapely.area(shapely.intersection(self.index.geometry.to_numpy(), wanted))
        number = int(np.argmax(overlap))
        if not overlap[number] > 0:
            raise IndexError(f"query {query} not found in index with bounds {self.bounds}")
        width, height = round((x.stop - x.start) / x.step), round((y.stop - y.start) / y.step)
        col, row = ~self.tiles[number].transform @ (
            (x.start + x.stop) / 2,
            (y.start + y.stop) / 2,
        )
        # Half pixels go down, whatever the sign, so that neighbours stay neighbours.
        top, left = np.floor(row - height / 2 + 0.5), np.floor(col - width / 2 + 0.5)
        return TileWindow(number, Window(int(top), int(left), height, width))


def check_location(location: str | None) -> None:
    """Check the kind of a location vector.

    Raises:
        InputError: If it is unknown.
    """
    if location is not None and location not in LOCATION_SIZES:
        raise InputError(f"unknown location {location!r}; choose from {', '.join(LOCATION_SIZES)}")


def choose(
    tiles: Iterable[AnyTile],
    regions: Sequence[str] | None,
    subregions: Sequence[str] | None,
    source: str,
) -> tuple[AnyTile, ...]:
    """Keep the tiles of some regions and subregions.

    Args:
        tiles: All tiles.
        regions: Codes of regions to keep, None for all.
        subregions: Subregions to keep, None for all.
        source: What to call the tiles' place in messages.

    Raises:
        InputError: If a region's code is unknown, or no tile is left.
    """
    tiles = tuple(tiles)
    chosen = None if regions is None else {region_index(code) for code in regions}
    kept = tuple(
        tile
        for tile in tiles
        if (chosen is None or tile.region in chosen)
        and (subregions is None or tile.subregion in subregions)
    )
    if not kept:
        has = sorted({f"{region_name(t.region)} {t.subregion}".strip() for t in tiles})
        wanted = [f"regions {list(regions)}"] if regions is not None else []
        wanted += [f"subregions {list(subregions)}"] if subregions is not None else []
        raise InputError(
            f"{source}: none of its {len(tiles)} tiles is in {' and '.join(wanted)}; it has "
            f"{', '.join(has)}. Choose from these (data.regions, data.subregions)"
        )
    return kept


def _strips(window: Window | None) -> Iterator[Window]:
    """Cut a window into strips of some hundred rows; there are none of no window."""
    if window is not None:
        for row in range(0, window.height, STRIP):
            height = min(STRIP, window.height - row)
            yield Window(window.row + row, window.col, height, window.width)


def _index(tiles: Sequence[Tile]) -> gpd.GeoDataFrame:
    """Index the tiles' footprints, in degrees where they have several CRSs."""
    common = {tile.crs for tile in tiles}
    crs = tiles[0].crs if len(common) == 1 else rasterio.CRS.from_epsg(4326)
    footprints = []
    for tile in tiles:
        x, y, _ = _bounds(tile.transform, tile.extent)
        box = (x.start, y.start, x.stop, y.stop)
        if tile.crs != crs:
            box = transform_bounds(tile.crs, crs, *box)
        footprints.append(shapely.box(*box))
    times = pd.IntervalIndex.from_tuples(
        [(RasterDataset.mint, RasterDataset.maxt)] * len(tiles), closed="both", name="datetime"
    )
    names = {"filepath": [tile.name for tile in tiles]}
    return gpd.GeoDataFrame(names, index=times, geometry=footprints, crs=crs.to_wkt())


def _bounds(transform: Any, window: Window) -> tuple[slice, slice, slice]:
    """Describe a window as TorchGeo's slices of x, y and time."""
    left, top = transform @ (window.col, window.row)
    right, bottom = transform @ (window.col + window.width, window.row + window.height)
    time = slice(RasterDataset.mint, RasterDataset.maxt, 1)
    return slice(left, right, abs(transform.a)), slice(bottom, top, abs(transform.e)), time


def _join(samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Put the images of samples above each other; of all else the first sample's counts."""
    images = concat_samples([{"image": s["image"]} for s in samples if "image" in s])
    joined: dict[str, Any] = {}
    for sample in reversed(samples):
        joined |= sample
    return joined | images
