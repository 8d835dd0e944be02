"""Tests of models side by side, as one HTML page."""

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from glavitu.files import when_complete
from glavitu.report.page import render
from glavitu.report.runs import read_runs

__all__ = ["write_report"]


def write_report(folders: Sequence[str | Path], output: str | Path) -> Path:
    """Write the reports of tests as one HTML page that needs no network.

    Args:
        folders: Folders of tests, each with the ``report.json`` of
            :class:`~glavitu.callbacks.RegionReport`, and where they are there the ``samples`` of
            :class:`~glavitu.callbacks.WorstTiles` and the run's ``config.yaml``.
        output: The page to write.

    Returns:
        The path of the page.

    Raises:
        InputError: If a folder is not that of a test, or what it holds cannot be read.
    """
    runs = read_runs(folders)
    output = Path(output)
    with (
        when_complete(output) as partial,
        partial.open("w", encoding="utf-8", errors="backslashreplace") as file,
        tqdm(total=sum(len(run.samples) for run in runs), desc="samples", disable=None) as progress,
    ):
        file.writelines(render(runs, progress.update))
    return output
