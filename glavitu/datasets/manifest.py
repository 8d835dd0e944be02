"""A manifest: a table of scenes with outlines, region, date and sensor, to test a model on."""

import csv
import re
import warnings
from collections.abc import Mapping, Sequence
from datetime import date as calendar
from pathlib import Path
from typing import NamedTuple

from glavitu.errors import InputError
from glavitu.features import FEATURES, FeatureGroup
from glavitu.files import Name, is_local
from glavitu.files.strangers import check_regular
from glavitu.rasters.scene import SLOPE
from glavitu.regions import region_index

#: Columns that are not rasters.
COLUMNS = ("name", "scene", "outlines", "layer", "region", "date", "sensor")


class TileEntry(NamedTuple):
    """What is said of a tile before its files are opened, such as a row of a manifest.

    Attributes:
        name: What it is called in reports.
        source: Where it stands, such as the manifest and the line, for messages.
        folder: Where its rasters and outlines are, None where they are all named.
        files: Rasters that are named, by feature group.
        outlines: Its labels, None where its folder has them.
        region: Code of its region, empty where unknown.
        date: Year, month or day as ISO 8601 has it (2020, 2020-08, 2020-08-31), empty where
            unknown.
        sensor: What took it, empty where unknown.
        layer: Layer of its labels, empty where the file has but one with polygons.
    """

    name: str
    source: str
    folder: Path | None
    files: Mapping[str, Name]
    outlines: Name | None
    region: str
    date: str
    sensor: str
    layer: str = ""


def is_manifest(path: str | Path) -> bool:
    """Tell whether a path is that of a manifest, by its suffix ``.csv``."""
    return Path(path).suffix.lower() == ".csv"


def read_manifest(path: Path, groups: Sequence[FeatureGroup] | None) -> list[TileEntry]:
    """Read a manifest.

    It is a CSV file with a header; a column for each of these that is known: ``scene``, the folder
    of a scene's rasters and outlines; feature groups (``optical``, ``dem``, ...), single rasters
    instead; ``outlines``, and its ``layer`` where several hold polygons; ``region``, ``date``,
    ``sensor`` and ``name``. Paths count from the
    manifest's folder; names that GDAL understands (``/vsizip/...``) are taken as they are. Columns
    of feature groups that are not asked for are left out.

    Args:
        path: The file.
        groups: Feature groups that the model wants; None for those of the benchmark that a row
            names, whichever these are.

    Raises:
        InputError: If it cannot be read, has no row, a row names neither a folder nor all rasters,
            a region or date is none, or two rows have the same name.
    """
    rows = _rows(path)
    names = list(FEATURES) if groups is None else [group.name for group in groups]
    wanted = {*names, SLOPE}
    _check_columns(path, list(rows[0][1]), wanted)
    needed = [] if groups is None else names
    scenes = [_scene(path, line, row, needed, wanted) for line, row in rows]
    seen: dict[str, str] = {}
    for scene in scenes:
        if scene.name in seen:
            raise InputError(
                f"{scene.source}: the name {scene.name!r} is that of {seen[scene.name]} too; give "
                "each scene a name of its own in the column name"
            )
        seen[scene.name] = scene.source
    return scenes


def check_date(date: str, source: str) -> None:
    """Check that a date is empty, a year, a month or a day.

    Args:
        date: As ISO 8601 writes it.
        source: Where it stands, for the message.

    Raises:
        InputError: If it is something else, or no time that TorchGeo can index.
    """
    full = date + {4: "-01-01", 7: "-01"}.get(len(date), "")
    try:
        if date and not re.fullmatch(r"\d{4}(-\d{2}){0,2}", date):
            raise ValueError
        if date:
            calendar.fromisoformat(full)
    except ValueError:
        raise InputError(
            f"{source}: the date {date!r} is none; write a year, month or day such as 2020, "
            "2020-08 or 2020-08-31"
        ) from None
    if date and not 1678 <= int(date[:4]) <= 2261:
        raise InputError(f"{source}: the date {date!r} is not between 1678 and 2261; correct it")


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Return the rows that are not empty, with the numbers of their lines."""
    check_regular(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            file.seek(0)
            # As spreadsheets write it where the comma is for decimals.
            delimiter = ";" if ";" in header and "," not in header else ","
            reader = csv.DictReader(file, delimiter=delimiter, skipinitialspace=True, strict=True)
            rows = [(reader.line_num, row) for row in reader]
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; check the path of the manifest") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a CSV file in UTF-8 ({error})") from error
    for line, row in rows:
        if None in row or None in row.values():
            raise InputError(
                f"{path}, line {line}: has another number of cells than the header; quote cells "
                "that hold a comma"
            )
    for line, row in rows:
        if any("\0" in cell for cell in row.values()):
            raise InputError(f"{path}, line {line}: holds a NUL; write the file as text in UTF-8")
    stripped = [(line, {key: cell.strip() for key, cell in row.items()}) for line, row in rows]
    filled = [(line, row) for line, row in stripped if any(row.values())]
    if not filled:
        raise InputError(
            f"{path}: has no scene; write a header such as scene,region,date,sensor and a line for "
            "each scene below it"
        )
    return filled


def _check_columns(path: Path, columns: Sequence[str], wanted: set[str]) -> None:
    if "scene" not in columns and not wanted & set(columns):
        raise InputError(
            f"{path}: its columns {', '.join(columns)} name no rasters; add the column scene with "
            "the folder of each, or a column for each feature group"
        )
    unknown = [name for name in columns if name not in {*COLUMNS, *FEATURES, *wanted}]
    if unknown:
        warnings.warn(
            f"{path}: the columns {', '.join(unknown)} mean nothing and are not read; known are "
            f"{', '.join(COLUMNS)} and the feature groups",
            stacklevel=6,
        )


def _scene(
    path: Path,
    line: int,
    row: Mapping[str, str],
    needed: Sequence[str],
    wanted: set[str],
) -> TileEntry:
    source = f"{path}, line {line}"
    files = {name: _located(path, cell) for name, cell in row.items() if name in wanted and cell}
    lacking = [name for name in needed if name not in files]
    folder = row.get("scene", "")
    if not folder and (lacking or not files):
        raise InputError(
            f"{source}: names neither a folder (column scene) nor a raster for "
            f"{', '.join(lacking) or 'a feature group'}; fill in one of these"
        )
    if folder and not (path.parent / folder).is_dir():
        raise InputError(f"{source}: {path.parent / folder} is no folder; check the column scene")
    date, region = row.get("date", ""), row.get("region", "")
    check_date(date, source)
    try:
        region_index(region or None)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    outlines = row.get("outlines", "")
    place = folder or str(Path(row[[*needed, *files][0]]).with_suffix(""))
    parts = [part for part in Path(place).parts if part not in ("/", "..")]
    name = row.get("name", "") or "_".join(parts) or path.resolve().parent.name
    if "/" in name:
        raise InputError(
            f"{source}: the name {name!r} has a slash; files are named by it, so leave it out"
        )
    return TileEntry(
        name=name,
        source=source,
        folder=path.parent / folder if folder else None,
        files=files,
        outlines=_located(path, outlines) if outlines else None,
        region=region,
        date=date,
        sensor=row.get("sensor", ""),
        layer=row.get("layer", ""),
    )


def _located(manifest: Path, cell: str) -> Name:
    """Return a file of a row: beside the manifest, or wherever GDAL finds it."""
    return manifest.parent / cell if is_local(cell) else cell
