"""The command `calibrate`: calibrate the confidence of a checkpoint that is trained already."""

import argparse
import inspect
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import ArgumentParser

from glavitu.cli.own_model import read_model
from glavitu.cli.parsers import end, explain_unknown, take_negative_numbers
from glavitu.cli.shipped import find_config
from glavitu.cli.yaml_files import read_yaml
from glavitu.confidence.curves import CALIBRATORS
from glavitu.confidence.scores import print_scores
from glavitu.datamodules import GlacierDataModule
from glavitu.errors import InputError
from glavitu.files import opened
from glavitu.mapping.devices import choose_device
from glavitu.tasks import GlaViTUTask
from glavitu.tasks.calibrate import calibrate, put_calibration, write_calibration

#: What the checkpoint tells of the data, and what training alone needs.
SKIPPED = {
    *("features", "location", "patch_size"),
    *("batch_size", "steps_per_epoch", "balanced", "augmentation"),
}

DESCRIPTION = (
    "Fit a curve from the confidence of a checkpoint to how often it is right, on validation tiles "
    "without their padding, and put it into the checkpoint: `test` then tells the error of "
    "confidence before and after, and `map` and `predict` write calibrated confidence. Writes "
    "calibration.json and reliability.png into the folder of the checkpoint's run. `fit` does the "
    "same for best_iou.ckpt."
)


class Parser(ArgumentParser):
    """Says what is wrong in a line, as the parsers of all commands do."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        take_negative_numbers(self)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """End with a message.

        Args:
            message: What is wrong.
            ex: Where it comes from.
        """
        end(explain_unknown(message, self), "glavitu calibrate")


def run(arguments: Sequence[str]) -> None:
    """Run the command.

    Args:
        arguments: Its options.

    Raises:
        InputError: If the checkpoint or the data cannot be used.
    """
    parser = _parser()
    # The run's configuration gives what is not set, so it has to be found first.
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--checkpoint")
    first.add_argument("--config")
    found, _ = first.parse_known_args(arguments)
    parser.set_defaults(
        {f"data.{key}": value for key, value in _data_of(found.config, found.checkpoint).items()}
    )
    given = parser.parse_args(list(arguments))
    device = choose_device(given.device)
    with warnings.catch_warnings():
        # What the checkpoint was calibrated for before does not matter.
        warnings.filterwarnings("ignore", message=".*its calibration was fitted to")
        task = GlaViTUTask.from_checkpoint(
            given.checkpoint, given.inference, read_model(given.config)
        )
    if given.data.root is None:
        raise InputError(
            f"{given.checkpoint}: there is no config.yaml of its run, which would tell where the "
            "data is; give --data.root, or the configuration of a run with --config"
        )
    folder = Path(given.output) if given.output else run_of(given.checkpoint)
    # Two at once would put the curve of one beside the figures of the other.
    with opened(folder):
        _calibrate(given, task.to(device), folder)


def _calibrate(given: Any, task: GlaViTUTask, folder: Path) -> None:
    data = GlacierDataModule(
        **given.data.as_dict(),
        features=task.features,
        location=task.location,
        patch_size=task.image_size,
    )
    tiles = data.whole_tiles(given.split)
    fitted = calibrate(task, tiles, given.method, given.per_region)
    files = write_calibration(folder, fitted, given.checkpoint, given.split)
    put_calibration(given.checkpoint, fitted.calibration)
    print_scores(fitted.scores, f"Error of confidence on {given.split} tiles ({given.method})")
    for path in (*files, given.checkpoint):
        print(f"  {path}")


def run_of(checkpoint: str | Path) -> Path:
    """Return the folder of the run that a checkpoint lies in.

    Args:
        checkpoint: Path of a checkpoint; where it lies in no run, its own folder is returned.
    """
    folder = Path(checkpoint).parent
    return folder.parent if folder.name == "checkpoints" else folder


def _parser() -> Any:
    parser = Parser(prog="glavitu calibrate", description=DESCRIPTION)
    parser.add_argument(
        "--checkpoint",
        required=True,
        metavar="CKPT",
        help="trained model, from `glavitu fit` or `glavitu import-keras`, to put the curve into",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="configuration of a run whose part `data` is used where an option of the data is not "
        "given; by default config.yaml in the folder of the checkpoint's run, if there is one. A "
        "model of your own is built as it says, where it is given",
    )
    parser.add_argument(
        "--method",
        choices=list(CALIBRATORS),
        default="kernel_ridge",
        help="kernel_ridge is the published one",
    )
    parser.add_argument(
        "--per-region",
        action="store_true",
        help="fit one more curve to each region; unknown regions, and those without tiles, take "
        "that of all",
    )
    parser.add_argument(
        "--split",
        choices=["train", "val", "test"],
        default="val",
        help="part of the data to fit to; scores on the same tiles are too good",
    )
    parser.add_argument(
        "--inference",
        nargs="+",
        default=[],
        metavar="HOW",
        help="calibrate the mean of several predictions, as the same option of `glavitu map`",
    )
    parser.add_argument(
        "--device",
        default="auto",
        help="cpu, cuda, cuda:N or mps; auto takes a GPU where there is one",
    )
    parser.add_argument(
        "--output", metavar="DIR", help="folder for the files; by default that of the run"
    )
    parser.add_class_arguments(
        GlacierDataModule, "data", instantiate=False, skip=SKIPPED | {"root"}
    )
    parser.add_argument("--data.root", metavar="ROOT", help="folder of the data")
    return parser


def _data_of(config: str | None, checkpoint: str | None) -> dict[str, Any]:
    """Read the data's options from a configuration, or from that of the checkpoint's run."""
    path = Path(find_config(config)) if config else run_of(checkpoint or "") / "config.yaml"
    if not config and not (checkpoint and path.is_file()):
        return {}
    try:
        options = read_yaml(path)["data"]
        known = inspect.signature(GlacierDataModule).parameters.keys() - SKIPPED
        return {key: value for key, value in options.items() if key in known}
    except (KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: is no configuration with a part `data`; give config.yaml of a run ({reason})"
        ) from error
