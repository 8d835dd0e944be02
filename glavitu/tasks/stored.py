"""What a checkpoint may hold: it is a file, which may come from anybody or be damaged.

Nothing in it is run, and nothing it says is built before it is known to fit what it holds: a model
of the size that its weights have, in a form that Lightning can go on with.
"""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from glavitu.confidence.calibration import Calibration
from glavitu.errors import InputError
from glavitu.features import resolve_features

#: Hyperparameters that every task has, and what they are.
HYPERPARAMETERS: dict[str, tuple[type, ...]] = {
    "features": (list, tuple),
    "model": (str,),
    "model_args": (dict, type(None)),
    "num_classes": (int,),
    "location": (str, type(None)),
    "image_size": (int,),
}

#: Arguments that a task does not keep, since they name files or say how it is used.
NOT_KEPT = ("initial_weights", "inference", "compile", "_instantiator")

#: Keys by which a configuration names code.
CODE = {"class_path", "init_args"}

#: Arguments by which encoders of timm read weights, from a file or from the network.
WEIGHTS_FROM = ("checkpoint_path", "cache_dir", "pretrained")

#: What Lightning needs to go on, and what it is.
PROGRESS: dict[str, tuple[type, ...]] = {
    "epoch": (int,),
    "global_step": (int,),
    "loops": (dict,),
    "callbacks": (dict,),
    "optimizer_states": (list,),
    "lr_schedulers": (list,),
}

#: More values than any checkpoint has beside its weights, and deeper ones.
VALUES, DEPTH = 1_000_000, 50

WHERE_FROM = "give one that `glavitu fit` or `glavitu import-keras` wrote"


