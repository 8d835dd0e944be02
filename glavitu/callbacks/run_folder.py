"""Where the files of a run go."""

from pathlib import Path

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
    return Path(trainer.strategy.broadcast(str(_own_run_folder(trainer))))


class RunConfig(SaveConfigCallback):
    """Keeps the configuration of a run as ``config.yaml`` in the run's folder."""

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the configuration; Lightning calls this in one process."""
        folder = _own_run_folder(trainer)
        folder.mkdir(parents=True, exist_ok=True)
        self.parser.save(
            self.config, folder / "config.yaml", skip_none=False, overwrite=True, multifile=False
        )


def _own_run_folder(trainer: Trainer) -> Path:
    logger = trainer.logger
    if isinstance(logger, CSVLogger | TensorBoardLogger):
        return Path(logger.log_dir)
    if logger is None or logger.save_dir is None:
        return Path(trainer.default_root_dir)
    return Path(logger.save_dir, str(logger.name), str(logger.version))
