"""Building the models that the task trains.

A new architecture of our own is a line of :data:`ARCHITECTURES`. A model may also be any module
that maps images to logits; what it may tell of itself beside that:

- ``training_loss(loss, image, mask, location)``: how its loss is made up, where it has more than
  one head (:meth:`glavitu.models.GlaViTU.training_loss`);
- ``class_heads``: names of its modules whose shape depends on the number of classes.
"""

import inspect
import pydoc
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from glavitu.errors import InputError, check_number
from glavitu.features import FeatureLike
from glavitu.models import FusedSegmenter, GlaViTU
from glavitu.regions import LOCATION_SIZES

#: Our own architectures; other names are those of segmentation-models-pytorch, behind our fusion.
ARCHITECTURES: dict[str, type[nn.Module]] = {"glavitu": GlaViTU}

#: Packages whose classes are built by name. A checkpoint is data: it shall not say what code of
#: others is run, nor build what opens files, as a task does.
TRUSTED = ("glavitu.models", "segmentation_models_pytorch")


def build_model(
    features: Sequence[FeatureLike],
    model: str | nn.Module,
    model_args: Mapping[str, Any],
    options: Mapping[str, Any],
) -> nn.Module:
    """Build a model by its name, or take a module as it is.

    Args:
        features: Feature groups in the order of the image's channels.
        model: A key of :data:`ARCHITECTURES`, an architecture of segmentation-models-pytorch, which
            is put behind our fusion, or the path of a class in one of :data:`TRUSTED`, which is
            built of its arguments alone; or a module.
        model_args: Further arguments.
        options: What the task decides of the model, by the names of its arguments: num_classes,
            location, image_size and deep_supervision.

    Raises:
        InputError: If the location or an argument is unknown, the class is none of these, or a
            module cannot be told the location.
    """
    location = options["location"]
    if location is not None and location not in LOCATION_SIZES:
        raise InputError(
            f"unknown location {location!r}; choose from {', '.join(LOCATION_SIZES)}, or leave it "
            "out"
        )
    if isinstance(model, nn.Module):
        _check_module(model, location)
        return model
    if is_class_path(model):
        return _build_class(model, model_args)
    chosen = ARCHITECTURES.get(model, FusedSegmenter)
    known = set(inspect.signature(chosen).parameters)
    offered = {
        "features": features,
        "num_classes": options["num_classes"],
        "location_size": None if location is None else LOCATION_SIZES[location],
        "image_size": options["image_size"],
        "deep_supervision_weight": options["deep_supervision"],
        "architecture": model,
    }
    fixed = {key: value for key, value in offered.items() if key in known}
    known -= set(fixed)
    unknown = sorted(set(model_args) - known)
    if unknown:
        raise InputError(
            f"model_args {', '.join(unknown)} are not known to model {model!r}; it takes "
            f"{', '.join(sorted(known))}"
        )
    return _build(chosen, model, {**fixed, **model_args})


def is_class_path(name: str) -> bool:
    """Tell whether a model's or a loss's name is that of a class, as that of a module given is."""
    return "." in name


def is_trusted(name: str) -> bool:
    """Tell whether a model is built by its name alone."""
    return not is_class_path(name) or name.startswith(tuple(f"{package}." for package in TRUSTED))


def class_path(module: nn.Module) -> str:
    """Name the class of a module, as ``segmentation_models_pytorch.decoders.unet.model.Unet``."""
    return f"{type(module).__module__}.{type(module).__qualname__}"


def known_arguments(module: nn.Module) -> dict[str, Any] | None:
    """Find what a module was built of.

    Models of segmentation-models-pytorch tell it, and all that are a ``PyTorchModelHubMixin``.

    Returns:
        Plain values, None where they are not known.
    """
    arguments = getattr(module, "_hub_mixin_config", None)
    if not isinstance(arguments, dict) or not is_plain(arguments):
        return None
    # As lists, which every kind of file gives back.
    return {k: list(v) if isinstance(v, tuple) else v for k, v in arguments.items()}


def is_plain(value: Any) -> bool:
    """Tell whether a value is made of numbers, words, lists and mappings alone."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    return value is None or type(value) in (str, int, float, bool)


def check_logits(logits: Any, image: Tensor, num_classes: int) -> None:
    """Check that a model gave logits of each pixel.

    Args:
        logits: What it gave.
        image: (B, C, H, W), what it saw.
        num_classes: Number of classes.

    Raises:
        InputError: If they are not (B, num_classes, H, W).
    """
    expected = (image.shape[0], num_classes, *image.shape[-2:])
    if not isinstance(logits, Tensor) or tuple(logits.shape) != expected:
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise InputError(
            f"the model gives {found} of images {tuple(image.shape)}; expected logits {expected}, "
            "for num_classes (model.num_classes) and each pixel"
        )


def set_momentum(model: nn.Module, momentum: float) -> None:
    """Set the share of a batch in the running statistics of all batch norms.

    Raises:
        InputError: If it is not above 0 and at most 1.
    """
    check_number("batch_norm_momentum", momentum, above=0, most=1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = momentum


def _check_module(module: nn.Module, location: str | None) -> None:
    """Check that a module that was given can be told the place, where that is wanted."""
    try:
        inspect.signature(module.forward).bind("image", *[] if location is None else ["location"])
    except TypeError as error:
        wanted = "an image" if location is None else f"an image and a location ({location})"
        raise InputError(
            f"the model {class_path(module)} cannot be called with {wanted}: {error}; change its "
            "forward, or what location (data.location) is"
        ) from error


def _build_class(path: str, arguments: Mapping[str, Any]) -> nn.Module:
    chosen: Any = pydoc.locate(path) if is_trusted(path) else None
    ours = isinstance(chosen, type) and is_trusted(f"{chosen.__module__}.{chosen.__name__}")
    if not (ours and issubclass(chosen, nn.Module)):
        raise InputError(
            f"the model {path} is not built by its name, since only classes of "
            f"{' and '.join(TRUSTED)} are; give the module itself: model=... in Python, or in a "
            "configuration model.model with class_path and init_args"
        )
    if "encoder_weights" in inspect.signature(chosen).parameters:
        arguments = {**arguments, "encoder_weights": None}  # its weights come from the checkpoint
    return _build(chosen, path, arguments)


def _build(chosen: Callable[..., nn.Module], name: str, arguments: Mapping[str, Any]) -> nn.Module:
    try:
        return chosen(**arguments)
    except InputError:
        raise
    except Exception as error:  # what others' classes make of numbers that cannot be
        given = {key: value for key, value in arguments.items() if is_plain(value)}
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise InputError(f"the model {name} cannot be built of {given}: {reason}") from error
