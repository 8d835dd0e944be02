"""How many windows a second one process reads, against what it is compared to.

GeoTIFF: `GlacierRasters` against stock TorchGeo, an intersection of one RasterDataset per feature
group and one for the mask with their usual settings, on the same files: all six groups and the mask
of 2,000 tiles of 384 x 384 pixels that `glavitu convert` wrote (12 GB; eight different contents,
each tile in a place of its own on one grid). Bare rasterio, which opens each file and reads it, is
what no reader through GDAL can outdo. A window is a tile, and no side has a window's files open.
HDF5: `BenchmarkTiles` against h5py alone reading the same parts of the same arrays, windows of
384 x 384 pixels drawn at random from tiles of 768 x 768 with padding; the arrays are compressed in
chunks as `SyntheticGlaciers` writes them, or plain. Both sides must give the same values. All files
are in the page cache. Run:

    python -m benchmarks.speed.loader_speed
"""

import argparse
import itertools
import random
import shutil
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import rasterio
import torch
from affine import Affine
from torchgeo.datasets import GeoDataset, RasterDataset
from tqdm import tqdm

from benchmarks.speed.measuring import alternate, ratio, save
from glavitu.datasets import BenchmarkTiles, GlacierRasters, SyntheticGlaciers
from glavitu.datasets.samplers import TileWindow
from glavitu.features import FEATURES
from glavitu.inventory.convert import convert
from glavitu.windows import Window

SIZE = 384
#: Degrees, so that all positions are exact in binary and TorchGeo never has to resample.
PIXEL = 2.0**-12
GAP = 512 * PIXEL
TILES_PER_ROW = 64
#: Tiles that differ in content; compressing thousands of them would take long.
CONTENTS = 8
GROUPS = tuple(FEATURES)

Read = Callable[[Any], Any]


def write_rasters(folder: Path, count: int) -> Path:
    """Write tiles side by side, as `glavitu convert` writes them; what is there stays."""
    missing = [number for number in range(count) if not (folder / f"{number:05d}").exists()]
    if not missing:
        return folder
    with tempfile.TemporaryDirectory() as temporary:
        world = SyntheticGlaciers(("HMA",), (CONTENTS, 0, 0), size=SIZE)
        convert(world.write_hdf5(temporary, progress=False), temporary, progress=False)
        originals = sorted(Path(temporary, "train").iterdir())
        for number in tqdm(missing, desc="tiles"):
            partial = folder / f".{number:05d}"
            shutil.copytree(originals[number % CONTENTS], partial, dirs_exist_ok=True)
            row, col = divmod(number, TILES_PER_ROW)
            place = Affine.translation(GAP * col, GAP * row) @ Affine.scale(PIXEL, -PIXEL)
            for path in partial.iterdir():
                with rasterio.open(path, "r+") as file:
                    file.transform = place
            partial.rename(folder / f"{number:05d}")
    return folder


def stock(folder: Path) -> GeoDataset:
    """Open the tiles with TorchGeo alone."""

    def dataset(name: str) -> GeoDataset:
        members = {"filename_glob": f"{name}.tif", "is_image": name != "outlines"}
        kind: type[RasterDataset] = type(name, (RasterDataset,), members)
        return kind(folder)

    optical, dem, co_pol, cross_pol, in_sar, thermal = map(dataset, GROUPS)
    # In a row, as in optical & dem & co_pol & ..., TorchGeo 0.8 fails from the fourth on.
    images = ((optical & dem) & (co_pol & cross_pol)) & (in_sar & thermal)
    return images & dataset("outlines")


def rasters(folder: Path, tiles: int, windows: int, rounds: int) -> dict[str, Any]:
    """Compare the readers of GeoTIFFs."""
    folder = write_rasters(folder, tiles)
    ours = GlacierRasters(folder, GROUPS)
    theirs = stock(folder)
    draws = random.Random(0)
    drawn = [
        TileWindow(number, Window(0, 0, SIZE, SIZE))
        for number in draws.sample(range(len(ours.tiles)), windows)
    ]
    queries = [_slices(ours, query) for query in drawn]
    for query, slices in itertools.islice(zip(drawn, queries, strict=True), 8):
        one, other = ours[query], theirs[slices]
        assert torch.equal(one["image"], other["image"]), query
        assert torch.equal(one["mask"], other["mask"]), query

    def bare(query: TileWindow) -> None:
        for name in (*GROUPS, "outlines"):
            with rasterio.open(folder / ours.tiles[query.tile].name / f"{name}.tif") as file:
                file.read(window=((0, SIZE), (0, SIZE)))

    work = {
        "glavitu": lambda: _read_all(ours.__getitem__, drawn),
        "torchgeo": lambda: _read_all(theirs.__getitem__, queries),
        "rasterio": lambda: _read_all(bare, drawn),
    }
    times = alternate(work, rounds)
    return {
        "tiles": len(ours.tiles),
        "window": SIZE,
        **{f"{name}_windows_per_second": _rate(windows, times[name]) for name in work},
        "times_torchgeo": ratio(times, "torchgeo", "glavitu"),
        "times_rasterio": ratio(times, "rasterio", "glavitu"),
        "most_times_torchgeo": ratio(times, "torchgeo", "rasterio"),
    }


