"""Reading checkpoints, and writing one from imported weights."""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from glavitu.errors import InputError
from glavitu.features import FeatureGroup, FeatureLike, resolve_features
from glavitu.files import when_complete
from glavitu.regions import LOCATION_SIZES

if TYPE_CHECKING:
    from glavitu.tasks.glavitu import GlaViTUTask


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
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise InputError(
            f"{path}: cannot be read as a checkpoint; it is truncated or of another kind "
            f"({str(error).splitlines()[0]})"
        ) from error
    known = isinstance(checkpoint, dict) and "state_dict" in checkpoint
    if not known or "features" not in checkpoint.get("hyper_parameters", {}):
        raise InputError(
            f"{path}: is not a glavitu checkpoint; give one that `glavitu fit` or `glavitu "
            "import-keras` wrote"
        )
    return dict(checkpoint)


def check_features(
    stored: Sequence[FeatureLike], wanted: Sequence[FeatureGroup], source: str
) -> None:
    """Raise an InputError unless a checkpoint's feature groups are those wanted."""
    groups = resolve_features(stored)
    if groups == tuple(wanted):
        return
    has, wants = ([group.name for group in g] for g in (groups, wanted))
    if has == wants:
        odd = next(a.name for a, b in zip(groups, wanted, strict=True) if a != b)
        raise InputError(
            f"{source}: describes the feature group {odd!r} otherwise than the data does "
            "(channels, minimum, maximum or transforms); use the same description for both"
        )
    raise InputError(
        f"{source}: was trained with the features {', '.join(has)}, but the data gives "
        f"{', '.join(wants)}; set data.features to {has}, or use another checkpoint"
    )


def import_keras(
    weights: str | Path, features: Sequence[FeatureLike], output: str | Path
) -> "GlaViTUTask":
    """Turn published Keras weights into a checkpoint for testing, mapping and finetuning.

    Args:
        weights: HDF5 file written by Keras' ``save_weights``.
        features: Feature groups in the order in which the model was trained.
        output: Checkpoint to write.

    Returns:
        The task that was written.

    Raises:
        InputError: If the file does not fit; see :meth:`glavitu.models.GlaViTU.from_keras`.
    """
    from lightning.pytorch import Trainer

    from glavitu.models import GlaViTU
    from glavitu.tasks.glavitu import GlaViTUTask

    model = GlaViTU.from_keras(weights, features)
    kinds = {size: kind for kind, size in LOCATION_SIZES.items()}
    if model.location_size is not None and model.location_size not in kinds:
        raise InputError(
            f"{weights}: its location encoding reads {model.location_size} numbers; expected 12 "
            "(region encoding) or 4 (coordinate encoding)"
        )
    location = None if model.location_size is None else kinds[model.location_size]
    task = GlaViTUTask(model.features, num_classes=model.num_classes, location=location)
    task.model.load_state_dict(model.state_dict())
    trainer = Trainer(logger=False, accelerator="cpu", enable_checkpointing=False)
    trainer.strategy.connect(task)
    with when_complete(Path(output)) as partial:
        trainer.save_checkpoint(partial, weights_only=True)
    return task.eval()
