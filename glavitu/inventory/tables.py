"""What `glavitu info` tells of data: tiles, regions, feature groups, glacier share and bounds."""

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import pandas as pd
from rasterio.errors import RasterioError
from rich.table import Column
from tqdm import tqdm

from glavitu.classes import GLACIER, UNKNOWN
from glavitu.datasets.benchmark_files import (
    DEGREES,
    OUTLINES,
    SPLITS,
    ReleasedTile,
    describe,
    is_benchmark,
    open_release,
    released_in,
    split_of,
    tile_names,
    tiles_of,
)
from glavitu.datasets.manifest import is_manifest
from glavitu.errors import InputError
from glavitu.features import FEATURES
from glavitu.files.hdf5 import DAMAGE
from glavitu.inventory.faults import (
    Fault,
    folder_faults,
    read_array,
    released_faults,
)
from glavitu.inventory.tile_folder import (
    TileFolder,
    find_folders,
    in_order,
    open_raster,
    read_labels,
)
from glavitu.rasters.bounds import bounds_of_grid, union
from glavitu.rasters.open_files import Said
from glavitu.regions import region_index, region_name
from glavitu.terminal import numeric, print_table

#: More subregions than these are counted and not named.
NAMED_SUBREGIONS = 4

BOUNDS = ("west", "south", "east", "north")
COLUMNS = ("split", "name", "region", "subregion", "groups", "pixels", "known", "glacier", *BOUNDS)

Row = dict[str, Any]


class Examination(NamedTuple):
    """What reading everything has shown.

    Attributes:
        tiles: What :func:`inventory` gives, of the tiles that can be described.
        faults: All that is wrong.
        examined: Number of tiles that were found.
    """

    tiles: pd.DataFrame
    faults: list[Fault]
    examined: int


def inventory(
    path: str | Path, progress: bool = True, layer: str | None = None, **values: Any
) -> pd.DataFrame:
    """List the tiles of the benchmark or of one's own data.

    Of the pixels only the outlines are read, and of rasters of one's own a sample, of which a
    warning says what is wrong or unusual, each kind once.

    Args:
        path: A released HDF5 file, a folder of them, a folder with tiles as GeoTIFFs, or a
            manifest of scenes.
        progress: Show a progress bar.
        layer: Layer of the outlines, in files of which several layers hold polygons.
        **values: What is known of the values in rasters of one's own, as keywords of
            :func:`~glavitu.rasters.units.units_of`, such as ``scales``.

    Returns:
        One row per tile: ``split`` (empty where unknown), ``name``, ``region`` (code),
        ``subregion``, ``groups`` (tuple of names), ``pixels`` (without padding), ``known`` and
        ``glacier`` (pixels with a known label, and of glacier, NaN without outlines), and
        ``west``, ``south``, ``east``, ``north`` in degrees (EPSG:4326).

    Raises:
        InputError: If there is no tile, or one cannot be described.
    """
    path = Path(path)
    rows: list[Row] = []
    if _is_released(path):
        for file in released_in(path):
            tiles = tiles_of(file)
            with open_release(file) as release:
                for tile in tqdm(tiles, desc=file.name, disable=not progress):
                    try:
                        rows.append(_released_row(tile, release[tile.name]))
                    except DAMAGE as error:
                        raise InputError(
                            f"{file}: tile {tile.name}: {error}. Download the file again; "
                            f"`glavitu info --check {file}` lists every fault"
                        ) from error
    else:
        folders = tqdm(find_folders(path, layer), desc="tiles", disable=not progress)
        said = Said()
        for folder in folders:
            rows.append(_folder_row(folder))
            _say_findings(folder, values, said)
    if not rows:
        raise InputError(f"{path}: holds no tile; download it again")
    return _frame(rows)


def examine(
    path: str | Path, progress: bool = True, layer: str | None = None, **values: Any
) -> Examination:
    """Read everything, list the tiles and whatever is wrong with them.

    Args:
        path: As for :func:`inventory`.
        progress: Show a progress bar.
        layer: As for :func:`inventory`.
        **values: As for :func:`inventory`.

    Raises:
        InputError: If there is neither a file nor a folder to examine.
    """
    path = Path(path)
    rows: list[Row] = []
    faults: list[Fault] = []
    examined = 0
    if _is_released(path):
        for file in released_in(path):
            try:
                release = open_release(file)
                names = tile_names(file, release)
            except InputError as error:
                faults.append(Fault(file, "", str(error).removeprefix(f"{file}: ")))
                continue
            with release:
                for name in tqdm(names, desc=file.name, disable=not progress):
                    examined += 1
                    found = list(released_faults(release, name))
                    faults += [Fault(file, name, problem) for problem in found]
                    with suppress(*(DAMAGE if found else ())):
                        tile = describe(file, name, release[name])
                        rows.append(_released_row(tile, release[name]))
    else:
        for folder in tqdm(find_folders(path, layer), desc="tiles", disable=not progress):
            examined += 1
            faults += folder_faults(folder, values)
            with suppress(InputError):
                rows.append(_folder_row(folder))
    if not examined and not faults:
        raise InputError(f"{path}: holds no tile; download it again")
    return Examination(_frame(rows), faults, examined)


def faults(path: str | Path, progress: bool = True) -> list[Fault]:
    """Read everything and list whatever is wrong.

    Args:
        path: As for :func:`inventory`.
        progress: Show a progress bar.

    Raises:
        InputError: If there is neither a file nor a folder to examine.
    """
    return examine(path, progress).faults


