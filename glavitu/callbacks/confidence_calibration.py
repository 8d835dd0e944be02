"""Calibrating the best checkpoint when a training ends."""

from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_warn

from glavitu.callbacks.run_folder import run_folder
from glavitu.datamodules import GlacierDataModule
from glavitu.errors import InputError
from glavitu.tasks import GlaViTUTask
from glavitu.tasks.calibrate import calibrate, check_method, put_calibration, write_calibration

#: Method that calibrates nothing.
NONE = "none"


class ConfidenceCalibration(Callback):
    """Calibrates the confidence of the best checkpoint at the end of training.

    The validation tiles are predicted whole, without their padding, by the weights of the best
    ``val/iou``, and a curve is fitted from their confidence to how often it is right (Maslov et al.
    2025, doi 10.1038/s41467-024-54956-x). ``reliability.png`` and ``calibration.json`` are written,
    and the curve is put into the checkpoint of these weights alone, since it belongs to them: not
    into those of the lowest loss or of the last epoch, which ``glavitu calibrate`` does.

    Nothing is done in a ``fast_dev_run``, nor without a checkpoint of the best ``val/iou`` or a
    :class:`~glavitu.datamodules.GlacierDataModule`.

    Args:
        method: ``'kernel_ridge'`` as published, ``'isotonic'``, ``'temperature'``, or ``'none'`` to
            leave the confidence raw.
        per_region: Fit one more curve to each region. Unknown regions, and those without
            validation tiles, take that of all.
        output: Folder for the files; by default the run's folder.

    Raises:
        InputError: If the method is unknown.
    """

    def __init__(
        self, method: str = "kernel_ridge", per_region: bool = False, output: str | None = None
    ) -> None:
        if method != NONE:
            check_method(method)
        self.method = method
        self.per_region = per_region
        self.output = output

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Calibrate, all processes together."""
        path = best_checkpoint(trainer)
        data = getattr(trainer, "datamodule", None)
        # A fast_dev_run may have been resumed from a checkpoint, and know its path.
        if self.method == NONE or getattr(trainer, "fast_dev_run", False) or path is None:
            return
        if not (isinstance(pl_module, GlaViTUTask) and isinstance(data, GlacierDataModule)):
            return
        folder = Path(self.output) if self.output else run_folder(trainer)
        # The trained task stays as it is, with the weights of the last step.
        task = pl_module.sibling(path).to(trainer.strategy.root_device)
        progress = trainer.is_global_zero and trainer.progress_bar_callback is not None
        try:
            fitted = calibrate(
                task, data.whole_tiles("val"), self.method, self.per_region, progress
            )
        except InputError as error:
            # All processes come here or none, and the training is worth something without it.
            rank_zero_warn(f"The confidence is not calibrated: {error}")
            return
        if trainer.is_global_zero:
            write_calibration(folder, fitted, path, "val")
            put_calibration(path, fitted.calibration)
            raw, calibrated = fitted.scores["ece_raw"], fitted.scores["ece_calibrated"]
            print(
                f"The confidence of {path.name} is calibrated ({self.method}): its error (ECE) on "
                f"validation tiles was {raw:.4f} and is {calibrated:.4f}"
            )
        trainer.strategy.barrier("calibration")  # before any process reads the checkpoint again


def best_checkpoint(trainer: Trainer) -> Path | None:
    """Return the local checkpoint of the best ``val/iou``, None where there is none.

    Args:
        trainer: The trainer of a training.
    """
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint) and callback.monitor == "val/iou":
            path = Path(callback.best_model_path)
            return path if path.is_file() else None
    return None
