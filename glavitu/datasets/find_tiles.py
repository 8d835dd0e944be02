"""Tiles: folders with a raster for each feature group, found and checked before they are read."""

import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

from affine import Affine
from rasterio import CRS
from tqdm import tqdm

from glavitu.datasets.label_raster import NOTHING_KNOWN, RasterOutlines
from glavitu.datasets.labels import (
    ElsewhereError,
    NoOutlines,
    Outlines,
    open_outlines,
)
from glavitu.datasets.manifest import TileEntry, check_date, is_manifest, read_manifest
from glavitu.datasets.tile_dataset import choose
from glavitu.datasets.tile_folders import check_folder, finished, tile_name
from glavitu.errors import InputError
from glavitu.features import FeatureGroup
from glavitu.files import Name, is_local
from glavitu.outlines.read_polygons import RASTER_SUFFIXES, VECTOR_SUFFIXES, PolygonFile
from glavitu.rasters.bounds import beside_grid
from glavitu.rasters.grid import Grid, check_bounds
from glavitu.rasters.open_files import Said
from glavitu.rasters.scene import Scene
from glavitu.rasters.units import Units
from glavitu.regions import region_index
from glavitu.windows import Window, intersection

#: Rasters of a tile by feature group, or one with the bands of all groups in order.
Files = Mapping[str, Name] | Name

#: Names or glob patterns of the same in a tile's folder.
Patterns = Mapping[str, str] | str


@dataclass(frozen=True)
class RasterTile:
    """What a dataset knows of a tile without keeping its files open.

    Attributes:
        name: Path of its folder below the folder that was searched, joined by ``_``.
        files: Its rasters.
        outlines: Its labels, None where there are none.
        region: Index of its region, 11 for unknown.
        subregion: Its subregion, empty where unknown.
        extent: The part of the raster that belongs to the dataset, in pixels.
        grid: Of its whole raster.
        date: When it was taken, such as ``'2020-08-31'`` or ``'2020'``; empty where unknown.
        sensor: What took it, empty where unknown.
    """

    name: str
    files: Files
    outlines: Outlines | None
    region: int
    subregion: str
    extent: Window
    grid: Grid
    date: str = ""
    sensor: str = ""

    @property
    def crs(self) -> CRS:
        """Its coordinate reference system."""
        return self.grid.crs

    @property
    def transform(self) -> Affine:
        """Affine transform of the whole raster."""
        return self.grid.transform

    @property
    def rasters(self) -> tuple[str, ...]:
        """Its rasters' paths, in the order of the groups."""
        files = [self.files] if isinstance(self.files, str | Path) else self.files.values()
        return tuple(map(str, files))

    @property
    def filepath(self) -> str:
        """Its first raster."""
        return self.rasters[0]


class _Found(NamedTuple):
    """A tile whose rasters are checked, and what its labels are found by."""

    tile: RasterTile
    entry: TileEntry
    root: Path


def find_tiles(
    roots: Sequence[Path],
    groups: Sequence[FeatureGroup],
    patterns: Patterns,
    outlines: str | None,
    region: str | None,
    bounds: Sequence[float] | None,
    regions: Sequence[str] | None = None,
    subregions: Sequence[str] | None = None,
    units: Mapping[str, Units] | None = None,
    said: Said | None = None,
    layer: str | None = None,
) -> tuple[RasterTile, ...]:
    """Find and check the tiles below folders, and the scenes of manifests.

    A file of outlines that serves several tiles has to overlap one of them; the others are land
    without glaciers, and a warning says how many. Labels of tiles that are not kept stay closed.

    Args:
        roots: Folders to search, each with its subfolders; or manifests, which are CSV files.
        groups: Feature groups of the image's channels.
        patterns: Names or glob patterns of the rasters in a tile's folder.
        outlines: The same of the labels, or the absolute path of one file for all tiles; None for
            tiles without labels.
        region: Code of the region of all tiles; None to read the rasters' tags.
        bounds: Keep only this part, (xmin, ymin, xmax, ymax) in the rasters' CRS.
        regions: Keep the tiles of these regions alone.
        subregions: Keep the tiles of these subregions alone.
        units: How the rasters' values are stored, by the name of their group.
        said: Warnings that were given already: each kind is given once for all tiles.
        layer: Layer of the outlines in files of which several layers hold polygons; a manifest
            comes before it.

    Raises:
        InputError: If there is no tile, or a file does not fit, or holds values that cannot be.
    """
    if bounds is not None:
        check_bounds(bounds, "the rasters' CRS")
    said = Said() if said is None else said
    found = []
    for root in roots:
        scenes = _scenes(root, groups, patterns)
        for scene in tqdm(scenes, desc=f"{root}: checking tiles", leave=False, delay=5):
            with _naming_the_line(root, scene):
                tile = _describe(scene, root, groups, patterns, region, bounds, units, said)
            if tile is not None:
                found.append(tile)
    names = ", ".join(map(str, roots))
    if not found:
        raise InputError(
            f"bounds {list(bounds or ())} overlap none of the tiles in {names}; give xmin, ymin, "
            "xmax, ymax in the rasters' CRS"
        )
    tiles = choose([each.tile for each in found], regions, subregions, names)
    if outlines is None:
        return tiles
    kept = set(map(id, tiles))
    return _with_labels([each for each in found if id(each.tile) in kept], outlines, layer)


