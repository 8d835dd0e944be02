"""The report of a test: scores of each region, subregion and tile, as tables and a figure."""

import json
import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger, WandbLogger
from matplotlib.figure import Figure
from rich.table import Column

from glavitu._version import __version__
from glavitu.callbacks.predictions import log_figure
from glavitu.callbacks.results import ResultsCallback
from glavitu.confidence.calibration import Calibration, describe_inference
from glavitu.errors import InputError
from glavitu.files import when_complete
from glavitu.metrics import RegionConfusion
from glavitu.metrics.acquisitions import groupings
from glavitu.metrics.scores import BESIDE_SCORES, LABELS, SCORES, in_mean
from glavitu.metrics.tile_confusion import pool_tiles
from glavitu.models.inference import Inference
from glavitu.report.region_figure import draw_groups, draw_regions
from glavitu.terminal import numeric, print_table

#: Titles of the tables of years and sensors.
TITLES = {"years": "year", "sensors": "sensor", "groups": "region, year and sensor"}

#: Those that fit beside region, year and sensor on a narrow terminal.
ACQUISITION_SCORES = ("iou", "precision", "recall")


#: Tiles without labels that are named on the terminal.
NAMED = 5


class RegionReport(ResultsCallback):
    """Prints the scores of each region after a test, and writes the report of the test.

    ``report.csv`` has the regions; ``report.json`` has the regions, subregions and tiles, the mean
    and the standard deviation over known regions, the checkpoint and its options, and what
    a :class:`~glavitu.callbacks.CalibrationReport` found where there is one; ``report.png`` shows
    the IoU of regions and tiles. Where the test dataset tells dates or sensors of its tiles,
    ``report.json`` has years, sensors, and regions in these too, ``groups.csv`` the last and
    ``groups.png`` their IoU. The figures go to the loggers too, and the regions as a table to W&B.
    Only confusion counts are kept, never predictions. Pixels whose class is unknown are in none of
    them; of tiles without any other a warning tells, and ``unlabelled`` in ``report.json``.

    The regions are those of the task's ``test_confusion``. Tiles are counted where the test dataset
    has ``tiles``, each batch has ``tile``, which of them it is, and the task's ``test_step``
    returns class probabilities (B, classes, H, W), as :class:`~glavitu.datasets.BenchmarkTiles`,
    :class:`~glavitu.datasets.GlacierRasters` and :class:`~glavitu.tasks.GlaViTUTask` do. Otherwise
    the report has regions alone.

    Args:
        output: Folder for the files; by default that of the test's other reports, or the run's.
    """

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count the tiles of a batch."""
        self.results.count(outputs, batch, (dataloader_idx, batch_idx))

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report, once for all processes, now that the others have found what they look for."""
        metric = pl_module.test_confusion
        assert isinstance(metric, RegionConfusion)
        # Both sum over processes, so each one has to call them.
        regions = metric.table()
        tiles = self.results.table()
        unlabelled = self.results.unlabelled()
        if regions.empty and unlabelled:
            raise InputError(
                f"no label is known in any of the {len(unlabelled)} test tiles, such as "
                f"{unlabelled[0]}, so there is nothing to score; check the labels (data.outlines)"
            )
        if not trainer.is_global_zero:
            return
        report = _origin(trainer, pl_module) | tables(regions, tiles)
        if unlabelled:
            report["unlabelled"] = unlabelled
            warnings.warn(
                f"{len(unlabelled)} of the test tiles have no known label and are in no score: "
                f"{', '.join(unlabelled[:NAMED])}{', ...' if len(unlabelled) > NAMED else ''}",
                stacklevel=1,
            )
        if (calibration := self.results.calibration) is not None:
            report["calibration"] = calibration
        groups = {} if tiles is None else pool_acquisitions(tiles, calibration or {})
        report |= {name: _plain(table) for name, table in groups.items()}
        written = {"report": regions} | {k: t for k, t in groups.items() if k == "groups"}
        for name, table in written.items():
            with when_complete(self.folder / f"{name}.csv") as partial:
                table.to_csv(partial, index=False, errors="backslashreplace")
        self._draw("report", draw_regions(regions, tiles), trainer)
        if groups:
            self._draw("groups", draw_groups(groups["groups"]), trainer)
        # By it others find a test, so that it comes when the rest is there.
        with when_complete(self.folder / "report.json") as partial:
            partial.write_text(json.dumps(report, indent=2, allow_nan=False, default=str) + "\n")
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_table("test/regions", dataframe=regions)
        print_regions(regions, "Glacier class, pixels pooled per region")
        for name, table in groups.items():
            print_regions(table, f"The same by {TITLES[name]}", ACQUISITION_SCORES, mean=False)

    def _draw(self, name: str, figure: Figure, trainer: Trainer) -> None:
        with when_complete(self.folder / f"{name}.png") as partial:
            figure.savefig(partial)
        logged = {"report": "test_regions", "groups": "test_groups"}[name]
        for logger in trainer.loggers:
            if not isinstance(logger, CSVLogger):  # beside whose log it lies already
                log_figure(logger, logged, figure, trainer.global_step)


