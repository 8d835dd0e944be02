"""One row per glacier: areas, deviations, and the spread of the experts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from glavitu.arrays import Geometries
from glavitu.compare.matching import Matches
from glavitu.compare.outline_files import OutlineFile
from glavitu.metrics.outline_deviations import (
    Distances,
    ExpertSpread,
    distances,
    expert_spread,
    percent,
)
from glavitu.outlines.plane import area_km2, centre, on_plane, plane_at, united

#: How outlines of the two files can go together, in the order of the tables.
MATCHED = ("one to one", "split", "merged", "many to many")
MISSED, FALSE = "missed", "false"

#: Directions in which distances are taken, as they begin the names of columns.
DIRECTIONS = ("to_reference", "to_predicted")


def compare_glaciers(
    files: Sequence[OutlineFile], matches: Matches, progress: bool = True
) -> pd.DataFrame:
    """Measure each glacier on a plane of its own.

    Where a file has several outlines of a glacier, they are joined first.

    Args:
        files: Predicted, reference, and experts.
        matches: The glacier of each outline, from :mod:`glavitu.compare.matching`.
        progress: Show a progress bar.

    Returns:
        One row per glacier, the largest first, with the columns ``glacier`` (its id, or a number
        from 1), ``match`` (``one to one``, ``split``: several predicted outlines of one in the
        reference, ``merged``: one of several, ``many to many``, ``missed``: only in the reference,
        ``false``: only predicted), ``longitude`` and ``latitude`` (degrees),
        ``predicted_outlines`` and ``reference_outlines`` (number), ``predicted_km2`` and
        ``reference_km2``, ``area_deviation_percent`` ((predicted - reference) / reference),
        ``to_reference_mean_m``, ``to_reference_median_m`` and ``to_reference_p95_m`` (distances
        from the predicted outline to the reference), ``to_predicted_...`` (the other way). Where
        experts are given, also the fields of
        :class:`glavitu.metrics.outline_deviations.ExpertSpread`. The reference counts as an expert;
        where a glacier has less than two of them, or is not predicted, there is no spread. What is
        not defined is empty.
    """
    nothing = np.array([], dtype=np.intp)
    members = [pd.Series(glaciers).groupby(glaciers).indices for glaciers in matches]
    names = _names(files, matches)
    rows = []
    numbers = np.union1d(matches[0], matches[1])
    for number in tqdm(numbers, desc="Comparing", unit="glacier", disable=not progress):
        outlines = [
            file.degrees[here.get(number, nothing)]
            for file, here in zip(files, members, strict=True)
        ]
        rows.append({"glacier": names.get(int(number), 0)} | _row(outlines))
    table = pd.DataFrame(rows)
    largest = table[["reference_km2", "predicted_km2"]].max(axis=1)
    table = table.iloc[np.argsort(-largest, kind="stable")].reset_index(drop=True)
    if not names:
        table["glacier"] = np.arange(1, len(table) + 1)
    return table


def _names(files: Sequence[OutlineFile], matches: Matches) -> dict[int, str]:
    return {
        number: str(name)
        for file, glaciers in zip(files, matches, strict=True)
        if file.ids is not None
        for number, name in zip(glaciers.tolist(), file.ids, strict=True)
    }


def _row(outlines: Sequence[Geometries]) -> dict[str, Any]:
    """Compare the outlines of a glacier: predicted, reference, experts; some have none."""
    # The reference decides on the plane: every comparison with it is made on the same one.
    longitude, latitude = centre(outlines[1] if len(outlines[1]) else outlines[0])
    plane = plane_at(longitude, latitude)
    predicted, reference, *experts = (united(on_plane(some, plane)) for some in outlines)
    row: dict[str, Any] = {
        "match": _match(len(outlines[0]), len(outlines[1])),
        "longitude": longitude,
        "latitude": latitude,
        "predicted_outlines": len(outlines[0]),
        "reference_outlines": len(outlines[1]),
        "predicted_km2": area_km2(predicted),
        "reference_km2": area_km2(reference),
    }
    both = row["match"] in MATCHED
    row["area_deviation_percent"] = (
        percent(row["predicted_km2"], row["reference_km2"]) if both else np.nan
    )
    for direction, here, there in zip(
        DIRECTIONS, (predicted, reference), (reference, predicted), strict=True
    ):
        found = distances(here, there) if both else Distances(np.nan, np.nan, np.nan)
        row |= {f"{direction}_{name}_m": value for name, value in found._asdict().items()}
    if experts:
        drawn = [expert for expert in (reference, *experts) if not expert.is_empty]
        row |= dict.fromkeys(ExpertSpread._fields) | {"experts": len(drawn)}
        if len(drawn) > 1 and not predicted.is_empty:
            row |= expert_spread(predicted, drawn)._asdict()
    return row


def _match(predicted: int, reference: int) -> str:
    if not predicted:
        return MISSED
    if not reference:
        return FALSE
    return MATCHED[2 * (reference > 1) + (predicted > 1)]
