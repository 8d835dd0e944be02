"""Loading the published Keras weights.

A file that Keras' ``save_weights`` wrote lists its layers in order, and the weights of each layer
in order: trainable ones first, then running statistics. The numbers in the names differ from file
to file, so weights are matched by order and checked by shape. GlaViTU registers its modules in the
same order, which makes the expected list a walk over its modules.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from glavitu.errors import InputError
from glavitu.files.hdf5 import DAMAGE, array_fault, link_fault, open_hdf5, room_fault
from glavitu.models.setr import Attention, PositionalEmbedding

Array = npt.NDArray[np.float32]
AnyModel = TypeVar("AnyModel", bound=nn.Module)


@dataclass
class Stored:
    """A weight of the file: its layer, name and values."""

    layer: str
    name: str
    values: Array


@dataclass
class Expected:
    """A weight of the model: its name, its tensor and the shape Keras gives it."""

    name: str
    tensor: Tensor
    shape: tuple[int, ...]

    def fill(self, values: Array) -> None:
        """Copy values of Keras' shape into the tensor."""
        array = torch.from_numpy(values)
        if self.tensor.ndim == 4:  # (height, width, in, out) to (out, in, height, width)
            out, channels, height, width = self.tensor.shape
            array = array.reshape(height, width, channels, out).permute(3, 2, 0, 1)
        elif self.name.endswith("weight") and self.tensor.ndim == 2:  # (in, out) to (out, in)
            array = array.reshape(self.tensor.shape[1], self.tensor.shape[0]).T
        with torch.no_grad():
            self.tensor.copy_(array.reshape(self.tensor.shape))


def load_keras(path: str | Path, build: Callable[[int, int | None], AnyModel]) -> AnyModel:
    """Fill GlaViTU from a published weight file; see :meth:`GlaViTU.from_keras`.

    Args:
        path: The file.
        build: Makes the model for a number of classes, and a length of the location vector or None.
    """
    path = Path(path)
    layers = _read(path)
    stored = [weight for layer in layers for weight in layer]
    # The location encoding starts with a dense kernel, the fusion with a convolution's.
    first = stored[0].values.shape
    location_size = first[0] if len(first) == 2 else None
    bodies = 3 if location_size is None else 4
    heads = len(layers) - bodies
    if heads not in (1, 2):
        names = ", ".join(layer[0].layer for layer in layers)
        raise InputError(
            f"{path}: has {len(layers)} layers with weights ({names}), but GlaViTU has {bodies} "
            "and one or two heads; is it another model's file?"
        )
    built = build(stored[-1].values.shape[-1], location_size)
    model: Any = built
    modules: list[tuple[str, nn.Module]] = [("fusion", model.fusion)]
    modules += [("setr", model.setr), ("resunet", model.resunet)]
    if heads == 2:
        modules.append(("deep_supervision", model.deep_supervision))
    else:
        warnings.warn(
            f"{path} has no deep-supervision head; the model's own starts untrained, which matters "
            "for finetuning alone",
            stacklevel=3,
        )
    modules.append(("output", model.output))
    expected = [weight for name, module in modules for weight in _layer(name, module)]
    _check(path, stored, expected, model)
    for source, target in zip(stored, expected, strict=True):
        target.fill(source.values)
    return built.eval()


def _check(path: Path, stored: list[Stored], expected: list[Expected], model: Any) -> None:
    names = ", ".join(group.name for group in model.features)
    advice = f"Check that the model was trained with the features {names}, in this order"
    for source, target in zip(stored, expected, strict=False):
        if source.values.shape != target.shape:
            raise InputError(
                f"{path}: weight {source.name} of layer {source.layer} has shape "
                f"{source.values.shape}, but the model's {target.name} expects {target.shape}. "
                f"{advice}"
            )
    if len(stored) > len(expected):
        extra = stored[len(expected)]
        raise InputError(
            f"{path}: weight {extra.name} of layer {extra.layer} with shape {extra.values.shape} "
            f"has no place in the model ({len(stored)} weights, {len(expected)} expected). {advice}"
        )
    if len(stored) < len(expected):
        missing = expected[len(stored)]
        raise InputError(
            f"{path}: ends after {len(stored)} weights; the model's {missing.name} with shape "
            f"{missing.shape} is missing ({len(expected)} expected). {advice}"
        )


