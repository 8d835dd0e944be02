"""What the confidence is worth on test tiles."""

from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor

from glavitu.callbacks.predictions import log_figure
from glavitu.callbacks.results import ResultsCallback
from glavitu.confidence.diagram import draw_reliability
from glavitu.confidence.scores import (
    acquisition_scores,
    calibration_scores,
    pool,
    print_scores,
)
from glavitu.files import when_complete
from glavitu.metrics import Reliability
from glavitu.metrics.acquisitions import acquisitions, groupings


class CalibrationReport(ResultsCallback):
    """Tells in a test how far confidence is from accuracy, before and after calibration.

    The expected calibration error over 100 bins, its maximum and the Brier score are printed for
    each region, and of all pixels logged as ``test/ece``, ``test/ece_calibrated`` and
    ``test/brier``. ``reliability.png`` shows them. A :class:`~glavitu.callbacks.RegionReport` puts
    all into its report, and the task keeps it as ``test_calibration``. A checkpoint that is not
    calibrated has scores of raw confidence alone. Where the test dataset tells dates or sensors of
    its tiles, there are the scores of these too.

    Args:
        output: Folder for the figure; by default that of the test's other reports, or the run's.
    """

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start to count anew."""
        # On the task's device, where processes can add their counts up.
        self._reliability = Reliability().to(pl_module.device)
        taken = acquisitions(self.results.tiles or ())
        several = groupings([tile.year for tile in taken], [tile.sensor for tile in taken])
        self._groups = sorted(set(taken)) if several else []
        self._group_of = [self._groups.index(tile) for tile in taken] if self._groups else []
        self._by_group = Reliability(len(self._groups)).to(pl_module.device)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count the tiles of a batch; a process without tiles has no outputs."""
        if isinstance(outputs, Tensor):
            mask = batch["mask"].to(outputs.device)
            self._reliability.update(outputs, mask, batch["region"])
            if self._groups and "tile" in batch:
                groups = torch.tensor([self._group_of[tile] for tile in batch["tile"].tolist()])
                self._by_group.update(outputs, mask, groups)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report, once for all processes."""
        calibration = getattr(pl_module, "calibration", None)
        # The counts are those of all processes, so each one has to sum them.
        scores = calibration_scores(self._reliability, calibration)
        if self._groups:
            scores |= acquisition_scores(self._by_group, calibration, self._groups)
        self.results.calibration = scores
        task: Any = pl_module
        task.test_calibration = scores
        logged = {"ece": "ece_raw", "ece_calibrated": "ece_calibrated", "brier": "brier"}
        for name, key in logged.items():
            if scores[key] is not None:
                pl_module.log(f"test/{name}", scores[key], sync_dist=True)
        if not trainer.is_global_zero:
            return
        histogram = self._reliability.histogram(per_region=True)
        calibrated = None if calibration is None else pool(calibration.recalibrated(histogram))
        figure = draw_reliability(pool(histogram), calibrated, "Confidence on test tiles")
        with when_complete(self.folder / "reliability.png") as partial:
            figure.savefig(partial)
        for logger in trainer.loggers:
            if not isinstance(logger, CSVLogger):  # beside whose log it lies already
                log_figure(logger, "test_reliability", figure, trainer.global_step)
        method = "raw" if calibration is None else f"raw and calibrated ({calibration.method})"
        print_scores(scores, f"Error of confidence, {method}")
