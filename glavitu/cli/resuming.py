"""Going on with a run: its last checkpoint, and whether it is still asked for as it was."""

import inspect
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.cli import instantiate_class

from glavitu.errors import InputError
from glavitu.tasks import GlaViTUTask
from glavitu.tasks.checkpoints import read_checkpoint

#: Folders of runs as Lightning numbers them.
VERSION = re.compile(r"version_(\d+)")

#: What decides what a model computes; the other arguments of a task decide how it is trained.
OF_THE_MODEL = ("model", "model_args", "num_classes")


def check_unchanged(
    subcommand: str,
    stored: Mapping[str, Any],
    options: Namespace,
    arguments: Sequence[str],
    source: str,
) -> None:
    """Check that a command asks for nothing that its checkpoint decides otherwise.

    The optimiser and its schedule go on as they were, so that a training which is resumed cannot
    have another learning rate, and shall not seem to have one.

    Args:
        subcommand: ``'fit'`` or another; those that do not train ask for what the model computes.
        stored: Hyperparameters of the checkpoint, without what the data decides.
        options: Those of the task as they are asked for. What is the default counts as not asked
            for, unless it is an argument.
        arguments: The command line.
        source: What to call the checkpoint in messages.

    Raises:
        InputError: If one differs.
    """
    defaults = inspect.signature(GlaViTUTask).parameters
    named = {argument.partition("=")[0] for argument in arguments}
    for key, value in stored.items():
        if key not in defaults or (subcommand != "fit" and key not in OF_THE_MODEL):
            continue
        asked, trained = _comparable(options[key]), _comparable(value)
        option = f"--model.{key}"
        given = any(f"{name}.".startswith(f"{option}.") for name in named)
        if asked == trained or (asked == _comparable(defaults[key].default) and not given):
            continue
        remedy = (
            "leave it out to go on as it was trained, or start a new training from its weights "
            "with --model.initial_weights"
            if subcommand == "fit"
            else "leave it out, or use another checkpoint"
        )
        raise InputError(f"{source}: was trained with {option} {trained}, not {asked}; {remedy}")


def _comparable(value: Any) -> Any:
    value = value.as_dict() if isinstance(value, Namespace) else value
    if value is None or isinstance(value, dict):
        # What an encoder started from is no part of a checkpoint.
        return {k: v for k, v in (value or {}).items() if k != "encoder_weights"} or None
    return list(value) if isinstance(value, tuple) else value


def find_last(options: Namespace) -> Path:
    """Find the last checkpoint of the newest of the runs that a command's options describe.

    That is the one with the highest version: clocks may have been wrong.

    Args:
        options: Of a subcommand; their logger tells the folder of the runs.

    Raises:
        InputError: If there is none, or there are several and it is not known which is the newest.
    """
    last, logger = options.checkpoint_last, first_logger(options)
    name = re.sub(r"\{.*?\}", "*", last.filename or "*") + ".ckpt"
    folder = Path(options.trainer.default_root_dir)
    if last.dirpath is not None:
        folder = Path(last.dirpath)
    elif isinstance(logger, Namespace):
        arguments = logger.init_args.as_dict()
        made = instantiate_class((), {"class_path": logger.class_path, "init_args": arguments})
        folder = Path(made.save_dir or folder, str(made.name))
        version = arguments.get("version")
        version = f"version_{version}" if isinstance(version, int) else version or "*"
        name = f"{version}/checkpoints/{name}"
    else:
        name = f"lightning_logs/*/checkpoints/{name}" if logger else f"checkpoints/{name}"
    found = _newest(list(folder.glob(name)))
    if found is None:
        raise InputError(
            f"--checkpoint last: there is no {folder / name}; give the run's logger the same "
            "folder and name as when it was trained (trainer.logger), or the path of a checkpoint"
        )
    return found


def _newest(paths: Sequence[Path]) -> Path | None:
    """Return the checkpoint of the run, `version_N/checkpoints/NAME.ckpt`, with the highest N."""
    runs = [path.parent.parent.name for path in paths]
    numbers = [int(found[1]) if (found := VERSION.fullmatch(run)) else -1 for run in runs]
    newest = [path for path, n in zip(paths, numbers, strict=True) if n == max(numbers)]
    if len(newest) < 2:
        return newest[0] if newest else None
    if max(numbers) < 0 and len(set(runs)) > 1:
        raise InputError(
            f"--checkpoint last: there are several runs without a version, {', '.join(runs)}, and "
            f"it is not known which is the newest; give the path of one, such as {paths[0]}, or "
            "its version (trainer.logger.init_args.version)"
        )
    # Of one run, such as with {epoch} in their names, the one that has trained longest.
    return max(newest, key=lambda path: int(read_checkpoint(path)["global_step"]))


def first_logger(options: Namespace) -> Any:
    """Return what a command's options say of its first logger."""
    loggers = options.trainer.logger
    return loggers[0] if isinstance(loggers, list) else loggers