def pixels(transform: Affine, xmin: float, ymin: float, xmax: float, ymax: float) -> Window:
    """Return the pixels nearest to bounds in coordinates.

    Args:
        transform: Affine transform of the raster.
        xmin: West.
        ymin: South.
        xmax: East.
        ymax: North.
    """
    left, top = ~transform @ (xmin, ymax)
    right, bottom = ~transform @ (xmax, ymin)
    # Size and place are rounded apart, so that windows of one size stay of one size.
    return Window(round(top), round(left), round(bottom - top), round(right - left))


def _scenes(root: Path, groups: Sequence[FeatureGroup], patterns: Patterns) -> list[TileEntry]:
    """List the tiles of a folder or a manifest; what their rasters' tags say is left empty."""
    if is_manifest(root):
        return read_manifest(root, groups)
    return [
        TileEntry(
            name=tile_name(root, folder),
            source=str(folder),
            folder=folder,
            files={},
            outlines=None,
            region="",
            date="",
            sensor="",
        )
        for folder in _tile_folders(root, patterns)
    ]


def _describe(
    tile: TileEntry,
    root: Path,
    groups: Sequence[FeatureGroup],
    patterns: Patterns,
    region: str | None,
    bounds: Sequence[float] | None,
    units: Mapping[str, Units] | None,
    said: Said,
) -> _Found | None:
    """Check the rasters of a tile and describe it; None if it lies outside the bounds."""
    files = _files(tile, patterns)
    with Scene(files, groups, units=units, said=said) as scene:
        extent: Window | None = scene.bounds
        if bounds is not None:
            xmin, ymin, xmax, ymax = check_bounds(bounds, "the rasters' CRS")
            wanted = beside_grid((xmin, ymin, xmax, ymax), scene.grid)
            extent = intersection(scene.bounds, pixels(scene.transform, *wanted))
        if extent is None:
            return None
        empty = scene.files_without_data()
        if empty:
            raise InputError(
                f"no pixel has data in {', '.join(map(str, empty))}; check the nodata value, which "
                f"rio info shows, or remove the tile {tile.source}"
            )
        try:
            index = region_index(tile.region or region or scene.tags.get("region"))
        except InputError as error:
            raise InputError(
                f"{tile.source}: {error}. Set the tag `region` of its first raster, or the region "
                "of all tiles (data.region)"
            ) from None
        date = tile.date or scene.tags.get("date", "")
        check_date(date, tile.source)
        described = RasterTile(
            tile.name,
            files,
            None,
            index,
            scene.tags.get("subregion", ""),
            extent,
            scene.grid,
            date,
            tile.sensor or scene.tags.get("sensor", ""),
        )
        return _Found(described, tile, root)


def _with_labels(
    found: Sequence[_Found], outlines: str, layer: str | None
) -> tuple[RasterTile, ...]:
    """Open the labels of tiles."""
    paths = []
    for each in found:
        with _naming_the_line(each.root, each.entry):
            paths.append(_labels(each.entry, outlines))
    users = Counter(paths)
    apart: dict[Name, list[ElsewhereError]] = defaultdict(list)
    load = cache(PolygonFile.open)  # one inventory for all tiles is looked through once
    tiles = []
    opening = zip(tqdm(found, desc="opening labels", leave=False, delay=5), paths, strict=True)
    for (tile, entry, root), path in opening:
        labels: Outlines = NoOutlines()
        with _naming_the_line(root, entry):
            try:
                labels = open_outlines(path, tile.grid, entry.layer or layer, load)
            except ElsewhereError as error:
                if users[path] == 1:
                    raise
                apart[path].append(error)
        tiles.append(replace(tile, outlines=labels))
    _pass_on_remarks(paths, [tile.outlines for tile in tiles])
    for path, errors in apart.items():
        if len(errors) == users[path]:
            raise InputError(f"{errors[0]}. So it is with all {len(errors)} tiles")
        warnings.warn(
            f"{path}: has no outline in {len(errors)} of {users[path]} tiles, which are taken as "
            "land without glaciers",
            stacklevel=4,
        )
    return tuple(tiles)


