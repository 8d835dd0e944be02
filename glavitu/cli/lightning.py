"""The commands that Lightning gives: fit, validate, test and predict."""

import argparse
import inspect
import re
import signal
import sys
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from docstring_parser import DocstringStyle
from jsonargparse import (  # type: ignore[attr-defined]
    ActionConfigFile,
    Namespace,
    set_parsing_settings,
)
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_only

from glavitu._version import __version__
from glavitu.callbacks import (
    CalibrationReport,
    ConfidenceCalibration,
    EpochSeeds,
    PredictionFigures,
    PredictionWriter,
    RegionReport,
    StopSignals,
    WorstTiles,
)
from glavitu.callbacks.confidence_calibration import best_checkpoint
from glavitu.callbacks.run_folder import RunConfig, continue_metrics, run_folder
from glavitu.cli.parsers import end, explain_unknown, say_renamed, take_negative_numbers
from glavitu.cli.quiet import quieten_lightning
from glavitu.cli.resuming import check_unchanged, find_last, first_logger
from glavitu.cli.shipped import find_config
from glavitu.cli.yaml_files import bound_values, parse_yaml, read_yaml
from glavitu.datamodules import GlacierDataModule
from glavitu.errors import InputError, check_number
from glavitu.tasks import GlaViTUTask
from glavitu.tasks.checkpoints import CompleteCheckpoints, read_checkpoint
from glavitu.tasks.hyperparameters import check_buildable, modules_of_config

#: What the data decides of the model.
LINKS = {"features": "features", "location": "location", "patch_size": "image_size"}

#: What Lightning understands as a checkpoint beside the path of one, and commands have no use for.
CHECKPOINT_WORDS = ("best", "hpc", "registry")

CHECKPOINT_HELP = (
    "Path of a checkpoint, or the word last: last.ckpt of the run with the highest version among "
    "those that the logger's options name."
)

#: Options of Lightning's that are decided here; configurations of older runs may have them.
DECIDED = ("weights_only", "return_predictions", "verbose", "ckpt_path")

#: Numbers of the trainer that Lightning does not check.
COUNTS: dict[str, dict[str, Any]] = {
    "accumulate_grad_batches": {"least": 1, "whole": True},
    "check_val_every_n_epoch": {"least": 1, "whole": True},
    "gradient_clip_val": {"least": 0},
    "log_every_n_steps": {"least": 0, "whole": True},
    "num_nodes": {"least": 1, "whole": True},
}

INFERENCE_HELP = "Take the mean of several predictions, as the same option of glavitu map."

#: Options that may be any module.
MODULES = ("model.model", "model.loss")

AnyCallback = TypeVar("AnyCallback", bound=Callback)


class ConfigFile(ActionConfigFile):
    """`--config`, which takes the name of a configuration that comes with glavitu, too."""

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: Any = None) -> None:
        """Read a configuration; the first of several processes says which."""
        path = find_config(values, quiet=getattr(rank_zero_only, "rank", 0) != 0)
        if Path(path).exists():
            read_yaml(Path(path))
        elif path != "-" and "://" not in path:
            parse_yaml(path, "--config")
        super().__call__(parser, cfg, path, option_string)  # type: ignore[no-untyped-call]


