"""Where the files of a run go."""

import csv
import warnings
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger


def run_folder(trainer: Trainer) -> Path:
    """Return the run's folder, the same for all processes; all of them must call this.

    It is the logger's folder of this run, beside its checkpoints; without a logger it is the
    trainer's default_root_dir.

    Args:
        trainer: The trainer of the run.
    """
    return Path(trainer.strategy.broadcast(str(own_run_folder(trainer))))


class RunConfig(SaveConfigCallback):
    """Keeps the configuration of a run as ``config.yaml`` in the run's folder."""

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the configuration; Lightning calls this in one process."""
        folder = own_run_folder(trainer)
        folder.mkdir(parents=True, exist_ok=True)
        self.parser.save(
            self.config, folder / "config.yaml", skip_none=False, overwrite=True, multifile=False
        )


def continue_metrics(logger: CSVLogger, steps: int) -> None:
    """Go on with the ``metrics.csv`` of a run that is resumed; Lightning starts it anew.

    Args:
        logger: The logger of the resumed run, before it logs anything.
        steps: Steps done at the checkpoint. What was logged after them comes again.
    """
    path = Path(logger.log_dir, "metrics.csv")
    if not path.is_file():
        return
    with path.open(newline="") as file:
        # A killed run may have left half a line.
        whole = (row for row in csv.DictReader(file) if None not in row.values())
        rows = [row for row in whole if int(row["step"]) < steps]
    kept = path.with_name("metrics_before_resuming.csv")
    path.replace(kept)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Experiment logs directory")
        writer: Any = logger.experiment
    writer.metrics = rows
    writer.save()
    kept.unlink()


def own_run_folder(trainer: Trainer) -> Path:
    """Return the run's folder as this process knows it."""
    logger = trainer.logger
    if isinstance(logger, CSVLogger | TensorBoardLogger):
        return Path(logger.log_dir)
    if logger is None or logger.save_dir is None:
        return Path(trainer.default_root_dir)
    return Path(logger.save_dir, str(logger.name), str(logger.version))
