"""What all datasets of tiles share: windows on each tile's own grid, as TorchGeo's samples."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import rasterio
import torch
from matplotlib.figure import Figure
from rasterio.errors import CRSError
from torch import Tensor

from glavitu.classes import UNKNOWN
from glavitu.datasets.joining import join, merge
from glavitu.datasets.plotting import plot_sample
from glavitu.datasets.sample import Sample
from glavitu.datasets.samplers import TileWindow
from glavitu.datasets.slices import Slices, check_slices, locate, place, resolve, tile_index
from glavitu.datasets.tile import Tile
from glavitu.datasets.torchgeo_api import (
    GeoDataset,
    IntersectionDataset,
    UnionDataset,
)
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

#: What labels say beyond a tile.
PADDINGS = {"unknown": UNKNOWN, "land": 0}

#: Channels that make a picture in natural colours.
RGB = ("red", "green", "blue")


AnyTile = TypeVar("AnyTile", bound=Tile)


class TileDataset(GeoDataset):
    """Tiles of many places, sizes and CRSs, read by windows that are never resampled.

    A sample is a dict of tensors (:class:`~glavitu.datasets.sample.Sample`). What else there is to
    know of it, its tile knows: ``dataset.tiles[sample["tile"]]`` has its name, CRS, exact
    transform, date and sensor.

    Args:
        tiles: The tiles, at least one.
        features: Feature groups, in the order of the image's channels.
        location: Adds a location vector to samples: ``'region'`` or ``'coordinates'`` (of the
            window's centre).
        transforms: Applied to each sample.
        bands: Names of the channels to give, of :attr:`all_bands`; all by default.
        padding: What labels say beyond a tile: ``'unknown'`` or ``'land'``.

    Raises:
        InputError: If the location, a band or the kind of padding is unknown.
    """

    tiles: Sequence[Tile]
    #: Names of the channels of samples, in order.
    bands: Sequence[str]

    def __init__(
        self,
        tiles: Sequence[Tile],
        features: tuple[FeatureGroup, ...],
        location: str | None,
        transforms: Callable[[Any], Any] | None,
        bands: Sequence[str] | None = None,
        padding: str = "unknown",
    ) -> None:
        if padding not in PADDINGS:
            raise InputError(f"unknown padding {padding!r}; choose from {', '.join(PADDINGS)}")
        self.padding = padding
        self.tiles = tiles
        self.features = features
        self.location = location
        self.transforms = transforms
        #: Names of all channels of the feature groups, in order.
        self.all_bands = band_names(features)
        self.bands = self.all_bands if bands is None else tuple(bands)
        unknown = [band for band in self.bands if band not in self.all_bands]
        if unknown or not self.bands:
            raise InputError(
                f"bands: {', '.join(map(repr, unknown)) or 'there is none'}; choose from "
                f"{', '.join(self.all_bands)}"
            )
        self.rgb_bands = tuple(band for band in RGB if set(RGB) <= set(self.bands))
        self._crss = sorted({tile.crs.to_string() for tile in tiles})
        self.index = tile_index(tiles)
        first = tiles[0].transform
        self._res = (abs(first.a), abs(first.e))

    @property
    def extents(self) -> list[Window]:
        """Extent of each tile in pixels of its raster, as samplers want it."""
        return [tile.extent for tile in self.tiles]

    @property
    def bounds(self) -> Slices:
        """Extent of the index, as slices of x, y and time; in degrees over several CRSs."""
        if len(self._crss) == 1:
            bounds: Slices = super().bounds
            return bounds
        west, south, east, north = self.index.total_bounds
        times = self.index.index
        return slice(west, east), slice(south, north), slice(times.left.min(), times.right.max(), 1)

    @property
    def crs(self) -> Any:
        """CRS of the index: that of the tiles, or degrees where they have several."""
        return self.index.crs

    @crs.setter
    def crs(self, crs: Any) -> None:
        try:
            wanted = rasterio.CRS.from_user_input(crs)
        except CRSError as error:
            raise InputError(
                f"{crs!r} is no coordinate reference system ({error}); give one such as EPSG:32645"
            ) from error
        if any(tile.crs != wanted for tile in self.tiles):
            raise InputError(
                f"these tiles stay in their own coordinate reference system "
                f"({', '.join(self._crss)}) and are not warped to {wanted.to_string()}; bring the "
                "other dataset to theirs, for example by naming this one first in `&` or `|`"
            )

    @property
    def res(self) -> tuple[float, float]:
        """Width and height of the first tile's pixels, in units of the CRS.

        Raises:
            InputError: If the tiles have several CRSs, so that there is no one unit; samplers of
                TorchGeo, which ask for it, end with this message.
        """
        self._check_one_crs("TorchGeo's samplers, `&`, `|` and slices of coordinates")
        return self._res

    @res.setter
    def res(self, res: float | tuple[float, float]) -> None:
        wanted = res if isinstance(res, tuple) else (res, res)
        if not np.allclose(wanted, self.res, rtol=1e-6, atol=0):
            raise InputError(
                f"these tiles stay on their own pixels of {self.res[0]:.8g} x {self.res[1]:.8g} "
                f"and are not resampled to {wanted[0]:.8g} x {wanted[1]:.8g}; bring the other "
                "dataset to theirs, for example by naming this one first in `&` or `|`"
            )

    @abstractmethod
    def _read_image(
        self, number: int, window: Window, image: Tensor
    ) -> npt.NDArray[np.bool_] | None:
        """Read a window inside a tile's extent, scaled, into a float32 tensor (C, H, W).

        Returns:
            Where every feature group has data, bool (H, W); None where nothing tells.
        """

    @abstractmethod
    def _read_mask(self, number: int, window: Window) -> Tensor:
        """Read the mask (H, W), 0, 1 and 255 of any type, of a window inside a tile's extent."""

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

    def __getitem__(self, index: Any) -> Sample:  # type: ignore[override]
        """Read a window.

        Args:
            index: A :class:`~glavitu.datasets.samplers.TileWindow`; or, over one CRS, TorchGeo's
                slices [xmin:xmax, ymin:ymax, tmin:tmax], of which all may be left out. Of these,
                the tile of which they show most is read on its own grid, around the same centre, as
                many pixels as the slices have at the dataset's resolution. Where they reach beyond
                it, tiles beside it with pixels of the same size are read too, on the nearest ones.

        Returns:
            A sample, see :class:`TileDataset`.

        Raises:
            IndexError: If slices lie outside all tiles, or outside their times.
            InputError: If slices index a dataset of several CRSs, or the index is neither.
        """
        if isinstance(index, TileWindow):
            shown = [index]
        else:
            slices = check_slices(index)
            self._check_one_crs("slices of coordinates")
            shown = locate(resolve(slices, self.bounds), self.index, self.tiles)
            if not shown:
                raise IndexError(f"index {index} not found in dataset with bounds {self.bounds}")
        number, window, counted = shown[0]
        tile = self.tiles[number]
        image, mask = self._read_window(number, window)
        if len(shown) > 1:
            self._read_beside(shown, image, mask)
        if mask is not None and counted is not None:
            part, labels = counted.slices_in(window), mask
            mask = torch.full_like(labels, UNKNOWN)
            mask[part] = labels[part]
        if tuple(self.bands) != self.all_bands:
            image = image[[self.all_bands.index(band) for band in self.bands]]
        sample: Sample = {
            "image": image,
            "region": torch.tensor(tile.region),
            "tile": torch.tensor(number),
            **place(tile, window),
        }
        if mask is not None:
            sample["mask"] = mask
        if self.location == "region":
            sample["location"] = region_vector(tile.region)
        elif self.location == "coordinates":
            sample["location"] = coordinate_vector(*self._centre(number, window))
        if self.transforms is not None:
            sample = self.transforms(sample)
        return sample

    def _read_window(self, number: int, window: Window) -> tuple[Tensor, Tensor | None]:
        """Read image and mask of a window that may reach beyond the tile."""
        inside = intersection(window, self.tiles[number].extent)
        new = torch.empty if inside == window else torch.zeros
        image = new(len(self.all_bands), window.height, window.width)
        mask = torch.full((window.height, window.width), PADDINGS[self.padding])
        # In strips, since reading needs several times the memory of what is read.
        for strip in _strips(inside):
            rows, cols = strip.slices_in(window)
            valid = self._read_image(number, strip, image[:, rows, cols])
            if self._labelled(number):
                mask[rows, cols] = self._read_mask(number, strip)
                if valid is not None:  # a map has no class either where there are no data
                    mask[rows, cols].masked_fill_(~torch.from_numpy(valid), UNKNOWN)
        return image, mask if self._labelled(number) else None

    def _read_beside(self, shown: Sequence[TileWindow], image: Tensor, mask: Tensor | None) -> None:
        """Fill in what the first tile does not reach from those beside it, in their order."""
        missing = torch.ones(image.shape[1:], dtype=torch.bool)
        for place_of, (number, window, _) in enumerate(shown):
            inside = intersection(window, self.tiles[number].extent)
            if inside is None:
                continue
            part = inside.slices_in(window)
            if place_of > 0 and missing[part].any():
                theirs, labels = self._read_window(number, inside)
                torch.where(missing[part], theirs, image[:, *part], out=image[:, *part])
                if mask is not None:
                    labels = torch.tensor(UNKNOWN) if labels is None else labels
                    torch.where(missing[part], labels, mask[part], out=mask[part])
            missing[part] = False

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
        return IntersectionDataset(self, other, collate_fn=join)

    def __or__(self, other: GeoDataset) -> UnionDataset:
        """Take what lies in either dataset; where both have pixels, the larger values count.

        Args:
            other: Any dataset of TorchGeo's; it is brought to the CRS and resolution of this one.

        Raises:
            InputError: If the tiles have several CRSs.
        """
        self._check_one_crs("`|`")
        return UnionDataset(self, other, collate_fn=merge)

    def plot(
        self,
        sample: Sample,
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
        return plot_sample(sample, self.bands, show_titles, suptitle)

    def _check_one_crs(self, what: str) -> None:
        if len(self._crss) > 1:
            shown = ", ".join(self._crss[:3]) + (", ..." if len(self._crss) > 3 else "")
            raise InputError(
                f"the tiles lie in several coordinate reference systems ({shown}), so coordinates "
                f"alone name no window and there is no one resolution, which {what} need; draw "
                "windows of tiles with RandomWindows, GridWindows or WholeTiles of "
                "glavitu.datasets, or choose tiles of one system (regions, subregions, paths)"
            )


def band_names(features: Sequence[FeatureGroup]) -> tuple[str, ...]:
    """Name all channels of feature groups, in order.

    Args:
        features: The groups.

    Returns:
        The channels' names, such as ``red``; with the group's before them, such as
        ``in_sar.ascending``, where several groups have a channel of the name.
    """
    times = Counter(channel for group in features for channel in group.channels)
    return tuple(
        channel if times[channel] == 1 else f"{group.name}.{channel}"
        for group in features
        for channel in group.channels
    )


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
