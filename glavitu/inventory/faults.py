"""What is wrong with a tile: all of it, where the datasets stop at the first fault."""

import warnings
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from glavitu.datasets.benchmark_files import (
    OUTLINES,
    SIZES,
    content_faults,
    structure_faults,
)
from glavitu.errors import InputError
from glavitu.features import FEATURES
from glavitu.files import Name
from glavitu.files.hdf5 import DAMAGE, array_fault, link_fault, room_fault
from glavitu.inventory.tile_folder import (
    TileFolder,
    open_raster,
    read_labels,
    strips,
)
from glavitu.rasters.grid import Grid, grid_differences
from glavitu.rasters.scene import SCALED_TAG, Scene
from glavitu.regions import region_index


class Fault(NamedTuple):
    """Something that is wrong with a file.

    Attributes:
        file: The HDF5 file, the raster, the outlines, or the folder of the tile.
        tile: Name of the tile, empty where it is the whole file.
        problem: What is wrong, in words.
    """

    file: Name
    tile: str
    problem: str

    def __str__(self) -> str:
        """Return it on one line."""
        tile = f"tile {self.tile}: " if self.tile else ""
        return f"{self.file}: {tile}{' '.join(self.problem.split())}"


def released_faults(file: h5py.File, name: str) -> Iterator[str]:
    """Tell what is wrong with a tile of a released file. All of its arrays are read.

    Args:
        file: The open file.
        name: The tile's.

    Yields:
        Each fault in words.
    """
    yield from structure_faults(file, name)
    try:
        if link_fault(file, name):
            return  # It has been said.
        group = file[name]
        arrays = list(group) if isinstance(group, h5py.Group) else []
        interior = _interior(group)
    except DAMAGE:
        return  # It has been said.
    for array in arrays:
        try:
            if link_fault(group, array) or array_fault(group[array]):
                continue  # It has been said.
        except DAMAGE:
            continue  # Likewise.
        try:
            values = read_array(group, array)
        except InputError as error:
            yield str(error)
            continue
        if interior is not None and values.ndim == 3 and values.shape[:2] == interior[0]:
            yield from content_faults(array, values[interior[1]])
        elif array != OUTLINES:  # In the padding outlines are not one-hot.
            yield from content_faults(array, values)


def read_array(group: h5py.Group, name: str) -> npt.NDArray[Any]:
    """Read an array of a released tile with its padding.

    Args:
        group: The tile.
        name: The array's.

    Raises:
        InputError: If it is damaged.
    """
    try:
        fault = link_fault(group, name) or array_fault(group[name]) or room_fault(group[name])
        if fault:
            raise InputError(f"array {name} {fault}")
        return np.asarray(group[name][...])
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(
            f"array {name} cannot be read{_damaged_chunks(group, name)}; the file is damaged "
            f"({error})"
        ) from error


def folder_faults(
    tile: TileFolder, values: Mapping[str, Any] = MappingProxyType({})
) -> Iterator[Fault]:
    """Tell what is wrong with a tile in GeoTIFFs. All of its files are read.

    Args:
        tile: The tile.
        values: What is known of stored values, as for
            :func:`~glavitu.inventory.tile_folder.open_raster`.

    Yields:
        Each fault.
    """
    first: Scene | None = None
    rasters = tile.rasters()
    if not rasters:
        yield Fault(tile.path, tile.name, "holds no GeoTIFF")
    for name, path in rasters.items():
        try:
            scene = open_raster(name, path, values)
        except InputError as error:
            yield _fault(path, tile, error)
            continue
        with scene, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # faults say the same
            problems = list(_value_faults(scene, path))
        if first is None:
            first = scene
            try:
                region_index(tile.region or scene.tags.get("region"))
            except InputError as error:
                problems.insert(0, f"tag region: {error}")
        problems += [
            f"differs from the tile's first raster in {difference}"
            for difference in grid_differences(_grid(first), _grid(scene))
        ]
        yield from (Fault(path, tile.name, problem) for problem in problems)
    try:
        labels = tile.labels()
    except InputError as error:
        yield _fault(tile.path, tile, error)
        return
    if labels is None:
        yield Fault(tile.path, tile.name, f"has no outlines, such as {OUTLINES}.tif")
    elif first is not None:
        try:
            for _ in read_labels(tile, labels, first):
                pass
        except InputError as error:
            yield _fault(labels, tile, error)


def _interior(group: h5py.Group) -> tuple[tuple[int, int], tuple[slice, slice]] | None:
    """Return the padded shape and the part without padding, None if attributes do not tell."""
    if not all(key in group.attrs for key in SIZES):
        return None
    height, width, top, left, rows, cols = (int(group.attrs[key]) for key in SIZES)
    return (height, width), (slice(top, top + rows), slice(left, left + cols))


def _damaged_chunks(group: h5py.Group, name: str) -> str:
    """Tell how many chunks of an array cannot be read, and where the first one is."""
    try:
        array = group[name]
        chunks = list(array.iter_chunks())
    except (*DAMAGE, AttributeError):
        return ""
    damaged = []
    for chunk in chunks:
        try:
            array[chunk]
        except OSError:
            damaged.append(chunk)
    if not damaged:
        return ""
    where = ", ".join(f"{part.start}:{part.stop}" for part in damaged[0])
    return f" in {len(damaged)} of its {len(chunks)} chunks, the first at [{where}]"


def _value_faults(scene: Scene, path: Name) -> Iterator[str]:
    """Tell what is wrong with the values of a raster."""
    damaged, missing, some = [], 0, False
    for strip in strips(scene):
        try:
            values = scene.read_group(scene.groups[0], strip)
        except InputError as error:
            damaged.append(_without(path, error))
            continue
        finite = np.isfinite(values)
        missing += int(np.count_nonzero(~finite))
        some |= bool(finite.any())
    if damaged:
        more = f" (and {len(damaged) - 1} more such parts)" if len(damaged) > 1 else ""
        yield f"{damaged[0]}{more}"
    # Of groups that are not the benchmark's nothing is known.
    known = not damaged and scene.groups[0].name in FEATURES
    found = list(scene.findings(whole=True)) if known else []
    # Values in another unit are not read.
    if not (damaged or some or any(finding.error for finding in found)):
        yield "no pixel has data; check the nodata value, which rio info shows"
    yield from (finding.problem for finding in found)
    if some and missing and SCALED_TAG in scene.tags:
        yield (
            f"has {missing} values that are NaN, infinite or nodata, though its tag {SCALED_TAG} "
            "says that none is missing"
        )


def _grid(scene: Scene) -> Grid:
    return Grid(scene.crs, scene.transform, (scene.height, scene.width))


def _fault(path: Name, tile: TileFolder, error: InputError) -> Fault:
    return Fault(path, tile.name, _without(path, error))


def _without(path: Name, error: InputError) -> str:
    """Return an error's message without the file that it begins with."""
    return str(error).removeprefix(str(path)).lstrip(": ")
