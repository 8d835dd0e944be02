"""The commands that Lightning gives: fit, validate, test and predict."""

import inspect
from collections.abc import Sequence
from typing import Any

from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from glavitu._version import __version__
from glavitu.callbacks import PredictionFigures, PredictionWriter, RegionReport
from glavitu.callbacks.run_folder import RunConfig, run_folder
from glavitu.datamodules import GlacierDataModule
from glavitu.errors import InputError
from glavitu.quiet import quieten_lightning
from glavitu.tasks import GlaViTUTask
from glavitu.tasks.checkpoints import read_checkpoint

#: What the data decides of the model.
LINKS = {"features": "features", "location": "location", "patch_size": "image_size"}


#: What Lightning understands as a checkpoint beside the path of one.
CHECKPOINT_WORDS = ("last", "best", "hpc")


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
                "trainer.default_root_dir": "runs",
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
        """Never unpickle a checkpoint, and write predictions rather than gathering them."""
        subcommand = self.config.subcommand
        options = self.config[subcommand]
        options.weights_only = True
        if subcommand != "fit" and options.ckpt_path is None:
            raise InputError(f"{subcommand} needs a trained model; give it with --ckpt_path")
        if subcommand == "predict":
            options.return_predictions = False
        if subcommand == "test":
            options.verbose = False  # the report of regions says it all

    def after_fit(self) -> None:
        """Say where the run is, and what to do next."""
        folder = run_folder(self.trainer)
        found = [
            callback.best_model_path
            for callback in self.trainer.checkpoint_callbacks
            if isinstance(callback, ModelCheckpoint) and callback.monitor == "val/iou"
        ]
        best = found[0] if found else ""
        if best and self.trainer.is_global_zero:
            print(f"The run is in {folder}\nNext: glavitu test --ckpt_path {best} --data.root ...")

    def _parse_ckpt_path(self) -> None:
        # A checkpoint tells how its model is built, and what data it wants, where that is not set.
        # Where it is set otherwise, the task says so.
        subcommand = self.config.subcommand
        options = self.config[subcommand]
        path = options.get("ckpt_path")
        if path is None or path in CHECKPOINT_WORDS:
            return
        stored = read_checkpoint(path)["hyper_parameters"]
        defaults = inspect.signature(GlacierDataModule).parameters
        data = {
            source: stored[target]
            for source, target in LINKS.items()
            if _plain(options.data[source]) == _plain(defaults[source].default)
        }
        model = {k: v for k, v in stored.items() if k not in LINKS.values()}
        self.config = self.parser.parse_object(
            {subcommand: {"model": model, "data": data}}, self.config
        )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


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
        save_config_callback=RunConfig,
        save_config_kwargs={"save_to_log_dir": False},
        args=list(arguments),
    )
