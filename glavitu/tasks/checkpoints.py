"""Reading and writing checkpoints, and whether they fit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from glavitu._version import __version__
from glavitu.confidence.calibration import Calibration, describe_inference
from glavitu.errors import InputError
from glavitu.features import resolve_features
from glavitu.files import when_complete
from glavitu.files.strangers import check_regular
from glavitu.models.build import class_path
from glavitu.models.inference import Inference
from glavitu.tasks.stored import check_archive, check_contents

#: What depends on the number of classes where a model does not say so, as
#: segmentation-models-pytorch names it.
CLASS_HEADS = ("segmentation_head",)

#: Parameters of the location encoding.
LOCATION = ("model.fusion.location.",)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint to the CPU without running any code in it.

    Args:
        path: Checkpoint of Lightning's or of ``glavitu import-keras``.

    Raises:
        InputError: If the file is missing, damaged or not a glavitu checkpoint, or one of its
            weights is no number.
    """
    path = Path(path)
    check_regular(path)
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint; train one with `glavitu fit`")
    check_archive(path)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what is not a checkpoint fails in any way
        raise InputError(
            f"{path}: cannot be read as a checkpoint; it is truncated or of another kind, so give "
            "one that `glavitu fit` or `glavitu import-keras` wrote"
        ) from error
    checkpoint = check_contents(checkpoint, path)
    check_numbers(checkpoint["state_dict"], str(path))
    return checkpoint


def check_numbers(weights: Mapping[str, Any], source: str) -> None:
    """Check that weights are numbers.

    Args:
        weights: Tensors by name. What is not one is left to others; minus infinity is a number,
            since masks of attention are kept so.
        source: What to call the weights in messages.

    Raises:
        InputError: If one is NaN or infinite.
    """
    floats = {k: v for k, v in weights.items() if isinstance(v, Tensor) and v.is_floating_point()}
    wrong = [k for k, v in floats.items() if bool((v.isnan() | v.isposinf()).any())]
    if wrong:
        raise InputError(
            f"{source}: {len(wrong)} of its {len(weights)} weights are not numbers (NaN or "
            f"infinite), such as {wrong[0]}; what trained it diverged, so use an earlier "
            "checkpoint, or train again with a lower learning rate (--model.lr)"
        )


def read_calibration(
    checkpoint: Mapping[str, Any], inference: Inference, source: str
) -> Calibration | None:
    """Read the calibration of a checkpoint, and warn where it was fitted to other predictions.

    Args:
        checkpoint: What the file holds.
        inference: What probabilities are the mean of now.
        source: What to call the checkpoint in messages.

    Returns:
        None where it was not calibrated.
    """
    stored = checkpoint.get("calibration")
    if stored is None:
        return None
    calibration = Calibration.from_dict(stored)
    now = describe_inference(inference)
    if calibration.inference != now:
        fitted, now = (words or "single" for words in (calibration.inference, now))
        rank_zero_warn(
            f"{source}: its calibration was fitted to {fitted} predictions, but these are {now}, "
            "so that their confidence is off; run `glavitu calibrate` with the same --inference"
        )
    return calibration


def why_unloadable(checkpoint: Mapping[str, Any], model: nn.Module | None) -> str:
    """Say why a checkpoint's task cannot be built or does not take its weights.

    Args:
        checkpoint: What the file holds.
        model: The module that was given to take the weights, where one was.
    """
    if model is not None:
        stored = checkpoint["hyper_parameters"]
        return (
            f"its weights do not fit the {class_path(model)} that was given as its model; give a "
            f"{stored['model']} as it was trained, with the arguments {stored['model_args']}"
        )
    written = checkpoint.get("glavitu_version", "unknown")
    if written == __version__:
        return (
            "its model cannot be built of what it says; it is damaged, or was changed, so give the "
            "file as it was written"
        )
    return (
        f"cannot be loaded by glavitu {__version__}; it was written by version {written}, so try "
        "that one"
    )


