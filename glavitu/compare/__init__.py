"""What `glavitu compare` does: predicted outlines against those of an inventory or of experts."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from glavitu.compare.figure import write_figure
from glavitu.compare.matching import by_id, by_overlap
from glavitu.compare.outline_files import read_files
from glavitu.compare.summary import Summary, print_summary, summarise, write_json
from glavitu.compare.table import compare_glaciers
from glavitu.errors import InputError
from glavitu.files import all_when_complete, opened

__all__ = ["Comparison", "compare", "print_summary"]


class Comparison(NamedTuple):
    """What a comparison has found, and its files.

    Attributes:
        table: One row per glacier, see :func:`glavitu.compare.table.compare_glaciers`.
        summary: Counts, totals and means, see :func:`glavitu.compare.summary.summarise`.
        csv: The table.
        json: The summary and the settings.
        figure: Areas and deviations.
    """

    table: pd.DataFrame
    summary: Summary
    csv: Path
    json: Path
    figure: Path


def compare(
    predicted: str | Path,
    reference: str | Path,
    output: str | Path,
    *,
    experts: Sequence[str | Path] = (),
    id_column: str | None = None,
    layer: Sequence[str] | str = (),
    progress: bool = True,
) -> Comparison:
    """Compare outlines glacier by glacier: their areas, and the distances between them.

    Maslov et al. (2025, doi 10.1038/s41467-024-54956-x) compare with experts by these two.

    Args:
        predicted: Polygons in any CRS.
        reference: Polygons in any CRS.
        output: Folder for ``comparison.csv``, ``comparison.json`` and ``comparison.png``. It is
            made where it does not exist.
        experts: Further outlines of the same glaciers. The reference counts as one expert too.
        id_column: Column that names the glacier in all files; by default they are matched by
            overlap, see :func:`glavitu.compare.matching.by_overlap`.
        layer: Layer of the outlines in files of which several layers hold polygons; several names
            where files call it differently.
        progress: Show a progress bar.

    Raises:
        InputError: If a file cannot be used, or nothing in it matches the reference.
    """
    output = Path(output)
    if output.exists() and not output.is_dir():
        raise InputError(f"{output} is a file, but the output must be a folder; name another")
    paths = [Path(path) for path in (predicted, reference, *experts)]
    if Path(reference).resolve() in [Path(expert).resolve() for expert in experts]:
        raise InputError(
            f"{reference}: is the reference and among the experts; the reference counts as one "
            "expert, so leave it out there"
        )
    layers = (layer,) if isinstance(layer, str) else tuple(layer)
    files = read_files(paths, id_column, layers)
    matches = by_id(files) if id_column is not None else by_overlap(files)
    table = compare_glaciers(files, matches, progress)
    summary = summarise(files, matches, table, id_column)
    names = ("comparison.csv", "comparison.png", "comparison.json")
    csv, png, json = (output / name for name in names)
    with opened(output), all_when_complete(csv, png, json) as partials:
        table.to_csv(partials[0], index=False, float_format="%.8g")
        write_figure(table, summary, partials[1])
        write_json(summary, partials[2])
    return Comparison(table, summary, csv, json, png)
