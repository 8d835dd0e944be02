"""From the released HDF5 files to GeoTIFFs, which QGIS and GDAL read too."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.errors import RasterioError
from tqdm import tqdm

from glavitu.datasets.benchmark_files import (
    OUTLINES,
    ReleasedTile,
    content_faults,
    describe,
    open_release,
    released_in,
    split_of,
    structure_faults,
    tile_names,
)
from glavitu.errors import InputError
from glavitu.features import FEATURES
from glavitu.inventory.faults import Fault, read_array
from glavitu.rasters.scene import SCALED_TAG
from glavitu.regions import region_name

#: Faults that a message names; `glavitu info --check` lists all.
NAMED_FAULTS = 10


class Converted(NamedTuple):
    """What a conversion did.

    Attributes:
        written: Number of tiles that were written.
        skipped: Number of tiles that were there already.
    """

    written: int
    skipped: int


class _Job(NamedTuple):
    """A tile and the folder that it goes to."""

    file: Path
    tile: str
    folder: Path


def convert(source: str | Path, output: str | Path, progress: bool = True) -> Converted:
    """Write released tiles (Maslov et al. 2025, doi 10.1038/s41467-024-54956-x) as GeoTIFFs.

    Each tile becomes a folder ``output/{split}/{tile}`` with ``{feature group}.tif`` and
    ``outlines.tif`` (1 = glacier), without padding, in EPSG:4326. The values are those of the HDF5
    file, scaled to [0, 1] and equal to the bit, so that
    :class:`~glavitu.datasets.GlacierRasters` gives the samples of
    :class:`~glavitu.datasets.BenchmarkTiles`; scale and offset of each band lead to physical units
    (for SAR to log10 of sigma0). A folder has its name only when it is complete, and tiles whose
    folders are there are skipped, so that an interrupted conversion goes on where it stopped.

    Args:
        source: A released HDF5 file, or a folder of them.
        output: Folder to write to; made if missing.
        progress: Show a progress bar.

    Returns:
        How many tiles were written and skipped.

    Raises:
        InputError: If a file cannot be opened, two files hold tiles of one name, or tiles are
            faulty; all others are written first.
        OSError: If the output cannot be written, as on a full disk.
    """
    output = Path(output)
    jobs = [job for file in released_in(Path(source)) for job in _jobs(file, output)]
    if not jobs:
        raise InputError(f"{source}: holds no tile; download it again")
    folder, count = Counter(job.folder for job in jobs).most_common(1)[0]
    if count > 1:
        files = ", ".join(str(job.file) for job in jobs if job.folder == folder)
        raise InputError(
            f"{files}: all hold a tile {folder.name} that goes to {folder}; convert each file into "
            "a folder of its own"
        )
    written = skipped = 0
    faults: list[Fault] = []
    for job in tqdm(jobs, desc="tiles", disable=not progress):
        if job.folder.exists():
            skipped += 1
            continue
        problems = _convert(job)
        faults += [Fault(job.file, job.tile, problem) for problem in problems]
        written += not problems
    if faults:
        raise InputError(_message(faults, written, skipped))
    return Converted(written, skipped)


def _jobs(file: Path, output: Path) -> list[_Job]:
    with open_release(file) as release:
        tiles = tile_names(file, release)
    for tile in tiles:
        if tile.startswith("."):
            raise InputError(
                f"{file}: tile {tile}: its name cannot be that of a folder that is seen; rename it"
            )
    return [_Job(file, tile, output / (split_of(file) or "") / tile) for tile in tiles]


def _convert(job: _Job) -> list[str]:
    """Write a tile, unless something is wrong with it, which is returned."""
    partial = job.folder.with_name(f".partial-{job.folder.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with open_release(job.file) as release:
            problems = _write_tile(partial, job, release)
        if not problems:
            partial.rename(job.folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return problems


def _write_tile(folder: Path, job: _Job, release: h5py.File) -> list[str]:
    problems = structure_faults(release, job.tile)
    if problems:
        return problems
    group = release[job.tile]
    tile = describe(job.file, job.tile, group)
    rows = slice(tile.padding[0], tile.padding[0] + tile.extent.height)
    cols = slice(tile.padding[1], tile.padding[1] + tile.extent.width)
    for name in (*tile.groups, OUTLINES):
        try:
            values = read_array(group, name)[rows, cols]
        except InputError as error:
            problems.append(str(error))
            continue
        problems += content_faults(name, values)
        if not problems:
            _write(folder / f"{name}.tif", tile, name, values)
    return problems


def _write(path: Path, tile: ReleasedTile, name: str, values: npt.NDArray[Any]) -> None:
    """Write an array (h, w, channels) as GeoTIFF."""
    labels = name == OUTLINES
    bands = values[..., 1:].astype(np.uint8) if labels else values.astype(np.float32)
    bands = bands.transpose(2, 0, 1)
    problem = ""
    try:
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=len(bands),
            height=tile.extent.height,
            width=tile.extent.width,
            dtype=bands.dtype,
            crs=tile.crs,
            transform=tile.transform,
            tiled=True,
            # Windows of training are read in less than half the time of deflated blocks of 256.
            blockxsize=128,
            blockysize=128,
            compress="zstd",
            predictor=2 if labels else 3,
            bigtiff="IF_SAFER",
            num_threads="ALL_CPUS",
        ) as file:
            file.update_tags(region=region_name(tile.region), subregion=tile.subregion)
            if labels:
                file.descriptions = ("glacier",)
            else:
                file.update_tags(**{SCALED_TAG: "yes"})
                _describe_bands(file, name)
            file.write(bands)
        # On a full disk GDAL may lose what it writes last without an error.
        with rasterio.open(path) as file:
            if not np.array_equal(file.read(), bands):
                problem = "what is read back differs"
    except RasterioError as error:
        problem = str(error)
    if problem:
        raise OSError(
            f"{path}: could not be written whole ({problem}); see whether the disk is full, and "
            "run it again, then it goes on"
        )


def _describe_bands(file: Any, name: str) -> None:
    """Name the bands, and give the way back to physical units where it is known."""
    group = FEATURES.get(name)
    if group is None:
        file.descriptions = tuple(f"band {band}" for band in file.indexes)
        return
    file.descriptions = group.channels
    file.offsets = group.minimum
    file.scales = tuple(high - low for low, high in zip(group.minimum, group.maximum, strict=True))


def _message(faults: list[Fault], written: int, skipped: int) -> str:
    tiles = len({(fault.file, fault.tile) for fault in faults})
    found = "; ".join(map(str, faults[:NAMED_FAULTS]))
    if len(faults) > NAMED_FAULTS:
        found += f"; and {len(faults) - NAMED_FAULTS} faults more"
    return (
        f"{tiles} of {tiles + written + skipped} tiles could not be converted ({written} were, "
        f"{skipped} were there already): {found}. Download these files again and run the same "
        "command: it converts what is missing"
    )
