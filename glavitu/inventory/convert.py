"""From the released HDF5 files to GeoTIFFs, which QGIS and GDAL read too."""

import logging
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt
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
from glavitu.files import opened, partial_folder, put_in_place, sweep
from glavitu.inventory.faults import Fault, read_array
from glavitu.inventory.journal import Journal, Source, State, described, same_files
from glavitu.rasters.scene import SCALED_TAG
from glavitu.rasters.writing import write_geotiff
from glavitu.regions import region_name

logger = logging.getLogger(__name__)

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
    source: Source


def convert(source: str | Path, output: str | Path, progress: bool = True) -> Converted:
    """Write released tiles (Maslov et al. 2025, doi 10.1038/s41467-024-54956-x) as GeoTIFFs.

    Each tile becomes a folder ``output/{split}/{tile}`` with ``{feature group}.tif`` and
    ``outlines.tif`` (1 = glacier), without padding, in EPSG:4326. The values are those of the HDF5
    file, scaled to [0, 1] and equal to the bit, so that
    :class:`~glavitu.datasets.GlacierRasters` gives the samples of
    :class:`~glavitu.datasets.BenchmarkTiles` (with ``padding="land"`` beyond the tiles too); scale
    and offset of each band lead to physical units (for SAR to log10 of sigma0). A folder has its
    name only when it is complete, and a journal in ``output`` knows of what file it was made and
    what it holds. So an interrupted conversion goes on where it stopped: tiles that are there as
    they were made of the same file are skipped, and those of a file that was replaced since are
    converted again.

    Args:
        source: A released HDF5 file, or a folder of them.
        output: Folder to write to; made if missing.
        progress: Show a progress bar.

    Returns:
        How many tiles were written and skipped.

    Raises:
        InputError: If a file cannot be opened, two files hold tiles of one name, another process
            writes into the output, or tiles are faulty or their folders hold something else; all
            others are written first.
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
    with opened(output):
        return _convert_all(jobs, Journal(output), progress)


def _convert_all(jobs: list[_Job], journal: Journal, progress: bool) -> Converted:
    written = skipped = replaced = 0
    faults: list[Fault] = []
    for folder in {job.folder.parent for job in jobs}:
        sweep(folder)
    for job in tqdm(jobs, desc="tiles", disable=not progress):
        state, source = journal.state(job.folder)
        if state is State.WHOLE and source == job.source:
            skipped += 1
            continue
        there = job.folder.exists()
        if there and state is State.CHANGED:
            problems = [_in_the_way(job, "is there, changed since it was converted")]
        else:
            problems, known = _convert(job, journal, may_replace=state is not State.UNKNOWN)
            if known:
                skipped += 1
                continue
        faults += [Fault(job.file, job.tile, problem) for problem in problems]
        written += not problems
        replaced += there and not problems
    if replaced:
        logger.warning(
            f"{journal.output}: {replaced} tiles were of another file, or not whole, and have been "
            "converted again"
        )
    if faults:
        raise InputError(_message(faults, written, skipped))
    return Converted(written, skipped)


def _in_the_way(job: _Job, what: str) -> str:
    return f"{job.folder} {what}; move or remove it"


def _jobs(file: Path, output: Path) -> list[_Job]:
    with open_release(file) as release:
        tiles = tile_names(file, release)
    for tile in tiles:
        if tile.startswith("."):
            raise InputError(
                f"{file}: tile {tile}: its name cannot be that of a folder that is seen; rename it"
            )
    source, folder = described(file), output / (split_of(file) or "")
    return [_Job(file, tile, folder / tile, source) for tile in tiles]


def _convert(job: _Job, journal: Journal, may_replace: bool) -> tuple[list[str], bool]:
    """Write a tile, unless something is wrong with it.

    Args:
        job: The tile.
        journal: Of the output folder.
        may_replace: Whether a folder that is there goes; one that holds the same stays.

    Returns:
        What is wrong, and whether the folder that is there holds the same.
    """
    with partial_folder(job.folder.parent, job.folder.name) as beside:
        partial = beside / job.folder.name
        partial.mkdir()
        with open_release(job.file) as release:
            problems = _write_tile(partial, job, release)
        if problems:
            return problems, False
        there = job.folder.exists()
        same = there and same_files(job.folder, partial)
        if there and not same and not may_replace:
            return [_in_the_way(job, "is there, and nothing tells that it is this tile")], False
        journal.add(job.folder, job.source, partial)
        if same:
            return [], True
        if there:
            job.folder.rename(beside / "replaced")
        put_in_place([(partial, job.folder)])
    return [], False


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
    tags = {"region": region_name(tile.region), "subregion": tile.subregion}
    described_by = {"descriptions": ("glacier",)} if labels else _bands(name, len(bands))
    write_geotiff(
        path,
        bands,
        tags=tags if labels else {SCALED_TAG: "yes", **tags},
        **described_by,
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
    )


def _bands(name: str, count: int) -> dict[str, Any]:
    """Name the bands, and give the way back to physical units where it is known."""
    group = FEATURES.get(name)
    if group is None:
        return {"descriptions": tuple(f"band {band}" for band in range(1, count + 1))}
    ranges = zip(group.minimum, group.maximum, strict=True)
    return {
        "descriptions": group.channels,
        "offsets": group.minimum,
        "scales": tuple(high - low for low, high in ranges),
    }


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
