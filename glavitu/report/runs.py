"""What the folder of a test holds."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from glavitu.errors import InputError
from glavitu.files.strangers import check_inside
from glavitu.metrics.acquisitions import GROUPINGS
from glavitu.metrics.scores import BESIDE_SCORES, SCORES

#: Columns of text of each table of ``report.json``.
TEXTS = {
    "regions": ("region",),
    "subregions": ("region", "subregion"),
    "tiles": ("tile", "region", "subregion"),
}

REMEDY = "test again: `glavitu test --checkpoint CKPT --data.root DATA` writes it"


@dataclass(frozen=True)
class Run:
    """A test of a model.

    Attributes:
        name: What tells it from the other runs.
        folder: Where it was read.
        origin: Version of glavitu, date and checkpoint, as text.
        options: Options of the model and the test.
        regions: ``region``, ``pixels``, the scores, and ``ece_raw``, ``ece_calibrated`` and
            ``brier`` where the confidence was examined; NaN where undefined.
        subregions: ``region``, ``subregion``, ``tiles`` (number), ``pixels`` and the scores.
        tiles: ``tile``, ``region``, ``subregion``, ``pixels`` and the scores.
        acquisitions: Scores by ``year`` (years), by ``sensor`` (sensors), and by ``region`` and
            these (groups), where the test tells years or sensors; otherwise empty.
        calibration: The same three of all pixels together; NaN where unknown.
        config: The configuration of the run, None where it is not in the folder.
        figure: The ``report.png`` that shows the IoU of its regions, None where it is not there.
        samples: Picture of each tile that has one.
    """

    name: str
    folder: Path
    origin: dict[str, str]
    options: dict[str, Any]
    regions: pd.DataFrame
    subregions: pd.DataFrame
    tiles: pd.DataFrame
    acquisitions: dict[str, pd.DataFrame]
    calibration: dict[str, float]
    config: str | None
    figure: Path | None
    samples: dict[str, Path]


def read_runs(folders: Sequence[str | Path]) -> list[Run]:
    """Read the folders of tests.

    Args:
        folders: At least one.

    Raises:
        InputError: If one is given twice, is not the folder of a test, or cannot be read.
    """
    paths = [Path(os.path.abspath(folder)) for folder in folders]
    for path in paths:
        if paths.count(path) > 1:
            raise InputError(f"{path} is given twice; give each run once")
    above = Path(os.path.commonpath(paths))
    names = [path.relative_to(above).as_posix() for path in paths]
    return [
        _read_run(Path(folder), path.name if name == "." else name)
        for folder, path, name in zip(folders, paths, names, strict=True)
    ]


def _read_run(folder: Path, name: str) -> Run:
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no such folder; give the folder of a test, such as runs/glavitu/version_1"
        )
    path = folder / "report.json"
    if not path.is_file():
        raise InputError(f"{path} is missing, so this is not the folder of a test; {REMEDY}")
    samples = sorted(folder.glob("samples/*.png"))
    config, figure = folder / "config.yaml", folder / "report.png"
    for part in (path, *samples, *(part for part in (config, figure) if part.is_file())):
        check_inside(part, folder)
    try:
        text = path.read_text(encoding="utf-8")
        report = json.loads(text, parse_constant=lambda _: None)  # NaN and the like
        # Half a character, as JSON can have it, is none elsewhere.
        report = json.loads(json.dumps(report, ensure_ascii=False).encode(errors="replace"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error}); {REMEDY}") from error
    if not isinstance(report, dict):
        raise InputError(f"{path}: expected an object with the key regions; {REMEDY}")
    tables = {key: _table(report.get(key), key, texts, path) for key, texts in TEXTS.items()}
    if tables["regions"].empty:
        raise InputError(f"{path}: the table regions is missing or empty; {REMEDY}")
    if tables["regions"]["region"].duplicated().any():
        raise InputError(f"{path}: the table regions has a region twice; {REMEDY}")
    acquisitions = {
        key: _table(report[key], key, _said(report[key], texts), path)
        for key, texts in GROUPINGS.items()
        if report.get(key)
    }
    calibration, of_regions = _calibration(report, path)
    tables["regions"] = tables["regions"].merge(of_regions, on="region", how="left")
    return Run(
        name=name,
        folder=folder,
        origin={key: _text(report.get(key)) for key in ("glavitu", "date", "checkpoint")},
        options=_object(report, "options", path),
        acquisitions=acquisitions,
        calibration=calibration,
        config=config.read_text("utf-8", errors="replace") if config.is_file() else None,
        figure=figure if figure.is_file() else None,
        samples={sample.stem: sample for sample in samples},
        **tables,
    )


def _said(rows: Any, texts: Sequence[str]) -> Sequence[str]:
    """Return the columns of text that the first row has, as year or sensor may not be known."""
    first = rows[0] if isinstance(rows, list) and isinstance(rows[0], dict) else {}
    return [name for name in texts if name in first] or texts


def _table(rows: Any, key: str, texts: Sequence[str], path: Path) -> pd.DataFrame:
    """Make a table of rows, with all scores as numbers."""
    rows = [] if rows is None else rows
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path}: {key} is not a list of objects; {REMEDY}")
    lacking = [name for row in rows for name in texts if name not in row]
    if lacking:
        raise InputError(f"{path}: a row of {key} has no {lacking[0]}; {REMEDY}")
    table = pd.DataFrame(rows, columns=None if rows else list(texts))
    for name in table.columns:
        if name in texts:
            table[name] = [_text(value) for value in table[name]]
            continue
        if name in ("date", "year", "sensor"):  # of tiles, beside the groups
            table[name] = [_text(value) for value in table[name]]
            continue
        try:
            table[name] = pd.to_numeric(table[name]).astype(float)
        except (ValueError, TypeError, OverflowError) as error:
            raise InputError(
                f"{path}: {key}: {name} is not a number ({error}); {REMEDY}"
            ) from error
    if key in TEXTS or key in GROUPINGS:
        table = table.assign(**{name: np.nan for name in SCORES if name not in table})
    return table


def _calibration(report: dict[str, Any], path: Path) -> tuple[dict[str, float], pd.DataFrame]:
    """Return the errors of confidence, of all pixels and of each region; nothing where unknown."""
    found = _object(report, "calibration", path)
    regions = _object(found, "regions", path, "calibration.")
    rows = [
        {"region": name} | _object(regions, name, path, "calibration.regions.") for name in regions
    ]
    table = _table(rows, "calibration.regions", ("region",), path)
    known = table.reindex(columns=["region", *BESIDE_SCORES]).dropna(axis="columns", how="all")
    overall = _table([{name: found.get(name) for name in BESIDE_SCORES}], "calibration", (), path)
    every = {name: float(overall[name].iloc[0]) for name in BESIDE_SCORES}
    return every, known if rows else table


def _object(values: dict[str, Any], key: str, path: Path, above: str = "") -> dict[str, Any]:
    value = values.get(key)
    if value is not None and not isinstance(value, dict):
        raise InputError(f"{path}: {above}{key} is not an object; {REMEDY}")
    return value or {}


def _text(value: Any) -> str:
    return "" if value is None else str(value)