def tables(regions: pd.DataFrame, tiles: pd.DataFrame | None = None) -> dict[str, Any]:
    """Make the tables of ``report.json``.

    Args:
        regions: What :meth:`glavitu.metrics.RegionConfusion.table` gives.
        tiles: What :meth:`glavitu.metrics.TileConfusion.table` gives, where tiles are known.

    Returns:
        ``mean`` and ``std`` of each score over the known regions where it is defined, the latter
        the sample standard deviation (divisor n - 1); ``regions``, ``subregions`` and ``tiles``, a
        mapping for each row. What is undefined is None.
    """
    scores = regions.loc[in_mean(regions["region"]), list(SCORES)]
    if tiles is None:
        subregions = tiles = pd.DataFrame()
    else:
        subregions = pool_tiles(tiles, ("region", "subregion"))
    return {
        "mean": _plain(scores.mean().to_frame().T)[0],
        "std": _plain(scores.std(ddof=1).to_frame().T)[0],
        "regions": _plain(regions),
        "subregions": _plain(subregions),
        "tiles": _plain(tiles),
    }


def pool_acquisitions(
    tiles: pd.DataFrame, calibration: Mapping[str, Any]
) -> dict[str, pd.DataFrame]:
    """Pool tiles by year, by sensor, and by region in these.

    Args:
        tiles: What :meth:`glavitu.metrics.TileConfusion.table` gives.
        calibration: What :func:`glavitu.confidence.scores.acquisition_scores` gives; nothing
            where confidence was not looked at.

    Returns:
        ``years`` and ``sensors`` where the tiles tell them, and ``groups``: their columns, the
        scores, and ``ece_raw``, ``ece_calibrated`` and ``brier`` where they are known.
    """
    if "year" not in tiles:
        return {}
    pooled = {}
    for name, keys in groupings(tiles["year"], tiles["sensor"]).items():
        columns = list(keys)
        pooled[name] = pool_tiles(tiles, columns)
        if calibration.get(name):
            wanted = [*columns, *BESIDE_SCORES]
            scores = pd.DataFrame(calibration[name])[wanted].dropna(axis="columns", how="all")
            pooled[name] = pooled[name].merge(scores, on=columns, how="left")
    return pooled


def print_regions(
    table: pd.DataFrame, title: str, scores: Sequence[str] = tuple(SCORES), mean: bool = True
) -> None:
    """Print scores on the terminal, after them their mean and standard deviation over regions.

    Args:
        table: The scores, and columns of text before them that tell whose they are, such as
            :meth:`glavitu.metrics.RegionConfusion.table` gives.
        title: Title of the table.
        scores: Which scores.
        mean: Whether to print mean and standard deviation.
    """
    keys = [key for key in ("region", "year", "sensor") if key in table]
    columns = [*(Column(key, no_wrap=True) for key in keys), *(numeric(LABELS[s]) for s in scores)]
    rows = [
        [*(str(row[key]) for key in keys), *(_number(float(row[score])) for score in scores)]
        for row in table.to_dict("records")
    ]
    summaries = []
    if mean and len(table) > 1:
        counted = table.loc[in_mean(table["region"]), list(scores)]
        for name in ("mean", "std"):
            summary = getattr(counted, name)()
            summaries.append([name, *(_number(float(summary[score])) for score in scores)])
    print_table(title, columns, rows, summaries)


def _origin(trainer: Trainer, module: LightningModule) -> dict[str, Any]:
    """Tell what was tested, on what and when."""
    hparams: Mapping[str, Any] = module.hparams
    inference: Inference | None = getattr(module, "inference", None)
    calibration: Calibration | None = getattr(module, "calibration", None)
    options = {
        "data": getattr(getattr(trainer, "datamodule", None), "root", None),
        "inference": "" if inference is None else describe_inference(inference),
        "calibration": None if calibration is None else calibration.method,
        "precision": trainer.precision,
        **hparams,
        "features": [group["name"] for group in hparams.get("features", [])],
    }
    return {
        "glavitu": __version__,
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "checkpoint": None if trainer.ckpt_path is None else str(trainer.ckpt_path),
        "options": options,
    }


def _plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Turn a table into mappings that JSON knows, None where a value is undefined."""
    rows: list[dict[str, Any]] = json.loads(table.to_json(orient="records", double_precision=15))
    return rows


def _number(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.3f}"
