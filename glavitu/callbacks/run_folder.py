"""Where the files of a run go."""

import csv
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.core.saving import save_hparams_to_yaml
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from glavitu.files import claim, is_local, sweep, unlock, when_complete


def run_folder(trainer: Trainer) -> Path:
    """Return the run's folder, the same for all processes; all of them must call this.

    It is the logger's folder of this run, beside its checkpoints; without a logger it is the
    trainer's default_root_dir.

    Args:
        trainer: The trainer of the run.
    """
    return Path(trainer.strategy.broadcast(str(own_run_folder(trainer))))


class OwnFolder(Callback):
    """A callback that writes into a folder which no other process writes into meanwhile."""

    _lock: int | None = None

    def keep_others_out(self, folder: Path) -> None:
        """Make a folder, and keep other processes out until this run ends, however it does.

        Raises:
            InputError: If it cannot be written to, or another process writes into it.
        """
        self._lock = claim(folder)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let other processes in."""
        self._let_others_in()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Let other processes in."""
        self._let_others_in()

    def _let_others_in(self) -> None:
        handle, self._lock = self._lock, None
        unlock(handle)


class RunConfig(OwnFolder, SaveConfigCallback):
    """Keeps the configuration of a run as ``config.yaml`` in the run's folder, and that its own."""

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the configuration; Lightning calls this in one process."""
        with when_complete(own_run_folder(trainer) / "config.yaml") as partial:
            self.parser.save(self.config, partial, skip_none=False, overwrite=True, multifile=False)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Keep other processes out of the run's folder, and write what goes there whole.

        Raises:
            InputError: If another process writes into it, such as one that resumes the same run.
        """
        if trainer.is_global_zero:
            folder = own_run_folder(trainer)
            self.keep_others_out(folder)
            for run in folder.parent.glob("version_*"):
                sweep(run)  # a run that was killed never writes into its folder again
            for logger in trainer.loggers:
                if isinstance(logger, CSVLogger):
                    metrics_file(logger)
        SaveConfigCallback.setup(self, trainer, pl_module, stage)


class MetricsFile(ExperimentWriter):
    """Writes ``metrics.csv`` and ``hparams.yaml`` whole each time.

    Lightning's own adds lines, and writes all of them anew in place when a column is new: a kill
    then loses the epochs before.
    """

    def __init__(self, log_dir: str) -> None:
        self._rows: list[dict[str, Any]] = []
        super().__init__(log_dir)

    def save(self) -> None:
        """Write all rows so far."""
        if not self.metrics:
            return
        self._record_new_keys()
        self._rows += self.metrics
        self.metrics = []
        with (
            when_complete(Path(self.metrics_file_path)) as partial,
            partial.open("w", newline="") as file,
        ):
            writer = csv.DictWriter(file, self.metrics_keys)
            writer.writeheader()
            writer.writerows(self._rows)

    def log_hparams(self, params: dict[str, Any]) -> None:
        """Write hyperparameters."""
        self.hparams.update(params)
        with when_complete(Path(self.log_dir, self.NAME_HPARAMS_FILE)) as partial:
            save_hparams_to_yaml(partial, self.hparams)

    def _check_log_dir_exists(self) -> None:
        """Let an older file stay until there are rows to replace it."""


def metrics_file(logger: CSVLogger) -> Any:
    """Return what a logger writes with; its own where it has one already, or writes elsewhere."""
    if vars(logger).get("_experiment") is None and is_local(logger.log_dir):
        vars(logger)["_experiment"] = MetricsFile(logger.log_dir)
    return logger.experiment


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
    writer = metrics_file(logger)
    writer.metrics = rows
    writer.save()


def own_run_folder(trainer: Trainer) -> Path:
    """Return the run's folder as this process knows it."""
    logger = trainer.logger
    if isinstance(logger, CSVLogger | TensorBoardLogger):
        if trainer.is_global_zero:
            _take_version(logger)
        return Path(logger.log_dir)
    if logger is None or logger.save_dir is None:
        return Path(trainer.default_root_dir)
    return Path(logger.save_dir, str(logger.name), str(logger.version))


def _take_version(logger: CSVLogger | TensorBoardLogger) -> None:
    """Take the next version of a run, which of two that start at once only one gets."""
    known = vars(logger)
    while known.get("_version") is None:
        try:
            Path(logger.log_dir).mkdir(parents=True)  # this looks for the next version
        except FileExistsError:
            known["_version"] = None
