"""What a checkpoint keeps of a task's arguments: plain values alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from glavitu.errors import InputError, check_number
from glavitu.features import FeatureGroup
from glavitu.models.build import class_path, is_class_path, is_plain, is_trusted, known_arguments


def check_hyperparameters(options: Mapping[str, Any]) -> None:
    """Check the numbers among a task's arguments.

    Args:
        options: The arguments by name.

    Raises:
        InputError: If one cannot be.
    """
    size = options["image_size"]
    check_number("image_size (data.patch_size)", size, 1, whole=True)
    if size % 16:
        raise InputError(
            f"the window (data.patch_size, or image_size) is {size} pixels; give a multiple of 16, "
            f"such as {max(16, size // 16 * 16)}"
        )
    check_number("num_classes (glacier is class 1)", options["num_classes"], 2, whole=True)
    check_number("lr", options["lr"], above=0)
    for key in ("cycle_epochs", "cycle_growth"):
        check_number(key, options[key], 1, whole=True)
    for key in ("gamma", "deep_supervision"):
        check_number(key, options[key], 0)
    check_number("label_smoothing", options["label_smoothing"], 0, below=1)


def class_name(value: str | nn.Module) -> str:
    """Name a model or a loss: a name is one already, of a module it is that of its class."""
    return value if isinstance(value, str) else class_path(value)


def plain_hyperparameters(
    collected: Mapping[str, Any], features: Sequence[FeatureGroup], model: str | nn.Module
) -> dict[str, Any]:
    """Turn what Lightning collected of a task's arguments into plain values.

    Modules become the names of their classes, and a model's arguments are kept where they are
    known: from the configuration, from ``model_args`` or from the model itself.

    Args:
        collected: Arguments by name. A module of a configuration is ``class_path`` and
            ``init_args``.
        features: The feature groups.
        model: What was given as the model.

    Returns:
        The same arguments; ``model_args`` is None where those of a module are not known.

    Raises:
        InputError: If an argument of the model is no plain value.
    """
    plain = {**collected, "features": [group.to_dict() for group in features]}
    arguments = plain["model_args"]
    if isinstance(plain["model"], dict):
        arguments = plain["model"].get("init_args", {})
    elif not isinstance(model, str) and arguments is None:
        arguments = known_arguments(model)
    elif arguments is None:
        arguments = {}
    for key in ("model", "loss"):
        if isinstance(plain[key], dict):
            plain[key] = plain[key]["class_path"]
    if not isinstance(model, str):
        plain["model"] = class_path(model)
    if not is_plain(arguments):
        raise InputError(
            f"model_args {arguments} are not all numbers, words, lists and mappings, which a "
            "checkpoint could keep; give such values"
        )
    # What the encoder started from is in the checkpoint's weights already.
    own = {key: value for key, value in (arguments or {}).items() if key != "encoder_weights"}
    plain["model_args"] = None if arguments is None else own
    return plain


def is_buildable(stored: Mapping[str, Any]) -> bool:
    """Tell whether a model is built from the hyperparameters alone."""
    return is_trusted(stored["model"]) and stored["model_args"] is not None


def check_buildable(stored: Mapping[str, Any], source: str) -> None:
    """Check that the model of a checkpoint can be built from it alone.

    Args:
        stored: Hyperparameters of the checkpoint.
        source: What to call the checkpoint in messages.

    Raises:
        InputError: If it is a module of others', or its arguments are not known.
    """
    if is_buildable(stored):
        return
    name = stored["model"]
    given = f"GlaViTUTask.from_checkpoint({source!r}, model={name.rpartition('.')[2]}(...))"
    why = (
        "what it was built of is not known"
        if is_trusted(name)
        else "code is not imported because a checkpoint names it"
    )
    raise InputError(
        f"{source}: its model {name} is not in the checkpoint as a name to build it from, since "
        f"{why}; give the module, {given}, or on the command line the configuration that names it "
        "(--config with `test` and others, --model with `map`)"
    )


def modules_of_config(stored: Mapping[str, Any], options: Mapping[str, Any]) -> set[str]:
    """Find what a configuration gives as the same class that the checkpoint was trained with.

    Args:
        stored: Hyperparameters of the checkpoint.
        options: Those of the configuration; modules are ``class_path`` and ``init_args``.

    Returns:
        The arguments that the configuration builds, and the checkpoint need not.
    """
    given = set()
    for key in ("model", "loss"):
        path = getattr(options[key], "class_path", None)
        if path is not None and is_class_path(stored.get(key, "")):
            given |= {key, "model_args"} if key == "model" else {key}
    return given


def check_images(features: Sequence[FeatureGroup], size: int, data: Any, training: bool) -> None:
    """Check that a data module gives the images that a task was built for.

    Args:
        features: The task's feature groups.
        size: Side of the task's windows in pixels.
        data: A data module; only what it tells of its ``features`` and ``size`` is checked.
        training: Whether windows are trained on; whole tiles may have any size.

    Raises:
        InputError: If groups, their order or description, or the size of windows differ.
    """
    theirs = getattr(data, "features", None)
    if theirs is not None and tuple(theirs) != tuple(features):
        given, wanted = (", ".join(group.name for group in groups) for groups in (theirs, features))
        differ = "in this order" if given != wanted else "described otherwise"
        raise InputError(
            f"the data gives the features {given}, but the model was built for {wanted}, {differ}; "
            "give data module and task the same features"
        )
    given_size = getattr(data, "size", size)
    if training and given_size != size:
        raise InputError(
            f"the data gives windows of {given_size} pixels (patch_size), but the model maps those "
            f"of {size} (image_size); give both the same"
        )
