"""What the reports of a test share: its folder, its tiles, their counts and what was found."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from glavitu.callbacks.run_folder import OwnFolder, run_folder
from glavitu.metrics import TileConfusion
from glavitu.metrics.region_confusion import most_probable

if TYPE_CHECKING:
    from glavitu.datasets.tile import Tile


class Results:
    """The results of one test, as its callbacks share them.

    Attributes:
        tiles: The tiles of the test dataset, None where it does not tell them.
        calibration: What :func:`glavitu.confidence.scores.calibration_scores` gives, None before
            the end of the epoch and where nobody looked at the confidence.

    Args:
        tiles: The tiles, the same in all processes.
        device: Where processes can add their counts up.
    """

    def __init__(self, tiles: "Sequence[Tile] | None", device: torch.device) -> None:
        self.tiles = tiles
        self.calibration: dict[str, Any] | None = None
        # In all processes alike, whether they have tiles or not.
        self._confusion = None if tiles is None else TileConfusion(tiles).to(device)
        self._counted: tuple[int, int] | None = None

    def count(self, outputs: Any, batch: Any, number: tuple[int, int]) -> Tensor | None:
        """Count the tiles of a batch, once, whoever asks and how often.

        Args:
            outputs: What ``test_step`` gave: class probabilities, (B, classes, H, W).
            batch: ``mask``, int (B, H, W), and ``tile``, int64 (B,).
            number: Which batch it is: index of the dataloader, and of the batch.

        Returns:
            int64 (B, 4): TP, FP, FN and TN of the glacier class in pixels; None where the tiles are
            not told, or a process has none.
        """
        if self._confusion is None or not isinstance(outputs, Tensor) or "tile" not in batch:
            return None
        if self._counted != number:
            mask = batch["mask"]
            self._confusion.update(most_probable(outputs).to(mask.device), mask, batch["tile"])
            self._counted = number
        return self._confusion.batch_counts

    def table(self) -> pd.DataFrame | None:
        """Return the :meth:`~glavitu.metrics.TileConfusion.table` of tiles, None without any.

        It is that of all processes, so each one has to call this.
        """
        table = None if self._confusion is None else self._confusion.table()
        return None if table is None or table.empty else table  # batches did not tell their tiles

    def unlabelled(self) -> list[str]:
        """Return the names of tiles without a known label, which are in no score.

        It is that of all processes, so each one has to call this.
        """
        return [] if self._confusion is None else self._confusion.unlabelled()


class ResultsCallback(OwnFolder):
    """A callback that reports a test.

    All of a trainer share one :class:`Results` of each test, whatever their order. What one of them
    finds for the others is there once ``on_test_epoch_end`` is over.

    Attributes:
        folder: Where the files go: ``output``, or else the only ``output`` that the trainer's other
            reports have, or else the run's folder.
        results: The results of the test that runs, or ran last.

    Args:
        output: Folder for the files.
    """

    folder: Path
    results: Results

    def __init__(self, output: str | None = None) -> None:
        self.output = output

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the folder, in all processes."""
        given = {report.output for report in _reports(trainer)} - {None}
        output = self.output or (given.pop() if len(given) == 1 else None)
        self._run = run_folder(trainer)
        self.folder = Path(output) if output else self._run

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start anew; Lightning calls the first of the reports first."""
        first = _reports(trainer)[0]
        if first is self:
            tiles = getattr(getattr(trainer.test_dataloaders, "dataset", None), "tiles", None)
            self.results = Results(tiles, pl_module.device)
            if trainer.is_global_zero and self.folder != self._run:
                self.keep_others_out(self.folder)
        else:
            self.results = first.results


def _reports(trainer: Trainer) -> list[ResultsCallback]:
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return [callback for callback in callbacks if isinstance(callback, ResultsCallback)]
