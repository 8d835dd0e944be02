"""TorchGeo's way to name a window: slices of x, y and time, looked up in an index of the tiles."""

from collections.abc import Sequence
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
import shapely
import torch
from affine import Affine

from glavitu.datasets.sample import Sample
from glavitu.datasets.samplers import TileWindow
from glavitu.datasets.tile import Tile
from glavitu.datasets.torchgeo_api import RasterDataset
from glavitu.errors import InputError
from glavitu.rasters.bounds import bounds_of
from glavitu.windows import Window

#: Slices of x, y and time; the step is the size of a pixel, and 1 for time.
Slices = tuple[slice, slice, slice]

HOW = (
    "give coordinates, ds[xmin:xmax, ymin:ymax] or ds[xmin:xmax, ymin:ymax, tmin:tmax], or a "
    "window of a tile, ds[TileWindow(0, ds.extents[0])], which is the first tile whole; the "
    "samplers of glavitu.datasets and of TorchGeo give one after another"
)


def time_of(date: str) -> tuple[pd.Timestamp, pd.Timestamp]:
    """Return the first and the last moment of a date; of an unknown one, all of TorchGeo's time.

    Args:
        date: A year, month or day as ISO 8601 writes it, or nothing.
    """
    if not date:
        return pd.Timestamp(RasterDataset.mint), pd.Timestamp(RasterDataset.maxt)
    period = pd.Period(date)
    return period.start_time, period.end_time


def tile_index(tiles: Sequence[Tile]) -> gpd.GeoDataFrame:
    """Index the tiles' footprints and times as TorchGeo does.

    Args:
        tiles: At least one.

    Returns:
        A row for each tile, with ``filepath`` and ``geometry``, by the interval ``datetime``; in
        degrees where the tiles have several coordinate reference systems.
    """
    common = {tile.crs for tile in tiles}
    crs = tiles[0].crs if len(common) == 1 else rasterio.CRS.from_epsg(4326)
    footprints = []
    for tile in tiles:
        x, y = window_slices(tile.transform, tile.extent)
        box = (x.start, y.start, x.stop, y.stop)
        if tile.crs != crs:
            corners = np.array([x.start, x.stop, x.stop, x.start]), np.repeat([y.start, y.stop], 2)
            box = bounds_of(*corners, tile.crs, crs)
        footprints.append(shapely.box(*box))
    times = [time_of(tile.date) for tile in tiles]
    index = pd.IntervalIndex.from_tuples(times, closed="both", name="datetime")
    data = {"filepath": [tile.filepath for tile in tiles]}
    return gpd.GeoDataFrame(data, index=index, geometry=footprints, crs=crs.to_wkt())


def window_slices(transform: Affine, window: Window) -> tuple[slice, slice]:
    """Describe a window as slices of x and y, with the size of a pixel as step.

    Args:
        transform: Of the raster.
        window: Pixels of the raster.
    """
    left, top = transform @ (window.col, window.row)
    right, bottom = transform @ (window.col + window.width, window.row + window.height)
    return slice(left, right, abs(transform.a)), slice(bottom, top, abs(transform.e))


def place(tile: Tile, window: Window) -> Sample:
    """Say where and when a window lies, as TorchGeo's samples do since version 0.10.

    Args:
        tile: The window's tile.
        window: Pixels of the tile's raster.

    Returns:
        ``bounds`` float32 (9,): start, stop and step of x, y and time, time in seconds since 1970;
        ``transform`` float32 (9,): the affine transform of the window's pixels, row by row.
    """
    x, y = window_slices(tile.transform, window)
    first, last = time_of(tile.date)
    time = slice(first.timestamp(), last.timestamp(), 1)
    numbers = [number for s in (x, y, time) for number in (s.start, s.stop, s.step)]
    shifted = tile.transform @ Affine.translation(window.col, window.row)
    return {
        "bounds": torch.tensor(numbers, dtype=torch.float32),
        "transform": torch.tensor(tuple(shifted), dtype=torch.float32),
    }


def check_slices(index: Any) -> tuple[slice, ...]:
    """Return an index as a tuple, if it is made of slices.

    Args:
        index: What a dataset is asked for.

    Raises:
        InputError: If it is not one to three slices.
    """
    given = index if isinstance(index, tuple) else (index,)
    if not 1 <= len(given) <= 3 or not all(isinstance(part, slice) for part in given):
        raise InputError(f"{index!r} names no window of this dataset; {HOW}")
    return given


def resolve(given: tuple[slice, ...], bounds: Slices) -> Slices:
    """Fill in what slices leave out.

    Args:
        given: One to three slices, of x, y and time.
        bounds: The dataset's own, with the size of its pixels as steps.

    Raises:
        InputError: If the slices have no extent.
    """
    x, y, time = (
        slice(
            *(
                whole if own is None else own
                for own, whole in zip(
                    (part.start, part.stop, part.step),
                    (all_of.start, all_of.stop, all_of.step),
                    strict=True,
                )
            )
        )
        for part, all_of in zip((*given, *[slice(None)] * (3 - len(given))), bounds, strict=True)
    )
    for axis in (x, y):
        if not (axis.start < axis.stop and axis.step > 0):
            raise InputError(
                f"the slices {given!r} have no extent; give xmin:xmax and ymin:ymax with "
                "xmin < xmax and ymin < ymax, in units of the dataset's CRS"
            )
    return x, y, slice(pd.Timestamp(time.start), pd.Timestamp(time.stop), time.step)


def locate(slices: Slices, index: gpd.GeoDataFrame, tiles: Sequence[Tile]) -> list[TileWindow]:
    """Find the window that slices name, on each tile that it shows.

    It has as many pixels as the slices have at their steps, and lies on the grid of the tile of
    which it shows most, around the same centre. Tiles beside that one are given where their pixels
    have the same size, on the nearest of these.

    Args:
        slices: Of x, y and time, filled in.
        index: Of the tiles, in their CRS.
        tiles: The tiles, in the order of the index.

    Returns:
        The window on each tile, that of which it shows most first; nothing where it shows none.
    """
    x, y, time = slices
    wanted = shapely.box(x.start, y.start, x.stop, y.stop)
    shown = shapely.area(shapely.intersection(index.geometry.to_numpy(), wanted))
    shown[~index.index.overlaps(pd.Interval(time.start, time.stop, closed="both"))] = 0
    numbers = [int(i) for i in np.argsort(-shown, kind="stable") if shown[i] > 0]
    if not numbers:
        return []
    grid = tiles[numbers[0]].transform
    width, height = round((x.stop - x.start) / x.step), round((y.stop - y.start) / y.step)
    col, row = ~grid @ ((x.start + x.stop) / 2, (y.start + y.stop) / 2)
    # Half pixels go down, whatever the sign, so that neighbours stay neighbours.
    left, top = np.floor(col - width / 2 + 0.5), np.floor(row - height / 2 + 0.5)
    corner = grid @ (left, top)
    windows = []
    for number in numbers:
        theirs = tiles[number].transform
        if np.allclose(theirs[:2] + theirs[3:5], grid[:2] + grid[3:5], rtol=1e-6, atol=0):
            left, top = ~theirs @ corner
            windows.append(TileWindow(number, Window(round(top), round(left), height, width)))
    return windows
