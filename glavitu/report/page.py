"""The HTML page of a report."""

import base64
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from glavitu._version import __version__
from glavitu.errors import InputError
from glavitu.metrics.acquisitions import GROUPINGS
from glavitu.metrics.scores import BESIDE_SCORES, LABELS, SCORES, in_mean
from glavitu.report.plot import plot_regions
from glavitu.report.runs import Run

#: Colours of the runs, in turn; told apart with colour-blind eyes, on light and on dark.
COLOURS = ("#3b8bc9", "#e08214", "#4d9221", "#b05cc4", "#c9485b", "#1fa39a", "#8a8a3a", "#7a7f99")

COUNTS = ("tiles", "pixels")


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        key: Its key in the rows.
        label: Its header.
        kind: ``'text'``, ``'count'`` or ``'score'``.
    """

    key: str
    label: str
    kind: str


@dataclass(frozen=True)
class Table:
    """A table that sorts, with rows below that stay where they are."""

    caption: str
    columns: list[Column]
    rows: list[dict[Any, Any]]
    foot: list[dict[Any, Any]]


@dataclass(frozen=True)
class Picture:
    """The sample of a tile in a run."""

    run: int
    iou: float
    source: str


@dataclass(frozen=True)
class TileSamples:
    """A tile and its samples."""

    tile: str
    place: str
    pictures: list[Picture]


def render(runs: Sequence[Run], progress: Callable[[int], Any] = lambda _: None) -> Iterable[str]:
    """Make the page, piece by piece.

    Args:
        runs: At least one.
        progress: Is told the number of samples that are done.

    Raises:
        InputError: If the picture of a sample cannot be read.
    """
    environment = Environment(
        loader=PackageLoader("glavitu.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"score": _score, "count": _count}
    environment.tests["known"] = _known
    # The test drew a run on its own already; several are drawn side by side here.
    drawn = runs[0].figure if len(runs) == 1 else None
    figure = drawn and _data_uri(drawn, lossless=True)
    # As the region vector has them; the unknown comes last.
    names = sorted({name for run in runs for name in run.regions["region"]})
    return environment.get_template("page.html").generate(
        runs=runs,
        version=__version__,
        date=datetime.now().astimezone().strftime("%d %B %Y, %H:%M %Z"),
        colours=[COLOURS[number % len(COLOURS)] for number in range(len(runs))],
        figure=figure,
        plot=None if figure else plot_regions(runs, names),
        side_by_side=_side_by_side(runs, names) if len(runs) > 1 else None,
        regions=_long("Regions", runs, [run.regions for run in runs], ("region",), True),
        subregions=_long(
            "Subregions", runs, [run.subregions for run in runs], ("subregion", "region")
        ),
        tiles=_long("Tiles", runs, [run.tiles for run in runs], ("tile", "region", "subregion")),
        acquisitions=_acquisitions(runs),
        summaries=[_summary(run) for run in runs],
        calibration=[(name, LABELS[name]) for name in BESIDE_SCORES],
        options=_options(runs),
        samples=_samples(runs, progress),
    )


def _summary(run: Run) -> dict[str, Any]:
    iou = run.regions.loc[in_mean(run.regions["region"]), "iou"]
    return {
        "mean": float(iou.mean()),
        "std": float(iou.std(ddof=1)),
        "regions": len(iou),
        "defined": int(iou.notna().sum()),
        "tiles": len(run.tiles),
        **run.calibration,
    }


def _side_by_side(runs: Sequence[Run], names: Sequence[str]) -> Table:
    columns = [run.regions.set_index("region")["iou"] for run in runs]
    iou = pd.concat(columns, axis=1).reindex(list(names))
    iou.columns = [str(number) for number in range(len(runs))]
    counted = iou[in_mean(iou.index)]
    foot = _means(counted)
    common = counted.dropna()
    if 0 < len(common) < len(counted):
        plural = "" if len(common) == 1 else "s"
        foot[f"mean of the {len(common)} region{plural} with an IoU in all runs"] = common.mean()
    return Table(
        "IoU",
        [
            Column("region", "region", "text"),
            *(Column(str(number), run.name, "score") for number, run in enumerate(runs)),
        ],
        [{"region": name} | row.to_dict() for name, row in iou.iterrows()],
        [{"region": name} | row.to_dict() for name, row in foot.items()],
    )


def _long(
    caption: str,
    runs: Sequence[Run],
    tables: Sequence[pd.DataFrame],
    texts: Sequence[str],
    summarised: bool = False,
) -> Table:
    """Put the tables of all runs into one, by region, tile and so on, then by run."""
    several = len(runs) > 1
    keys = [*texts, *(["run"] if several else [])]
    present = {name for table in tables for name in table.columns}
    numbers = [name for name in (*COUNTS, *SCORES, *BESIDE_SCORES) if name in present]
    named = [table.assign(run=run.name) for run, table in zip(runs, tables, strict=True)]
    rows = pd.concat(named).reindex(columns=[*keys, *numbers]).sort_values([*texts], kind="stable")
    scores = [name for name in numbers if name not in COUNTS]
    foot = [
        {texts[0]: text, "run": run.name} | values.to_dict()
        for run, table in zip(runs, tables, strict=True)
        if summarised
        for text, values in _means(table[in_mean(table["region"])].reindex(columns=scores)).items()
    ]
    columns = [Column(key, key, "text") for key in keys]
    columns += [
        Column(name, LABELS.get(name, name), "count" if name in COUNTS else "score")
        for name in numbers
    ]
    return Table(caption, columns, rows.to_dict("records"), foot)


def _acquisitions(runs: Sequence[Run]) -> list[Table]:
    """Put the tables of years and sensors together, of the runs that have them."""
    captions = {
        "years": "Years",
        "sensors": "Sensors",
        "groups": "Regions by year and sensor",
    }
    tables = []
    for key, caption in captions.items():
        own = [run for run in runs if key in run.acquisitions]
        frames = [run.acquisitions[key] for run in own]
        texts = [name for name in GROUPINGS[key] if any(name in frame for frame in frames)]
        if own:
            filled = [
                frame.reindex(columns=[*dict.fromkeys([*texts, *frame.columns])])
                for frame in frames
            ]
            tables.append(_long(caption, own, filled, texts))
    return tables


def _means(table: pd.DataFrame) -> dict[str, pd.Series]:
    return {"mean": table.mean(), "standard deviation": table.std(ddof=1)}


def _options(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """Return each option and its value in each run, empty where a run does not tell it."""

    def plain(value: Any) -> str:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    keys = dict.fromkeys(key for run in runs for key in run.options)
    return [(key, [plain(run.options.get(key, "")) for run in runs]) for key in keys]


def _samples(runs: Sequence[Run], progress: Callable[[int], Any]) -> Iterable[TileSamples]:
    """Encode the samples, the tile with the lowest IoU of any run first."""
    known: dict[str, tuple[dict[int, float], str]] = {}
    for number, run in enumerate(runs):
        for row in run.tiles[run.tiles["tile"].isin(run.samples.keys())].to_dict("records"):
            of_runs, _ = known.setdefault(
                row["tile"], ({}, ", ".join(filter(None, (row["region"], row["subregion"]))))
            )
            of_runs[number] = row["iou"]
    # An undefined IoU has no error in it.
    worst = {
        tile: min(np.nan_to_num(list(ious.values()), nan=2)) for tile, (ious, _) in known.items()
    }
    for tile in sorted(known, key=lambda tile: (worst[tile], tile)):
        of_runs, place = known[tile]
        pictures = [
            Picture(number, iou, _data_uri(runs[number].samples[tile]))
            for number, iou in of_runs.items()
        ]
        progress(len(pictures))
        yield TileSamples(tile, place, pictures)


def _data_uri(path: Path, lossless: bool = False) -> str:
    """Encode a picture smaller than PNG, so that a page of many stays light.

    Args:
        path: The picture.
        lossless: Whether to keep it as it is, for lines and text.
    """
    buffer = io.BytesIO()
    try:
        with Image.open(path) as image:
            image.convert("RGB").save(buffer, "WEBP", quality=85, lossless=lossless)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(
            f"{path}: cannot be read as a picture ({error}); remove it, or test again"
        ) from error
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _known(value: Any) -> bool:
    return value is not None and not pd.isna(value)


def _score(value: float | None) -> str:
    return f"{value:.3f}" if value is not None and _known(value) else ""


def _count(value: float | None) -> str:
    return f"{int(value):,}" if value is not None and _known(value) else ""