def check_archive(path: Path) -> None:
    """Check, before a checkpoint is read, that it is not larger in memory than as a file.

    Raises:
        InputError: If it is no archive as PyTorch writes it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise InputError(
            f"{path}: cannot be read as a checkpoint; it is truncated or of another kind, so "
            f"{WHERE_FROM} ({error})"
        ) from error
    size = sum(member.file_size for member in members)
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise InputError(f"{path}: is compressed, which no checkpoint is; {WHERE_FROM}")
    if size > path.stat().st_size:
        raise InputError(f"{path}: declares {size:,} bytes, more than it has; {WHERE_FROM}")


def check_contents(stored: Any, path: Path) -> dict[str, Any]:
    """Check that what a file holds is a checkpoint of a task.

    Args:
        stored: What was read.
        path: The file.

    Returns:
        The same, without hyperparameters that name other files and that no task keeps.

    Raises:
        InputError: If a key is missing, or a value of another kind, or one names code, a file or
            an address.
    """
    known = isinstance(stored, dict) and isinstance(stored.get("state_dict"), dict)
    options = stored.get("hyper_parameters") if known else None
    if not isinstance(options, dict) or "features" not in options:
        raise InputError(f"{path}: is not a glavitu checkpoint; {WHERE_FROM}")
    for name, weight in stored["state_dict"].items():
        if not isinstance(name, str) or not isinstance(weight, Tensor):
            raise _damaged(path, f"state_dict[{name!r:.80}] is no tensor")
        _check_tensor(weight, f"its weight {name}", path)
    values = {key: value for key, value in stored.items() if key != "state_dict"}
    for number, (place, value) in enumerate(_walk(values)):
        if number > VALUES or len(place) > DEPTH:
            raise _damaged(path, "it holds more values than any checkpoint, or itself")
        if isinstance(value, Tensor):
            _check_tensor(value, f"the value {_shown(place)}", path)
    _check_kinds(options, HYPERPARAMETERS, "hyper_parameters", path)
    _check_reach(options, path)
    _check_sizes(stored["state_dict"], options, path)
    try:
        resolve_features(options["features"])
        if stored.get("calibration") is not None:
            Calibration.from_dict(stored["calibration"])
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise _damaged(
            path, f"features or calibration are not as they should be: {error}"
        ) from error
    kept = {key: value for key, value in options.items() if key not in NOT_KEPT}
    if kept["model_args"] is not None:  # what an encoder started from is in the weights already
        own = kept["model_args"].items()
        kept["model_args"] = {key: value for key, value in own if key != "encoder_weights"}
    return {**stored, "hyper_parameters": kept}


def check_progress(stored: Mapping[str, Any], path: str | Path) -> None:
    """Check that a training can go on from a checkpoint.

    Raises:
        InputError: If what Lightning needs is missing or of another kind.
    """
    _check_kinds(stored, PROGRESS, "", path)
    for key in ("epoch", "global_step"):
        if stored[key] < 0:
            raise _damaged(path, f"{key} is {stored[key]}")
    for place, value in _walk(stored["loops"]):
        if place[-1] in ("ready", "started", "processed", "completed") and not _is_count(value):
            raise _damaged(path, f"loops.{_shown(place)} is {value!r:.60}, but should be a count")
    for number, state in enumerate(stored["optimizer_states"]):
        if not isinstance(state, dict) or not {"state", "param_groups"} <= state.keys():
            raise _damaged(path, f"optimizer_states.{number} has no state and param_groups")
        _check_moments(state["state"], f"optimizer_states.{number}.state", path)


def _check_moments(state: Any, place: str, path: str | Path) -> None:
    """Check that an optimiser remembers the same of every weight, and numbers alone."""
    entries = list(state.values()) if isinstance(state, dict) else [state]
    for name, entry in zip(state if isinstance(state, dict) else "?", entries, strict=False):
        if not isinstance(entry, dict) or entry.keys() != entries[0].keys():
            raise _damaged(path, f"{place}.{name} differs from those of other weights")
        for key, value in entry.items():
            if not isinstance(value, Tensor | int | float | type(None)):
                raise _damaged(
                    path, f"{place}.{name}.{key} is {value!r:.60}, but should be numbers"
                )


def check_weights(stored: Mapping[str, Tensor], own: Mapping[str, Tensor], source: str) -> None:
    """Check that weights fit a module.

    Args:
        stored: Of a checkpoint.
        own: Of the module, of any device.
        source: What to call the checkpoint in messages.

    Raises:
        InputError: If some are missing, unknown, or of another shape.
    """
    # Others, such as of a loss, belong to modules that say themselves what they take.
    stored, own = (
        {name: weight for name, weight in weights.items() if name.startswith("model.")}
        for weights in (stored, own)
    )
    missing = [name for name in own if name not in stored]
    extra = [name for name in stored if name not in own]
    other = [name for name in own if name in stored and stored[name].shape != own[name].shape]
    found = []
    if missing:
        found.append(f"it has no {missing[0]}{_more(missing)}")
    if extra:
        found.append(f"the model has no {extra[0]}{_more(extra)}")
    if other:
        shapes = (tuple(stored[other[0]].shape), tuple(own[other[0]].shape))
        found.append(f"{other[0]} is {shapes[0]}, but {shapes[1]} in the model{_more(other)}")
    if found:
        raise InputError(
            f"{source}: its weights do not fit its model: {'; '.join(found)}. It is damaged, or "
            "its hyperparameters were changed; give the file as it was written"
        )


def _check_tensor(tensor: Tensor, what: str, path: Path) -> None:
    if tensor.layout is not torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        raise _damaged(path, f"{what} is no plain tensor")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise _damaged(path, f"{what} has the shape {tuple(tensor.shape)}, and fewer values stored")


def _check_kinds(
    values: Mapping[str, Any], kinds: Mapping[str, tuple[type, ...]], where: str, path: str | Path
) -> None:
    for key, kind in kinds.items():
        name = f"{where}.{key}".strip(".")
        if key not in values:
            raise _damaged(path, f"it has no {name}")
        if not isinstance(values[key], kind) or isinstance(values[key], bool):
            names = " or ".join("None" if k is type(None) else k.__name__ for k in kind)
            raise _damaged(path, f"{name} is {values[key]!r:.60}, but should be {names}")


def _check_reach(options: Mapping[str, Any], path: Path) -> None:
    """Check that hyperparameters name no code, and a model's arguments no file and no address."""
    if not isinstance(options.get("loss", ""), str):
        raise _damaged(path, f"hyper_parameters.loss is {options['loss']!r:.60}, but no name")
    for place, _ in _walk(options):
        if place[-1] in CODE:
            raise _damaged(path, f"hyper_parameters.{_shown(place)} would name code")
    for place, value in _walk(options["model_args"] or {}):
        key, named = str(place[0]), isinstance(value, str) and set(value) & set(":/\\")
        if key != "encoder_weights" and (named or key.startswith(WEIGHTS_FROM)):
            raise InputError(
                f"{path}: its model would be built of {_shown(place)}={value!r:.60}, which names a "
                "file or an address; a checkpoint opens nothing else, give one that holds all"
            )


def _check_sizes(weights: Mapping[str, Tensor], options: Mapping[str, Any], path: Path) -> None:
    """Check that a model is no larger than its weights, before memory is asked for it."""
    largest = max([len(weights), *(size for weight in weights.values() for size in weight.shape)])
    told = {"num_classes": options["num_classes"], **(options["model_args"] or {})}
    for name, value in told.items():
        if isinstance(value, int) and value > max(largest, 2):
            raise _damaged(path, f"{name} is {value}, but no weight is that large")
    total = sum(weight.numel() for weight in weights.values())
    size = options["image_size"]
    if size < 16 or size % 16 or (size > 4096 and (size // 16) ** 2 > total):
        raise _damaged(path, f"image_size is {size}, but no model with its weights has that")


def _walk(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """List nested values with their places, each as often as it is met."""
    stack = [(place, value)]
    while stack:
        place, value = stack.pop()
        if place:
            yield place, value
        if isinstance(value, dict):
            stack += [((*place, key), item) for key, item in value.items()]
        elif isinstance(value, list | tuple | set):
            stack += [((*place, number), item) for number, item in enumerate(value)]


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _shown(place: tuple[Any, ...]) -> str:
    return ".".join(map(str, place))


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def _damaged(path: str | Path, what: str) -> InputError:
    return InputError(f"{path}: is damaged as a checkpoint: {what}; {WHERE_FROM}")
