"""The released benchmark files: what is in them, and what may be wrong with them."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine

from glavitu.errors import InputError
from glavitu.features import FEATURES
from glavitu.files.hdf5 import DAMAGE, array_fault, link_fault, open_hdf5
from glavitu.files.strangers import check_text
from glavitu.regions import region_index
from glavitu.windows import Window

SPLITS = ("train", "val", "test")
SUFFIXES = (".hdf5", ".h5")

#: Name of the labels among a tile's arrays.
OUTLINES = "outlines"

#: The bounds of the tiles are degrees.
DEGREES = rasterio.CRS.from_epsg(4326)

SIZES = (
    "height",
    "width",
    "padding_height",
    "padding_width",
    "original_height",
    "original_width",
)
BOUNDS = ("xmin", "ymin", "xmax", "ymax")
ATTRIBUTES = ("region", "subregion", *SIZES, *BOUNDS)


@dataclass(frozen=True)
class ReleasedTile:
    """A tile of a released file.

    Attributes:
        path: Its file.
        name: Its name.
        region: Index of its region.
        subregion: Its subregion.
        extent: Window(0, 0, height, width) without padding.
        padding: Rows at the top and columns at the left of the arrays that are padding.
        bounds: xmin, ymin, xmax, ymax of the extent in degrees.
        groups: Number of channels of each feature group that the tile has.
        date: Empty, since the release does not tell it.
        sensor: Empty, likewise.
    """

    path: Path
    name: str
    region: int
    subregion: str
    extent: Window
    padding: tuple[int, int]
    bounds: tuple[float, float, float, float]
    groups: Mapping[str, int]
    date: str = ""
    sensor: str = ""

    @property
    def filepath(self) -> str:
        """Its file."""
        return str(self.path)

    @property
    def crs(self) -> rasterio.CRS:
        """EPSG:4326, since the bounds are degrees."""
        return DEGREES

    @cached_property
    def transform(self) -> Affine:
        """Affine transform from columns and rows to degrees."""
        west, south, east, north = self.bounds
        width, height = (east - west) / self.extent.width, (north - south) / self.extent.height
        return Affine(width, 0, west, 0, -height, north)


def split_of(path: Path) -> str | None:
    """Tell which split a released file holds by its name, None if it is no such file.

    Args:
        path: Such as ``train.hdf5`` or ``val_something.h5``.

    Raises:
        InputError: If the name has several splits.
    """
    if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
        return None
    # A split's name begins a word: latest_train.h5 is not a test file.
    found = {split for split in SPLITS if re.search(rf"(?<![a-z]){split}", path.stem.lower())}
    if len(found) > 1:
        raise InputError(
            f"{path}: its name says {' and '.join(sorted(found))}; name it after one split"
        )
    return found.pop() if found else None


def is_benchmark(root: str | Path) -> bool:
    """Tell whether a folder holds released files."""
    root = Path(root)
    return root.is_dir() and any(split_of(path) for path in root.iterdir())


def released_files(root: str | Path, split: str) -> list[Path]:
    """Return a split's files in a folder.

    Args:
        root: Folder of the released files.
        split: ``'train'``, ``'val'`` or ``'test'``.

    Raises:
        InputError: If there is none, or the split is unknown.
    """
    root = Path(root)
    if split not in SPLITS:
        raise InputError(f"unknown split {split!r}; choose from {', '.join(SPLITS)}")
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; give the folder that holds the benchmark")
    files = sorted(path for path in root.iterdir() if split_of(path) == split)
    if not files:
        names = ", ".join(sorted(path.name for path in root.iterdir())[:5]) or "nothing"
        raise InputError(
            f"{root}: has no HDF5 file of the split {split}, such as {split}.hdf5, but {names}; "
            "give the folder of the downloaded files"
        )
    return files


def released_in(source: Path) -> list[Path]:
    """Return the released files of a source.

    Args:
        source: A file, or a folder with files whose names contain ``train``, ``val`` or ``test``.

    Raises:
        InputError: If there is none.
    """
    if not source.is_dir():
        return [source]
    files = sorted(path for path in source.iterdir() if split_of(path))
    if not files:
        raise InputError(
            f"{source}: has no file whose name tells its split, such as train.hdf5 "
            f"({', '.join(SUFFIXES)}); give the folder of the downloaded files, or one file"
        )
    return files


def open_release(path: Path) -> h5py.File:
    """Open a released file.

    Raises:
        InputError: If it is missing, truncated or not HDF5.
    """
    return open_hdf5(path, "does not exist; check the path")


def tiles_of(path: Path) -> tuple[ReleasedTile, ...]:
    """List the tiles of a released file by their attributes alone.

    The list is kept until the file changes.

    Raises:
        InputError: If the file cannot be opened, or a tile is not as it should be.
    """
    path = path.resolve()
    if not path.is_file():
        raise InputError(f"{path}: does not exist; check the path")
    stat = path.stat()
    return _tiles_of(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=64)
def _tiles_of(path: Path, modified: int, size: int) -> tuple[ReleasedTile, ...]:
    with open_release(path) as file:
        return tuple(_checked(path, file, name) for name in tile_names(path, file))


def _checked(path: Path, file: h5py.File, name: str) -> ReleasedTile:
    for fault in structure_faults(file, name):
        raise InputError(
            f"{path}: tile {name}: {fault}. Download the file again, or leave the tile out; "
            f"`glavitu info --check {path}` lists every fault"
        )
    return describe(path, name, file[name])


def tile_names(path: Path, file: h5py.File) -> list[str]:
    """Return the names of a released file's tiles.

    Args:
        path: The file.
        file: The same, open.

    Raises:
        InputError: If it is damaged.
    """
    try:
        return list(file)
    except DAMAGE as error:
        raise InputError(
            f"{path}: the list of its tiles cannot be read; the file is damaged, download it "
            f"again ({error})"
        ) from error


def describe(path: Path, name: str, group: Any) -> ReleasedTile:
    """Describe a tile that has no :func:`structure_faults`.

    Args:
        path: The file.
        name: The tile's name.
        group: Its group in the open file.
    """
    attributes = dict(group.attrs)
    row, col, height, width = (int(attributes[key]) for key in SIZES[2:])
    west, south, east, north = (float(attributes[key]) for key in BOUNDS)
    return ReleasedTile(
        path,
        name,
        region_index(_text(attributes["region"])),
        _text(attributes["subregion"]),
        Window(0, 0, height, width),
        (row, col),
        (west, south, east, north),
        {key: group[key].shape[2] for key in group if key != OUTLINES},
    )


def structure_faults(file: h5py.File, name: str) -> list[str]:
    """Tell what is wrong with a tile's attributes and the kind and shape of its arrays.

    Args:
        file: The open file.
        name: The tile's name.

    Returns:
        Each fault in words.
    """
    faults: list[str] = []
    try:
        check_text(name)
        if link := link_fault(file, name):
            return [link]
        faults += _structure_faults(file[name])
    except InputError as error:
        faults.append(str(error))
    except DAMAGE as error:
        faults.append(f"cannot be read; the file is damaged ({error})")
    return faults


def _structure_faults(group: Any) -> Iterator[str]:
    if not isinstance(group, h5py.Group):
        yield "is not a group with arrays and attributes"
        return
    attributes = dict(group.attrs)
    missing = [key for key in ATTRIBUTES if key not in attributes]
    if missing:
        yield f"has no attribute {', '.join(missing)}"
        return
    for key in ("region", "subregion"):
        if not isinstance(attributes[key], str | bytes):
            yield f"attribute {key} is {attributes[key]!r:.60}, but should be a text"
            return
    try:
        region_index(_text(attributes["region"]))
    except InputError as error:
        yield f"attribute region: {error}"
    numbers = {}
    for key in (*SIZES, *BOUNDS):
        try:
            numbers[key] = float(attributes[key])
        except (TypeError, ValueError):
            numbers[key] = math.nan
        if not math.isfinite(numbers[key]) or (key in SIZES and numbers[key] % 1):
            numbers[key] = math.nan
            yield f"attribute {key} is {attributes[key]!r}, but should be a number"
    if not all(map(math.isfinite, numbers.values())):
        return
    for padded, before, original in (SIZES[::2], SIZES[1::2]):
        size, padding, extent = numbers[padded], numbers[before], numbers[original]
        if extent < 1 or padding < 0 or padding + extent > size:
            yield (
                f"{before} {padding:g} and {original} {extent:g} do not fit into {padded} {size:g}"
            )
    west, south, east, north = (numbers[key] for key in BOUNDS)
    if not (-360 <= west < east <= 360 and -90 <= south < north <= 90):
        yield (
            f"bounds {west:g}, {south:g}, {east:g}, {north:g} are not xmin, ymin, xmax, ymax in "
            "degrees"
        )
    if OUTLINES not in group:
        yield f"has no array {OUTLINES}"
    grid = (int(numbers["height"]), int(numbers["width"]))
    for name in group:
        if link := link_fault(group, name):
            yield f"array {name} {link}"
            continue
        array, channels = group[name], _channels(name)
        shape = getattr(array, "shape", None)
        expected = (*grid, channels or "channels")
        if shape is not None and (
            len(shape) != 3 or shape[:2] != grid or channels not in (None, shape[2])
        ):
            yield f"array {name} has the shape {shape}, but should have {_words(expected)}"
        elif fault := array_fault(array):
            yield f"array {name} {fault}"


def content_faults(name: str, values: npt.NDArray[Any]) -> Iterator[str]:
    """Tell what is wrong with the values of an array.

    Args:
        name: Of the feature group, or ``'outlines'``.
        values: (h, w, channels) without padding.

    Yields:
        Each fault in words.
    """
    missing = values.size - int(np.count_nonzero(np.isfinite(values)))
    if missing:
        yield f"array {name} has {missing} values that are NaN or infinite"
    elif name in FEATURES and 2 * np.count_nonzero((values < -1) | (values > 2)) > values.size:
        median = float(np.median(values))
        yield (
            f"array {name} has values around {median:.5g}, but those of the release are scaled to "
            "0 to 1; give the values as they were released"
        )
    elif name == OUTLINES:
        # Channel by channel and in bytes, since numpy is slow along so short an axis.
        channels = np.moveaxis(values, -1, 0)
        ones = sum((channel == 1).view(np.uint8) for channel in channels)
        zeros = sum((channel == 0).view(np.uint8) for channel in channels)
        wrong = int(np.count_nonzero((ones != 1) | (zeros != len(channels) - 1)))
        if wrong:
            yield f"array {name} is not one-hot in {wrong} pixels; each has one 1 and else 0"


def _channels(name: str) -> int | None:
    """Return the number of channels an array should have, None if it is not known."""
    if name == OUTLINES:
        return 2
    return len(FEATURES[name]) if name in FEATURES else None


def _text(value: Any) -> str:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


def _words(shape: tuple[Any, ...]) -> str:
    return f"({', '.join(map(str, shape))})"
