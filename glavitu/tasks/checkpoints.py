"""Reading checkpoints, and whether they fit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from glavitu.errors import InputError
from glavitu.features import resolve_features


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint to the CPU without running any code in it.

    Args:
        path: Checkpoint of Lightning's or of ``glavitu import-keras``.

    Raises:
        InputError: If the file is missing, damaged or not a glavitu checkpoint.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint; train one with `glavitu fit`")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what is not a checkpoint fails in any way
        raise InputError(
            f"{path}: cannot be read as a checkpoint; it is truncated or of another kind, so give "
            "one that `glavitu fit` or `glavitu import-keras` wrote"
        ) from error
    known = isinstance(checkpoint, dict) and "state_dict" in checkpoint
    if not known or "features" not in checkpoint.get("hyper_parameters", {}):
        raise InputError(
            f"{path}: is not a glavitu checkpoint; give one that `glavitu fit` or `glavitu "
            "import-keras` wrote"
        )
    return dict(checkpoint)


def check_fit(stored: Mapping[str, Any], wanted: Mapping[str, Any], source: str) -> None:
    """Check that a checkpoint was trained on data of the same kind.

    Args:
        stored: Hyperparameters of the checkpoint.
        wanted: Hyperparameters of the task that is to have its weights.
        source: What to call the checkpoint in messages.

    Raises:
        InputError: If features, location or image size differ.
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
    for key, option in (("location", "data.location"), ("image_size", "data.patch_size")):
        if stored[key] != wanted[key]:
            raise InputError(
                f"{source}: was trained with {key} {stored[key]}, but here it is {wanted[key]}; "
                f"set {option} to {stored[key]}, or use another checkpoint"
            )
