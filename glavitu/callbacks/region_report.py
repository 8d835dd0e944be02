"""The report of a test: scores of each region, as a table and a file."""

from pathlib import Path

import pandas as pd
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.table import Table

from glavitu.callbacks.run_folder import run_folder
from glavitu.files import when_complete
from glavitu.metrics import RegionConfusion

SCORES = ("glacier_share", "iou", "precision", "recall", "f1", "accuracy")


class RegionReport(Callback):
    """Prints the scores of each region after a test, and writes them to ``report.csv``.

    Only confusion counts are kept, never predictions.

    Args:
        output: Folder for the file; by default the run's folder.
    """

    def __init__(self, output: str | None = None) -> None:
        self.output = output

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the folder, in all processes."""
        self._folder = Path(self.output) if self.output else run_folder(trainer)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report, once for all processes."""
        metric = pl_module.test_confusion
        assert isinstance(metric, RegionConfusion)
        table = metric.table()  # sums over processes, so each one has to call it
        if not trainer.is_global_zero:
            return
        with when_complete(self._folder / "report.csv") as partial:
            table.to_csv(partial, index=False)
        print_table(table)


def print_table(table: pd.DataFrame) -> None:
    """Print scores of regions, and their mean and standard deviation, on the terminal.

    Args:
        table: What :meth:`glavitu.metrics.RegionConfusion.table` gives.
    """
    shown = Table(title="Glacier class, pixels pooled per region")
    shown.add_column("region")
    for score in SCORES:
        shown.add_column(score.replace("_", " "), justify="right")
    for row in table.to_dict("records"):
        shown.add_row(str(row["region"]), *(_number(float(row[score])) for score in SCORES))
    if len(table) > 1:
        shown.add_section()
        for name in ("mean", "std"):
            summary = getattr(table[list(SCORES)], name)()
            shown.add_row(name, *(_number(float(summary[score])) for score in SCORES))
    Console().print(shown)


def _number(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.3f}"