def write_checkpoint(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint that appears when it is complete.

    Args:
        checkpoint: What to write.
        path: Where to.

    Raises:
        OSError: If it cannot be written, as on a full disk.
    """
    with when_complete(path) as partial, partial.open("wb") as file:
        try:
            torch.save(dict(checkpoint), file)
        except RuntimeError as error:
            # PyTorch's archive hides why it is not whole.
            if not isinstance(error.__context__, OSError):
                raise
            raise OSError(error.__context__.errno, error.__context__.strerror) from error


class CompleteCheckpoints(TorchCheckpointIO):
    """Writes checkpoints that appear under their names only when they are complete.

    Lightning's own are moved from the system's temporary folder: where that is another file system,
    a run that is killed leaves a truncated file under the final name.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint.

        Args:
            checkpoint: What to write.
            path: Where to, a local path or a URL.
            storage_options: Not used.
        """
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
        else:
            write_checkpoint(checkpoint, Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove one that is not among the best any more.

        Its path may come from a checkpoint that is resumed; Lightning looks whether it begins with
        the run's folder, and here it does not lead out of it again.

        Args:
            path: Of the file.
        """
        if ".." not in Path(path).parts:
            super().remove_checkpoint(path)


def start_from(task: LightningModule, path: str | Path) -> None:
    """Load the weights of a checkpoint into a new task, as far as they fit its purpose.

    Where the number of classes or the location differs, the heads or the location encoding keep
    their untrained weights, and a warning says so.

    Args:
        task: The task.
        path: Checkpoint of the same model on the same features.

    Raises:
        InputError: If the file is no checkpoint, or the model or the features differ.
    """
    checkpoint = read_checkpoint(path)
    stored = checkpoint["hyper_parameters"]
    check_data(stored, task.hparams, str(path))
    differing: tuple[str, ...] = ()
    changes = []
    if stored["num_classes"] != task.hparams["num_classes"]:
        heads = getattr(task.model, "class_heads", CLASS_HEADS)
        differing += tuple(f"model.{head}." for head in heads)
        changes.append(
            f"the heads start untrained, since there were {stored['num_classes']} classes and now "
            f"are {task.hparams['num_classes']}"
        )
    if stored["location"] != task.hparams["location"]:
        differing += LOCATION
        fate = "starts untrained" if task.hparams["location"] else "is dropped"
        changes.append(
            f"the location encoding {fate}, since location was {stored['location']} and now is "
            f"{task.hparams['location']}"
        )
    weights, own = (
        {key: value for key, value in state.items() if key.startswith("model.")}
        for state in (checkpoint["state_dict"], task.state_dict())
    )
    trained = {k: v for k, v in weights.items() if not k.startswith(differing)}
    untrained = {k: v for k, v in own.items() if k.startswith(differing)}
    kept = {k: v for k, v in task.state_dict().items() if k not in own}  # such as a loss's
    try:
        task.load_state_dict(kept | untrained | trained)
    except RuntimeError as error:
        raise InputError(
            f"{path}: its weights do not fit this model; give the same model and model_args that "
            f"it was made with, {stored}: {error}"
        ) from error
    if changes:
        rank_zero_warn(f"{path}: {'; '.join(changes)}; all other weights are loaded")


def check_fit(stored: Mapping[str, Any], wanted: Mapping[str, Any], source: str) -> None:
    """Check that a checkpoint can be gone on with on the data as it is.

    Args:
        stored: Hyperparameters of the checkpoint.
        wanted: Hyperparameters of the task that is to have its weights.
        source: What to call the checkpoint in messages.

    Raises:
        InputError: If features, location or image size differ.
    """
    check_data(stored, wanted, source)
    _check_equal("location", "data.location", stored, wanted, source)


def check_data(stored: Mapping[str, Any], wanted: Mapping[str, Any], source: str) -> None:
    """Check that a checkpoint was trained on images of the same kind.

    Args:
        stored: Hyperparameters of the checkpoint.
        wanted: Hyperparameters of the task that is to have its weights.
        source: What to call the checkpoint in messages.

    Raises:
        InputError: If features or image size differ.
    """
    groups, others = (resolve_features(options["features"]) for options in (stored, wanted))
    has, wants = ([group.name for group in g] for g in (groups, others))
    if has != wants:
        raise InputError(
            f"{source}: was trained with the features {', '.join(has)}, but the data gives "
            f"{', '.join(wants)}; set data.features to [{', '.join(has)}], or use another "
            "checkpoint"
        )
    for ours, theirs in zip(groups, others, strict=True):
        if ours != theirs:
            raise InputError(
                f"{source}: describes the feature group {ours.name!r} otherwise than the data does "
                f"({ours} against {theirs}); use the same description for both"
            )
    _check_equal("image_size", "data.patch_size", stored, wanted, source)


def _check_equal(
    key: str, option: str, stored: Mapping[str, Any], wanted: Mapping[str, Any], source: str
) -> None:
    if stored[key] != wanted[key]:
        raise InputError(
            f"{source}: was trained with {key} {stored[key]}, but here it is {wanted[key]}; set "
            f"{option} to {stored[key]}, or use another checkpoint"
        )
