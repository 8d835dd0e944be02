"""Building the models that the task trains."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from glavitu.errors import InputError
from glavitu.features import FeatureLike
from glavitu.models import FusedSegmenter, GlaViTU
from glavitu.regions import LOCATION_SIZES


def build_model(
    features: Sequence[FeatureLike],
    model: str,
    model_args: Mapping[str, Any],
    num_classes: int,
    location: str | None,
    image_size: int,
) -> GlaViTU | FusedSegmenter:
    """Build GlaViTU, or a baseline of segmentation-models-pytorch by its architecture's name.

    Raises:
        InputError: If the location or an argument is unknown.
    """
    if location is not None and location not in LOCATION_SIZES:
        raise InputError(
            f"unknown location {location!r}; choose from {', '.join(LOCATION_SIZES)}, or leave it "
            "out"
        )
    location_size = None if location is None else LOCATION_SIZES[location]
    chosen: type[GlaViTU] | type[FusedSegmenter]
    fixed: dict[str, Any]
    if model == "glavitu":
        chosen, fixed = GlaViTU, {"image_size": image_size}
    else:
        chosen, fixed = FusedSegmenter, {"architecture": model}
    known = set(inspect.signature(chosen).parameters)
    known -= {"features", "num_classes", "location_size", *fixed}
    unknown = sorted(set(model_args) - known)
    if unknown:
        raise InputError(
            f"model_args {', '.join(unknown)} are not known to model {model!r}; it takes "
            f"{', '.join(sorted(known))}"
        )
    return chosen(features, num_classes, location_size, **fixed, **model_args)


def set_momentum(model: nn.Module, momentum: float) -> None:
    """Set the share of a batch in the running statistics of all batch norms.

    Raises:
        InputError: If it is not above 0 and at most 1.
    """
    if not 0 < momentum <= 1:
        raise InputError(
            f"batch_norm_momentum is {momentum}; give a number above 0 and at most 1, such as 0.1"
        )
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = momentum