def _pass_on_remarks(paths: Sequence[Name], labels: Sequence[Outlines | None]) -> None:
    """Warn once of what is unusual about label rasters, however many they are.

    Raises:
        InputError: If none of all labels is known.
    """
    said: dict[str, list[Name]] = defaultdict(list)
    for path, each in zip(paths, labels, strict=True):
        for remark in each.remarks if isinstance(each, RasterOutlines) else ():
            said[remark].append(path)
    if len(said[NOTHING_KNOWN]) == len(paths):
        raise InputError(
            f"{paths[0]}: {NOTHING_KNOWN}. So it is with the labels of all {len(paths)} tiles"
        )
    for remark, files in said.items():
        if not files:
            continue
        more = f" (as are {len(files) - 1} more label rasters)" if len(files) > 1 else ""
        warnings.warn(f"{files[0]}{more}: {remark}", stacklevel=5)


@contextmanager
def _naming_the_line(root: Path, tile: TileEntry) -> Iterator[None]:
    """Name the line of a manifest in an error."""
    try:
        yield
    except InputError as error:
        if not is_manifest(root) or tile.source in str(error):
            raise
        raise InputError(f"{tile.source}: {error}") from error


def _files(tile: TileEntry, patterns: Patterns) -> Files:
    """Return the rasters of a tile: those that it names, and those that its folder has."""
    if tile.folder is None:
        return tile.files
    if isinstance(patterns, str):
        return _only(tile.folder, patterns, RASTER_SUFFIXES)
    return {
        name: tile.files.get(name) or _only(tile.folder, pattern, RASTER_SUFFIXES)
        for name, pattern in patterns.items()
    } | dict(tile.files)


def _labels(tile: TileEntry, outlines: str) -> Name:
    if tile.outlines is not None:
        return tile.outlines
    if not is_local(outlines):
        return outlines
    if tile.folder is None and not Path(outlines).is_absolute():
        raise InputError(
            f"{tile.source}: names no outlines; fill in the column outlines, or give one file for "
            "all (data.outlines)"
        )
    return _only(tile.folder or Path(), outlines, RASTER_SUFFIXES + VECTOR_SUFFIXES)


def _tile_folders(root: Path, patterns: Patterns) -> list[Path]:
    """Find the folders that hold a raster for every pattern, and say how many hold only some."""
    wanted = [patterns] if isinstance(patterns, str) else list(patterns.values())
    if any(Path(pattern).is_absolute() for pattern in wanted):
        raise InputError(
            f"files {', '.join(wanted)} must be names or patterns inside a tile's folder; give the "
            "folder as the data's root and the names as files"
        )
    check_folder(root)
    holding = [{path.parent for path in root.rglob(pattern)} for pattern in wanted]
    some = finished(root, set().union(*holding))
    complete = some.intersection(*holding)
    if not some:
        raise InputError(
            f"{root}: no folder in it holds {', '.join(wanted)}; name the rasters so, or set "
            "`files` to their names"
        )
    if len(complete) < len(some):
        first = min(some - complete)
        missing = [
            pattern
            for pattern, folders in zip(wanted, holding, strict=True)
            if first not in folders
        ]
        lack = f"{first} has not {', '.join(missing)}"
        if not complete:
            raise InputError(
                f"{root}: no folder in it holds all of {', '.join(wanted)}; {lack}. Add what is "
                "missing, or leave its group out of the features"
            )
        warnings.warn(
            f"{root}: {len(some - complete)} of {len(some)} tiles lack one of "
            f"{', '.join(wanted)} and are left out; {lack}",
            stacklevel=5,
        )
    return sorted(complete)


def _only(folder: Path, pattern: str, suffixes: Sequence[str]) -> Path:
    if Path(pattern).is_absolute():
        return Path(pattern)
    found = sorted(p for p in folder.glob(pattern) if p.suffix.lower() in suffixes)
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputError(
            f"{folder}: nothing in it matches {pattern!r} with a suffix of {', '.join(suffixes)}; "
            "add the file, or set its name (`files` for rasters, `outlines` for labels)"
        )
    raise InputError(
        f"{folder}: {', '.join(p.name for p in found)} all match {pattern!r}; give a pattern that "
        "matches one file"
    )
