"""What confidence is worth, before and after calibration: as numbers and as a table."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from rich.table import Column

from glavitu.confidence.calibration import Calibration
from glavitu.metrics import Reliability, ReliabilityHistogram
from glavitu.metrics.acquisitions import Acquisition, groupings
from glavitu.metrics.scores import CONFIDENCE_SCORES, in_mean
from glavitu.regions import region_name
from glavitu.terminal import numeric, print_table


def calibration_scores(metric: Reliability, calibration: Calibration | None) -> dict[str, Any]:
    """Compute the errors of raw and calibrated confidence, of all pixels and of each region.

    Those of calibrated confidence follow from the histogram with 1000 bins
    (:meth:`~glavitu.metrics.ReliabilityHistogram.recalibrated`).

    Args:
        metric: The counts; with several processes, all of them must call this.
        calibration: What calibrates, None where there is nothing.

    Returns:
        ``ece_raw``, ``ece_calibrated`` (expected calibration error over 100 bins), ``mce_raw``,
        ``mce_calibrated`` (maximum calibration error over 100 bins) and ``brier`` (that of the
        uncalibrated probabilities), None where they are undefined or nothing is calibrated; and
        ``regions``, the same by the code of each region that has pixels.
    """
    raw, squared = metric.compute()
    calibrated = None if calibration is None else calibration.recalibrated(raw)
    every = torch.arange(len(raw.counts))
    return _scores(raw, calibrated, squared, every) | {
        "regions": {
            region_name(region): _scores(raw, calibrated, squared, torch.tensor([region]))
            for region in every[raw.counts.sum(-1) > 0].tolist()
        }
    }


def acquisition_scores(
    metric: Reliability, calibration: Calibration | None, groups: Sequence[Acquisition]
) -> dict[str, list[dict[str, Any]]]:
    """Tell how far confidence is from accuracy for each year, sensor, and region in these.

    Args:
        metric: The counts, a row for each of the groups; with several processes, all of them must
            call this.
        calibration: What calibrates, None where there is nothing.
        groups: Where, when and by what the pixels of each row were taken.

    Returns:
        For each of the :func:`~glavitu.metrics.acquisitions.groupings` a mapping per group that has
        pixels: its region, year or sensor, and the scores of :func:`calibration_scores`.
    """
    raw, squared = metric.compute()
    squared = squared.reshape(-1)  # torchmetrics makes a scalar of a single row
    regions = [group.region for group in groups]
    calibrated = None if calibration is None else calibration.recalibrated(raw, regions)
    tables = {}
    _, years, sensors = zip(*groups, strict=True)
    for name, keys in groupings(years, sensors).items():
        rows: dict[tuple[str, ...], list[int]] = {}
        for row, group in enumerate(groups):
            if raw.counts[row].sum() > 0:
                rows.setdefault(tuple(group.named()[key] for key in keys), []).append(row)
        tables[name] = [
            dict(zip(keys, key, strict=True))
            | _scores(raw, calibrated, squared, torch.tensor(rows[key]))
            for key in sorted(rows)
        ]
    return tables


def _scores(
    raw: ReliabilityHistogram,
    calibrated: ReliabilityHistogram | None,
    squared: torch.Tensor,
    rows: torch.Tensor,
) -> dict[str, float | None]:
    """Return the scores of some rows together."""
    values: dict[str, torch.Tensor | None] = {}
    for name, histogram in (("raw", raw), ("calibrated", calibrated)):
        chosen = None if histogram is None else pool(histogram, rows)
        values[f"ece_{name}"] = None if chosen is None else chosen.expected_calibration_error()
        values[f"mce_{name}"] = None if chosen is None else chosen.maximum_calibration_error()
    values["brier"] = squared[rows].sum() / raw.counts[rows].sum()
    return {key: _plain(values[key]) for key in CONFIDENCE_SCORES}


def pool(histogram: ReliabilityHistogram, rows: torch.Tensor | None = None) -> ReliabilityHistogram:
    """Sum the histograms of regions.

    Args:
        histogram: (regions, bins).
        rows: Which regions, all by default.
    """
    chosen = slice(None) if rows is None else rows
    return ReliabilityHistogram(*(values[chosen].sum(0) for values in histogram))


def print_scores(scores: Mapping[str, Any], title: str) -> None:
    """Print scores, and their mean over regions, on the terminal.

    Args:
        scores: What :func:`calibration_scores` gives.
        title: Title of the table.
    """
    columns = [key for key in CONFIDENCE_SCORES if scores[key] is not None]
    table = pd.DataFrame.from_dict(
        scores["regions"], orient="index", columns=list(CONFIDENCE_SCORES)
    )
    table = table[columns].astype(float)
    rows = [
        [str(region), *map(_number, row)]
        for region, row in zip(table.index, table.to_numpy(), strict=True)
    ]
    means = [
        ["mean", *map(_number, table[in_mean(table.index)].mean())],
        ["all pixels", *(_number(scores[column]) for column in columns)],
    ]
    headers = [Column("region"), *(numeric(CONFIDENCE_SCORES[column]) for column in columns)]
    print_table(title, headers, rows, means if len(table) > 1 else [])


def _plain(value: torch.Tensor | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"
