"""The commands that Lightning gives: fit, validate, test and predict."""

from collections.abc import Sequence
from pathlib import Path

from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from glavitu._version import __version__
from glavitu.callbacks import PredictionFigures, PredictionWriter, RegionReport
from glavitu.datamodules import GlacierDataModule
from glavitu.quiet import quieten_lightning
from glavitu.tasks import GlaViTUTask
from glavitu.tasks.checkpoints import read_checkpoint

#: What the data decides of the model.
LINKS = {"features": "features", "location": "location", "patch_size": "image_size"}


class GlaViTUCLI(LightningCLI):
    """LightningCLI with the published training as its defaults."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the callbacks of every run, and let the data decide what the model must share."""
        for source, target in LINKS.items():
            parser.link_arguments(f"data.{source}", f"model.{target}")
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint_last")
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint_iou")
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint_loss")
        parser.add_lightning_class_args(PredictionFigures, "prediction_figures")
        parser.add_lightning_class_args(RegionReport, "region_report")
        parser.add_lightning_class_args(PredictionWriter, "prediction_writer")
        parser.set_defaults(
            {
                "trainer.max_epochs": 150,
                "trainer.log_every_n_steps": 10,
                "trainer.logger": {
                    "class_path": "lightning.pytorch.loggers.CSVLogger",
                    "init_args": {"save_dir": "runs", "name": "glavitu"},
                },
                # Lightning's save_last follows the best; a run resumes from its last epoch.
                "checkpoint_last.filename": "last",
                "checkpoint_last.enable_version_counter": False,
                "checkpoint_iou.monitor": "val/iou",
                "checkpoint_iou.mode": "max",
                "checkpoint_iou.filename": "best_iou",
                "checkpoint_iou.enable_version_counter": False,
                "checkpoint_loss.monitor": "val/loss",
                "checkpoint_loss.filename": "best_loss",
                "checkpoint_loss.enable_version_counter": False,
            }
        )

    def before_instantiate_classes(self) -> None:
        """Write predictions rather than gathering them in memory."""
        if self.config.subcommand == "predict":
            self.config.predict.return_predictions = False

    def _parse_ckpt_path(self) -> None:
        # A checkpoint tells how its model is built; what the data decides stays with the data, so
        # that features that differ are found by the task, which says what to do.
        subcommand = self.config.subcommand
        path = self.config[subcommand].get("ckpt_path")
        if not path or not Path(path).is_file():
            return
        hyper_parameters = read_checkpoint(path)["hyper_parameters"]
        model = {k: v for k, v in hyper_parameters.items() if k not in LINKS.values()}
        self.config = self.parser.parse_object({subcommand: {"model": model}}, self.config)


def run(arguments: Sequence[str]) -> None:
    """Run one of Lightning's commands.

    Args:
        arguments: The command and its options.
    """
    quieten_lightning()
    GlaViTUCLI(
        GlaViTUTask,
        GlacierDataModule,
        seed_everything_default=0,
        parser_kwargs={"prog": "glavitu", "version": f"glavitu {__version__}"},
        save_config_kwargs={"overwrite": True},
        args=list(arguments),
    )
