"""What a model predicts, as figures while it trains and as rasters when it is asked to predict."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from matplotlib.figure import Figure
from torch import Tensor

from glavitu.callbacks.run_folder import OwnFolder, run_folder
from glavitu.classes import GLACIER
from glavitu.confidence.calibration import RAW_NOTICE, confidence_tag
from glavitu.errors import check_number
from glavitu.files import stem_of, when_complete
from glavitu.models.entropy import confidence
from glavitu.rasters.writing import write_geotiff

logger = logging.getLogger(__name__)


class PredictionFigures(Callback):
    """Draws validation samples with their predictions after each validation.

    They go to the logger: as images to W&B and TensorBoard, as PNG files beside the CSV log.

    Args:
        samples: Number of samples to draw, from the first batches.
    """

    def __init__(self, samples: int = 4) -> None:
        check_number("prediction_figures.samples", samples, 0, whole=True)
        self.samples = samples
        self._drawn = 0

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start to count anew."""
        self._drawn = 0

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw samples of a batch until there are enough."""
        datamodule = getattr(trainer, "datamodule", None)
        plot = getattr(datamodule, "plot", None)
        if trainer.sanity_checking or not trainer.is_global_zero or plot is None:
            return
        for index in range(min(len(batch["image"]), self.samples - self._drawn)):
            sample = {key: batch[key][index] for key in ("image", "mask")}
            figure = plot(sample | {"prediction": outputs[index]})
            if figure is not None:
                name = f"val_sample_{self._drawn}"
                for logger in trainer.loggers:
                    log_figure(logger, name, figure, trainer.global_step)
            self._drawn += 1


def log_figure(logger: Logger, name: str, figure: Figure, step: int) -> None:
    """Give a figure to a logger, or leave it beside the CSV log as a PNG file."""
    if isinstance(logger, WandbLogger):
        import wandb

        logger.experiment.log({name: wandb.Image(figure)}, commit=False)
    elif isinstance(logger, TensorBoardLogger):
        logger.experiment.add_figure(name, figure, global_step=step)
    elif isinstance(logger, CSVLogger):
        folder = Path(logger.log_dir) / "figures"
        with when_complete(folder / f"{name}.png") as partial:
            figure.savefig(partial)


class PredictionWriter(OwnFolder, BasePredictionWriter):
    """Writes what ``predict`` says of each tile as a GeoTIFF on the tile's grid.

    Band 1 is the glacier probability, band 2 the confidence, both in [0, 1]; NaN where a feature
    group has no data. The confidence is calibrated where the checkpoint is, with the curve of the
    tile's region where it has its own; the tag ``confidence`` tells.

    Args:
        output: Folder for the files; by default ``predictions`` in the run's folder.
    """

    def __init__(self, output: str | None = None) -> None:
        BasePredictionWriter.__init__(self, "batch")
        self.output = output

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the folder, in all processes."""
        run = run_folder(trainer)
        self.folder = Path(self.output) if self.output else run / "predictions"
        if stage == "predict" and trainer.is_global_zero:
            self.keep_others_out(self.folder)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say where the confidence is raw."""
        if trainer.is_global_zero and getattr(pl_module, "calibration", None) is None:
            logger.warning(RAW_NOTICE)

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Tensor,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write the tiles of a batch."""
        dataset = trainer.datamodule.predict_dataset  # type: ignore[attr-defined]
        calibration = getattr(pl_module, "calibration", None)
        for number, probabilities in zip(batch["tile"].tolist(), prediction, strict=True):
            tile = dataset.tiles[number]
            sure = confidence(probabilities, 0)
            if calibration is not None:
                sure = calibration(sure, tile.region)
            bands = np.stack([probabilities[GLACIER].numpy(), sure.numpy()])
            bands = np.where(dataset.valid(number), bands, np.float32(np.nan))
            origin = rasterio.Affine.translation(tile.extent.col, tile.extent.row)
            write_geotiff(
                self.folder / f"{stem_of(tile.name)}.tif",
                bands.astype(np.float32, copy=False),
                descriptions=("probability", "confidence"),
                tags={"confidence": confidence_tag(calibration)},
                crs=tile.crs,
                transform=tile.transform @ origin,
                nodata=np.nan,
                compress="deflate",
                tiled=True,
            )