def summary(tiles: pd.DataFrame) -> pd.DataFrame:
    """Sum up tiles by split and region, and all of them in the last row.

    Args:
        tiles: What :func:`inventory` gives.

    Returns:
        ``split``, ``region``, ``tiles`` (number), ``subregions`` (tuple of names), ``groups``
        (number of tiles by feature group), ``glacier_share`` (0 to 1, of the pixels with a known
        label; NaN without any), and the bounds in degrees.
    """
    parts = tiles.groupby(["split", "region"], sort=False)
    rows = [_total(str(split), str(region), part) for (split, region), part in parts]
    return pd.DataFrame([*rows, _total("total", "", tiles)])


def print_summary(table: pd.DataFrame, title: str) -> None:
    """Print a table of regions on the terminal.

    Args:
        table: What :func:`summary` gives.
        title: What stands above it.
    """
    bounds = (f"{name[0].upper()} °" for name in BOUNDS)
    columns = [
        Column("split"),
        Column("region"),
        numeric("tiles"),
        Column("subregions", max_width=12),
        Column("feature groups"),
        numeric("glacier %", max_width=7),
        *(Column(bound, justify="right", no_wrap=True) for bound in bounds),
    ]
    known = set(table["groups"].iloc[-1])
    parts: list[list[str]] = []
    total: list[list[str]] = []
    for row in table.to_dict("records"):
        is_total = row["split"] == "total"
        counted = _counted(row["groups"], row["tiles"])
        # Where nothing is missing the names stand in the last row alone.
        complete = len(table) > 2 and set(counted) == known and not is_total
        (total if is_total else parts).append(
            [
                row["split"],
                row["region"],
                f"{row['tiles']:,}",
                _few(row["subregions"]),
                "all" if complete else ", ".join(counted),
                "" if pd.isna(row["glacier_share"]) else f"{100 * row['glacier_share']:.1f}",
                *(f"{row[name]:.2f}" for name in BOUNDS),
            ]
        )
    print_table(title, columns, parts, total)


def _is_released(path: Path) -> bool:
    if not path.exists():
        raise InputError(f"{path}: does not exist; check the path")
    return (path.is_file() and not is_manifest(path)) or is_benchmark(path)


def _released_row(tile: ReleasedTile, group: h5py.Group) -> Row:
    (top, left), (_, _, height, width) = tile.padding, tile.extent
    labels = read_array(group, OUTLINES)[top : top + height, left : left + width, GLACIER]
    return {
        "split": split_of(tile.path) or "",
        "name": tile.name,
        "region": region_name(tile.region),
        "subregion": tile.subregion,
        "groups": tuple(in_order(tile.groups)),
        "pixels": height * width,
        "known": height * width,
        "glacier": int((labels == 1).sum()),
        **dict(zip(BOUNDS, tile.bounds, strict=True)),
    }


def _folder_row(tile: TileFolder) -> Row:
    try:
        return _row_of_folder(tile)
    except (RasterioError, ValueError, ArithmeticError, MemoryError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{tile.path}: its place cannot be told ({error})") from error


def _row_of_folder(tile: TileFolder) -> Row:
    rasters = tile.rasters()
    if not rasters:
        raise InputError(f"{tile.path}: holds no GeoTIFF; check the column scene of the manifest")
    name, first = next(iter(rasters.items()))
    labels = tile.labels()
    with open_raster(name, first) as scene:
        try:
            region = region_index(tile.region or scene.tags.get("region"))
        except InputError as error:
            raise InputError(f"{first}: tag region: {error}") from None
        known = glacier = None
        if labels is not None:
            known = glacier = 0
            for mask in read_labels(tile, labels, scene):
                known += int((mask != UNKNOWN).sum())
                glacier += int((mask == GLACIER).sum())
        return {
            "split": tile.split,
            "name": tile.name,
            "region": region_name(region),
            "subregion": scene.tags.get("subregion", ""),
            "groups": tuple(rasters),
            "pixels": scene.height * scene.width,
            "known": known,
            "glacier": glacier,
            **dict(zip(BOUNDS, bounds_of_grid(scene.grid, DEGREES), strict=True)),
        }


def _say_findings(tile: TileFolder, values: Mapping[str, Any], said: Said) -> None:
    """Warn of values in a tile's rasters that are wrong or unusual."""
    known = {name: path for name, path in tile.rasters().items() if name in FEATURES}
    for name, path in known.items():
        with open_raster(name, path, values) as scene:
            for finding in scene.findings():
                said(finding.kind, f"{finding}; `glavitu info --check` lists all that is so")


def _frame(rows: list[Row]) -> pd.DataFrame:
    order = {split: place for place, split in enumerate(SPLITS)}
    rows = sorted(rows, key=lambda row: (order.get(row["split"], -1), row["region"], row["name"]))
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"known": float, "glacier": float})


def _total(split: str, region: str, tiles: pd.DataFrame) -> Row:
    known = tiles["known"].sum()
    # Places on both sides of the 180th meridian are neighbours.
    bounds = union(list(tiles[list(BOUNDS)].itertuples(index=False)), 360.0)
    counts = Counter(name for groups in tiles["groups"] for name in groups)
    return {
        "split": split,
        "region": region,
        "tiles": len(tiles),
        "subregions": tuple(sorted(set(tiles["subregion"]) - {""})),
        "groups": {name: counts[name] for name in in_order(counts)},
        "glacier_share": tiles["glacier"].sum() / known if known else float("nan"),
        **dict(zip(BOUNDS, bounds, strict=True)),
    }


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= NAMED_SUBREGIONS else str(len(names))


def _counted(groups: dict[str, int], tiles: int) -> list[str]:
    """Name the groups, and say how many tiles have those that not all have."""
    return [
        name if count == tiles else f"{name} ({count} of {tiles})" for name, count in groups.items()
    ]