class Parser(LightningArgumentParser):
    """Says what is wrong without the usage, which is longer than a screen."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        take_negative_numbers(self)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """End with a message that names options as they are given.

        Args:
            message: What is wrong.
            ex: Where it comes from.
        """
        message = re.sub(r"(?<=required: )\w+\.", "--", message)
        end(explain_unknown(message, self), "glavitu COMMAND")


class GlaViTUCLI(LightningCLI):
    """LightningCLI with the published training as its defaults."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        #: What a checkpoint changes in the configuration, as it was asked for.
        self._asked: dict[str, Any] = {}
        self._arguments: Sequence[str] = kwargs.get("args") or ()
        super().__init__(*args, **kwargs)

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """Make a parser as Lightning does, with our own `--config`."""
        kwargs.setdefault("dump_header", [f"glavitu=={__version__}"])
        parser = self.parser_class(**kwargs)
        parser.add_argument(
            *("-c", "--config"),
            action=ConfigFile,
            help="YAML file of options, or the name of one that comes with glavitu (`glavitu "
            "configs` lists them); may be repeated, and the last one wins",
        )
        return parser

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the callbacks of every run, and let the data decide what the model must share."""
        for source, target in LINKS.items():
            parser.link_arguments(f"data.{source}", f"model.{target}")
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint_iou")
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint_loss")
        # After the others, since it keeps what they found best.
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint_last")
        parser.add_lightning_class_args(PredictionFigures, "prediction_figures")
        parser.add_lightning_class_args(ConfidenceCalibration, "confidence_calibration")
        parser.add_lightning_class_args(CalibrationReport, "calibration_report")
        parser.add_lightning_class_args(RegionReport, "region_report")
        parser.add_lightning_class_args(WorstTiles, "worst_tiles")
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

    def _prepare_subcommand_parser(
        self, klass: type, subcommand: str, **kwargs: Any
    ) -> LightningArgumentParser:
        # Lightning's help offers what does not work here, or does nothing.
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        resumes = " Training goes on from it." if subcommand == "fit" else ""
        parser.add_argument("--checkpoint", type=str | None, help=CHECKPOINT_HELP + resumes)
        if subcommand in ("test", "predict"):
            parser.add_argument("--inference", nargs="+", metavar="HOW", help=INFERENCE_HELP)
        for action in parser._actions:
            if action.dest in MODULES:  # it would list every module of PyTorch
                vars(action)["extra_help"] = str
            if action.dest in DECIDED and (subcommand, action.dest) != ("validate", "verbose"):
                action.help = argparse.SUPPRESS
        return parser

    def before_instantiate_classes(self) -> None:
        """Never unpickle a checkpoint, and write predictions rather than gathering them."""
        subcommand = self.config.subcommand
        options = self.config[subcommand]
        for key, limits in COUNTS.items():
            if options.trainer[key] is not None:
                check_number(f"trainer.{key}", options.trainer[key], **limits)
        if options.weights_only is False:
            raise InputError(
                "--weights_only false: checkpoints are never unpickled, since a pickle can run any "
                "code; leave the option out"
            )
        options.weights_only = True
        if subcommand != "fit" and options.ckpt_path is None:
            raise InputError(f"{subcommand} needs a trained model; give it with --checkpoint")
        if options.ckpt_path is not None:
            # All weights come from the checkpoint. What is kept starts the run anew.
            self._asked["model.initial_weights"] = options.model.initial_weights
            options.model.initial_weights = None
        if subcommand == "predict":
            options.return_predictions = False
        if subcommand == "test":
            options.verbose = False  # the report of regions says it all

    def instantiate_classes(self) -> None:
        """Build what the options describe; what a class does not take is an error of theirs."""
        options = self.config.get(self.config.subcommand, {})
        for key in self._parser(self.config.subcommand).callback_keys:
            if options.get(key) is None:
                raise InputError(f"{key} is null, but has options; leave it out for the defaults")
        try:
            super().instantiate_classes()
        except (InputError, OSError):
            raise
        except MisconfigurationException as error:
            raise InputError(f"the trainer's options: {str(error).strip()}") from error
        except Exception as error:  # any class may be named, and fail as it likes
            raise InputError(
                f"the options cannot be used: {error or type(error).__name__}; see the option that "
                f"this speaks of in `glavitu {self.config.subcommand} --help`"
            ) from error

    def after_instantiate_classes(self) -> None:
        """Leave no checkpoint half written, and keep a configuration that starts a run anew."""
        if type(self.trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            self.trainer.strategy.checkpoint_io = CompleteCheckpoints()
        # What is kept has our name of it alone.
        options = self.config[self.subcommand]
        options.checkpoint = options.pop("ckpt_path")
        for key, value in self._asked.items():
            options[key] = value

    def before_fit(self) -> None:
        """Say what is resumed, and go on with the metrics of a run that stays in its folder."""
        path = self.config_init.fit.ckpt_path
        if path is None or not self.trainer.is_global_zero:
            return
        steps = read_checkpoint(path)["global_step"]
        print(f"Resuming {path} after {steps} steps")
        for logger in self.trainer.loggers:
            if isinstance(logger, CSVLogger):
                continue_metrics(logger, steps)

    def after_fit(self) -> None:
        """Say where the run is, and what to do next."""
        folder = run_folder(self.trainer)
        best = best_checkpoint(self.trainer)
        if best is not None and self.trainer.is_global_zero:
            print(f"The run is in {folder}\nNext: glavitu test --checkpoint {best} --data.root ...")

    def after_test(self) -> None:
        """Say where the report is, and what to do next."""
        for report in self._callbacks(RegionReport):
            print(f"The report is in {report.folder}\nNext: glavitu report {report.folder}")

    def after_predict(self) -> None:
        """Say where the predictions are."""
        for writer in self._callbacks(PredictionWriter):
            print(f"The predictions are in {writer.folder}")

    def _callbacks(self, kind: type[AnyCallback]) -> list[AnyCallback]:
        """Return the callbacks of a kind, in the first process alone."""
        trainer: Any = self.trainer
        callbacks = trainer.callbacks if trainer.is_global_zero else []
        return [callback for callback in callbacks if isinstance(callback, kind)]

    def _parse_ckpt_path(self) -> None:
        # A checkpoint tells how its model is built, and what data it wants, where that is not set.
        # Where it is set otherwise, `check_unchanged` and the task say so.
        subcommand = self.config.subcommand
        options = self.config[subcommand]
        if options.checkpoint is not None:
            options.ckpt_path, options.checkpoint = options.checkpoint, None
        elif options.ckpt_path is not None and getattr(rank_zero_only, "rank", 0) == 0:
            say_renamed("ckpt_path", "checkpoint")  # in YAML, as 0.1 wrote it
        if options.get("inference") is not None:
            options.model.inference, options.inference = options.inference, None
        path = options.ckpt_path
        if path == "last":
            path = options.ckpt_path = str(find_last(options))
            if subcommand == "fit":
                self._stay_in_folder(options)
        if path is None:
            return
        if path.partition(":")[0] in CHECKPOINT_WORDS:
            raise InputError(
                f"--checkpoint {path}: give the path of a checkpoint, such as "
                "runs/glavitu/version_0/checkpoints/best_iou.ckpt, or last for the newest run's"
            )
        stored = read_checkpoint(path)["hyper_parameters"]
        defaults = inspect.signature(GlacierDataModule).parameters
        data = {
            source: stored[target]
            for source, target in LINKS.items()
            if _plain(options.data[source]) == _plain(defaults[source].default)
        }
        # A checkpoint is data: modules of others' classes come from the configuration alone.
        given = modules_of_config(stored, options.model)
        if "model" not in given:
            check_buildable(stored, path)
        model = {k: v for k, v in stored.items() if k not in (*LINKS.values(), *given)}
        check_unchanged(subcommand, model, options.model, self._arguments, path)
        self.config = self.parser.parse_object(
            {subcommand: {"model": model, "data": data}}, self.config
        )

    def _stay_in_folder(self, options: Namespace) -> None:
        """Let a resumed run log where it did: where its best checkpoints are, it finds them."""
        self._asked |= {"checkpoint": None, "trainer.logger": deepcopy(options.trainer.logger)}
        logger = first_logger(options)
        if options.checkpoint_last.dirpath is None and "version" in getattr(
            logger, "init_args", {}
        ):
            logger.init_args.version = Path(options.ckpt_path).parents[1].name


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def run(arguments: Sequence[str]) -> int:
    """Run one of Lightning's commands.

    Args:
        arguments: The command and its options.

    Returns:
        The exit status: 0, or 128 and the number of the signal that ended the command.

    Raises:
        KeyboardInterrupt: If that ended it.
    """
    quieten_lightning()
    bound_values()
    # Guessing the style takes a reference at the start of a line for another one, and loses help.
    set_parsing_settings(docstring_parse_style=DocstringStyle.GOOGLE)
    stops = StopSignals()
    try:
        GlaViTUCLI(
            GlaViTUTask,
            GlacierDataModule,
            seed_everything_default=0,
            parser_kwargs={"prog": "glavitu", "version": f"glavitu {__version__}"},
            parser_class=Parser,
            trainer_defaults={"callbacks": [EpochSeeds(), stops]},
            save_config_callback=RunConfig,
            save_config_kwargs={"save_to_log_dir": False},
            args=list(arguments),
        )
    except MisconfigurationException as error:
        raise InputError(str(error).strip()) from error
    except (SystemExit, RuntimeError) as error:
        # Lightning ends with status 1 upon Ctrl-C. Where all processes of a group are told to
        # stop, those that read ahead may be gone before this one has come to the end of its step.
        interrupted = isinstance(error.__context__, KeyboardInterrupt)
        if not (stops.stopped or interrupted):
            raise
        if getattr(rank_zero_only, "rank", 0) == 0:
            told = "Ctrl-C" if interrupted else "SIGTERM"
            print(f"glavitu: stopped by {told}: {stops.advice}", file=sys.stderr)
        if interrupted:
            raise KeyboardInterrupt from None
        return 128 + signal.SIGTERM
    return 0