def _read(path: Path) -> list[list[Stored]]:
    """Read the layers that have weights, in file order."""
    try:
        with open_hdf5(path, "no such file; give the weights that Keras saved as HDF5") as file:
            if "layer_names" not in file.attrs:
                raise InputError(
                    f"{path}: has no attribute layer_names; expected a file that Keras' "
                    "save_weights wrote as HDF5"
                )
            layers = [
                [
                    Stored(layer, name, _array(path, file, layer, name))
                    for name in _names(_member(path, file, layer).attrs["weight_names"])
                ]
                for layer in _names(file.attrs["layer_names"])
            ]
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(
            f"{path}: cannot be read as Keras weights; it is not HDF5, or truncated or damaged: "
            f"fetch it again ({error})"
        ) from error
    layers = [layer for layer in layers if layer]
    wrong = [w for layer in layers for w in layer if not np.isfinite(w.values).all()]
    if wrong:
        raise InputError(
            f"{path}: weight {wrong[0].name} of layer {wrong[0].layer} is not a number (NaN or "
            f"infinite), as are {len(wrong) - 1} others; fetch the file again, or another one"
        )
    if not layers:
        raise InputError(f"{path}: holds no weights at all; save the trained model's weights again")
    return layers


def _member(path: Path, file: h5py.File, name: str) -> Any:
    """Open what lies in a file under a name, step by step, for a link may lead elsewhere."""
    member: Any = file
    for part in filter(None, name.split("/")):
        if fault := link_fault(member, part):
            raise InputError(f"{path}: {name} {fault}")
        member = member[part]
    return member


def _array(path: Path, file: h5py.File, layer: str, name: str) -> Array:
    stored = _member(path, file, f"{layer}/{name}")
    fault = array_fault(stored) or room_fault(stored)
    if fault:
        raise InputError(f"{path}: weight {name} of layer {layer} {fault}")
    return np.asarray(stored, dtype=np.float32)


def _names(attribute: Any) -> list[str]:
    if np.ndim(attribute) != 1:
        raise TypeError(f"a list of names is {attribute!r:.60}")
    return [name.decode() if isinstance(name, bytes) else str(name) for name in attribute]


def _layer(name: str, module: nn.Module) -> list[Expected]:
    """List what Keras stores of a module: trainable weights, then running statistics."""
    if name == "fusion" and getattr(module, "location", None) is not None:
        # Published files keep the location encoding as a layer of its own, before the fusion.
        children = dict(module.named_children())
        location = children.pop("location")
        rest = nn.ModuleDict(children)
        return _layer("fusion.location", location) + _layer("fusion", rest)
    leaves = list(_leaves(name, module))
    trainable = [weight for prefix, leaf in leaves for weight in _trainable(prefix, leaf)]
    running = [
        Expected(f"{prefix}.{statistic}", getattr(leaf, statistic), (leaf.num_features,))
        for prefix, leaf in leaves
        if isinstance(leaf, nn.BatchNorm1d | nn.BatchNorm2d)
        for statistic in ("running_mean", "running_var")
    ]
    return trainable + running


def _leaves(prefix: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    if isinstance(module, Attention) or not list(module.children()):
        yield prefix, module
    else:
        for name, child in module.named_children():
            yield from _leaves(f"{prefix}.{name}", child)


def _trainable(prefix: str, leaf: nn.Module) -> Iterator[Expected]:
    if isinstance(leaf, PositionalEmbedding):
        yield Expected(f"{prefix}.embedding", leaf.embedding, tuple(leaf.embedding.shape))
    elif isinstance(leaf, Attention):
        yield from _attention(prefix, leaf)
    elif isinstance(leaf, nn.Conv2d):
        out, channels, height, width = leaf.weight.shape
        # 1x1 convolutions are dense layers in Keras but for the last one of the upsampling, and
        # the patch embedding is a dense layer over flattened patches.
        if prefix.endswith("setr.embedding"):
            shape: tuple[int, ...] = (height * width * channels, out)
        elif (height, width) == (1, 1) and not prefix.startswith("setr."):
            shape = (channels, out)
        else:
            shape = (height, width, channels, out)
        yield Expected(f"{prefix}.weight", leaf.weight, shape)
        if leaf.bias is not None:
            yield Expected(f"{prefix}.bias", leaf.bias, (out,))
    elif isinstance(leaf, nn.Linear):
        yield Expected(f"{prefix}.weight", leaf.weight, tuple(leaf.weight.shape[::-1]))
        yield Expected(f"{prefix}.bias", leaf.bias, tuple(leaf.bias.shape))
    else:
        for name, parameter in leaf.named_parameters():  # norms: gamma, beta
            yield Expected(f"{prefix}.{name}", parameter, tuple(parameter.shape))


def _attention(prefix: str, attention: Attention) -> Iterator[Expected]:
    width = attention.query.in_features
    heads, size = attention.heads, width // attention.heads
    for name in ("query", "key", "value"):
        layer: nn.Linear = getattr(attention, name)
        yield Expected(f"{prefix}.{name}.weight", layer.weight, (width, heads, size))
        yield Expected(f"{prefix}.{name}.bias", layer.bias, (heads, size))
    output = attention.output
    yield Expected(f"{prefix}.output.weight", output.weight, (heads, size, width))
    yield Expected(f"{prefix}.output.bias", output.bias, (width,))