def _slices(dataset: GlacierRasters, query: TileWindow) -> tuple[slice, slice, slice]:
    tile, window = dataset.tiles[query.tile], query.window
    west, north = tile.transform @ (window.col, window.row)
    east, south = west + window.width * PIXEL, north - window.height * PIXEL
    time = slice(RasterDataset.mint, RasterDataset.maxt, 1)
    return slice(west, east, PIXEL), slice(south, north, PIXEL), time


def uncompress(path: Path) -> None:
    """Write a file's arrays anew, uncompressed and in one piece."""
    with h5py.File(path) as file, h5py.File(path.with_suffix(".new"), "w") as copy:

        def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
            array = isinstance(item, h5py.Dataset)
            put = copy.create_dataset(name, data=item[()]) if array else copy.create_group(name)
            put.attrs.update(item.attrs)

        copy.attrs.update(file.attrs)
        file.visititems(visit)
    path.with_suffix(".new").rename(path)


def released(folder: Path, windows: int, rounds: int, plain: bool) -> dict[str, Any]:
    """Compare the readers of the released files, compressed or plain."""
    folder = folder / ("plain" if plain else "compressed")
    folder.mkdir()
    world = SyntheticGlaciers(("HMA", "SC"), (8, 1, 1), size=600)
    world.write_hdf5(folder, progress=False)
    if plain:
        uncompress(folder / "train.hdf5")
    ours = BenchmarkTiles(folder, "train", GROUPS)
    draws = random.Random(0)
    drawn = [
        TileWindow(
            tile, Window(draws.randint(0, 600 - SIZE), draws.randint(0, 600 - SIZE), SIZE, SIZE)
        )
        for tile in draws.choices(range(len(ours.tiles)), k=windows)
    ]
    with h5py.File(folder / "train.hdf5") as file:

        def bare(query: TileWindow) -> list[Any]:
            tile = ours.tiles[query.tile]
            row, col = (start + p for start, p in zip(query.window, tile.padding, strict=False))
            part = slice(row, row + SIZE), slice(col, col + SIZE)
            return [file[tile.name][name][part] for name in (*GROUPS, "outlines")]

        for query in drawn[:8]:
            one, (*arrays, labels) = ours[query], bare(query)
            image = np.concatenate(arrays, axis=-1).transpose(2, 0, 1)
            assert np.array_equal(one["image"], image), query
            assert np.array_equal(one["mask"], labels[..., 1]), query
        work = {
            "glavitu": lambda: _read_all(ours.__getitem__, drawn),
            "h5py": lambda: _read_all(bare, drawn),
        }
        times = alternate(work, rounds)
    return {
        **{f"{name}_windows_per_second": _rate(windows, times[name]) for name in work},
        "times_h5py": ratio(times, "h5py", "glavitu"),
    }


def _read_all(read: Read, queries: Sequence[Any]) -> None:
    for query in queries:
        read(query)


def _rate(windows: int, seconds: list[float]) -> float:
    return windows / statistics.median(seconds)


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--folder", type=Path, help="folder of the GeoTIFFs, kept between runs")
    parser.add_argument("--tiles", type=int, default=2000, help="tiles in the index")
    parser.add_argument("--windows", type=int, default=48, help="windows of a round")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)  # a worker of a DataLoader has one
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary) / "geotiff"
        figures = {
            "hdf5": released(Path(temporary), options.windows, options.rounds, False),
            "hdf5_plain": released(Path(temporary), options.windows, options.rounds, True),
            "geotiff": rasters(folder, options.tiles, options.windows, options.rounds),
        }
    save("loader_speed", figures)


if __name__ == "__main__":
    main()
