"""Counts, totals and means of a comparison, on the terminal and as JSON."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Column
from rich.text import Text

from glavitu._version import __version__
from glavitu.compare.matching import MINIMUM_OVERLAP, Matches
from glavitu.compare.outline_files import OutlineFile
from glavitu.compare.table import DIRECTIONS, FALSE, MATCHED, MISSED
from glavitu.metrics.outline_deviations import STEP, percent
from glavitu.terminal import numeric, print_table, printable

Summary: TypeAlias = dict[str, Any]

SUMS = ("predicted_outlines", "reference_outlines", "predicted_km2", "reference_km2")


def summarise(
    files: Sequence[OutlineFile], matches: Matches, table: pd.DataFrame, id_column: str | None
) -> Summary:
    """Sum up a comparison.

    Args:
        files: Predicted, reference, and experts.
        matches: The glacier of each outline.
        table: What :func:`glavitu.compare.table.compare_glaciers` gives.
        id_column: Column by which outlines were matched.

    Returns:
        ``settings``; ``files`` (their outlines, how many were repaired or left out, how many match
        none of the other file); ``glaciers`` (counts, total areas in square kilometres and their
        deviation in percent, by the kind of match); ``area_deviation_percent`` and ``distances_m``
        of the matched glaciers, where area-weighted means the area in the reference; and, with
        experts, ``experts``.
    """
    matched = table[table["match"].isin(MATCHED)]
    weights = matched["reference_km2"]
    deviation = matched["area_deviation_percent"]
    kinds = {kind: table[table["match"] == kind] for kind in (*MATCHED, MISSED, FALSE)}
    summary = {
        "settings": {
            "glavitu": __version__,
            "match": "overlap" if id_column is None else f"column {id_column}",
            "minimum_overlap": MINIMUM_OVERLAP if id_column is None else None,
            "step_m": STEP,
            "projection": "Lambert azimuthal equal-area on WGS 84, centred on each glacier",
        },
        "files": _files(files, matches),
        "glaciers": {
            kind: _totals(part)
            for kind, part in (kinds | {"matched": matched, "all": table}).items()
        },
        "area_deviation_percent": {
            "area_weighted_mean": float(np.average(deviation, weights=weights)),
            "area_weighted_mean_absolute": float(np.average(deviation.abs(), weights=weights)),
            "mean": float(deviation.mean()),
            "median": float(deviation.median()),
            "std": float(deviation.std()),
        },
        "distances_m": {
            f"{direction}_area_weighted": {
                name: float(np.average(matched[f"{direction}_{name}_m"], weights=weights))
                for name in ("mean", "median", "p95")
            }
            for direction in DIRECTIONS
        },
    }
    if len(files) > 2:
        summary["experts"] = _experts(table)
    return summary


def write_json(summary: Summary, path: Path) -> None:
    """Write a summary; what is undefined is null."""
    path.write_text(json.dumps(_with_nulls(summary), indent=2, allow_nan=False) + "\n")


def print_summary(summary: Summary) -> None:
    """Print a summary on the terminal.

    Args:
        summary: What :func:`summarise` gives.
    """
    predicted, reference = (Path(file["path"]).name for file in summary["files"][:2])
    sections: list[list[list[str]]] = [[]]
    for kind in (*MATCHED, "matched", MISSED, FALSE, "all"):
        total = summary["glaciers"][kind]
        if not total["glaciers"] and kind in MATCHED:
            continue
        if kind in ("matched", "all"):
            sections.append([])
        sections[-1].append(
            [
                kind,
                *(f"{total[name]:,}" for name in ("glaciers", *SUMS[:2])),
                *(f"{total[name]:,.3f}" for name in SUMS[2:]),
                _signed(total["area_deviation_percent"]),
            ]
        )
    counted = ("glaciers", "predicted", "reference", "predicted km²", "reference km²")
    columns = [Column("match"), *map(numeric, counted), numeric("deviation %")]
    print_table(f"{predicted} against {reference}", columns, *sections)
    rows = []
    for text, direction in zip(
        ("predicted to reference", "reference to predicted"), DIRECTIONS, strict=True
    ):
        values = summary["distances_m"][f"{direction}_area_weighted"].values()
        rows.append([text, *(f"{value:.1f}" for value in values)])
    columns = [Column("from"), *map(numeric, ("mean", "median", "95 %"))]
    print_table("Distances, area-weighted, in metres", columns, rows)
    console = Console()
    for text in _notes(summary):
        console.print(Text(printable(text)), soft_wrap=True)


def _files(files: Sequence[OutlineFile], matches: Matches) -> list[Summary]:
    roles = ["predicted", "reference", *["expert"] * (len(files) - 2)]
    found = []
    for number, (file, role) in enumerate(zip(files, roles, strict=True)):
        alone = ~np.isin(matches[number], matches[0 if role == "reference" else 1])
        found.append(
            {
                "role": role,
                "path": str(file.path),
                "outlines": len(file.plane),
                "repaired": file.repaired,
                "left_out_without_area": file.dropped,
                "unmatched": int(alone.sum()),
            }
        )
    return found


def _totals(part: pd.DataFrame) -> Summary:
    sums = part[list(SUMS)].sum()
    predicted, reference = float(sums["predicted_km2"]), float(sums["reference_km2"])
    return {
        "glaciers": len(part),
        "predicted_outlines": int(sums["predicted_outlines"]),
        "reference_outlines": int(sums["reference_outlines"]),
        "predicted_km2": predicted,
        "reference_km2": reference,
        "area_deviation_percent": percent(predicted, reference) if reference else float("nan"),
    }


def _experts(table: pd.DataFrame) -> Summary:
    known = table[table["experts_km2"].notna()]
    if known.empty:
        return {"glaciers": 0}
    weighted = (
        "experts_std_percent",
        "experts_min_percent",
        "experts_max_percent",
        "predicted_to_experts_percent",
        "experts_distance_mean_m",
        "experts_distance_max_m",
        "predicted_to_experts_m",
    )
    return {
        "glaciers": len(known),
        "within_experts_area": int(known["within_experts_area"].sum()),
        "within_experts_distance": int(known["within_experts_distance"].sum()),
        "area_weighted": {
            name: float(np.average(known[name].astype(float), weights=known["experts_km2"]))
            for name in weighted
        },
    }


def _notes(summary: Summary) -> list[str]:
    notes = [
        f"{file['path']}: {file['repaired']} of {file['outlines']} outlines were invalid and are "
        "repaired"
        for file in summary["files"]
        if file["repaired"]
    ]
    notes += [
        f"{file['path']}: {file['left_out_without_area']} outlines have no area and are left out"
        for file in summary["files"]
        if file["left_out_without_area"]
    ]
    notes += [
        f"{file['path']}: {file['unmatched']} of {file['outlines']} outlines match none of the "
        "reference"
        for file in summary["files"][2:]
        if file["unmatched"]
    ]
    if "experts" in summary:
        experts = summary["experts"]
        count = experts["glaciers"]
        if count == 0:
            return [*notes, "no predicted glacier has the outlines of two experts"]
        mean = experts["area_weighted"]
        notes += [
            f"within the experts' areas: {experts['within_experts_area']} of {count} glaciers "
            f"(experts' standard deviation {mean['experts_std_percent']:.1f} %, prediction "
            f"{_signed(mean['predicted_to_experts_percent'])} % from their mean, area-weighted)",
            f"within the experts' distances: {experts['within_experts_distance']} of {count} "
            f"glaciers (experts {mean['experts_distance_mean_m']:.1f} m apart, prediction "
            f"{mean['predicted_to_experts_m']:.1f} m from them, area-weighted)",
        ]
    return notes


def _signed(value: float) -> str:
    return "" if np.isnan(value) else f"{value:+.2f}"


def _with_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_nulls(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_nulls(item) for item in value]
    return None if isinstance(value, float) and np.isnan(value) else value
