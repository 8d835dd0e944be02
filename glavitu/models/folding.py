"""Batch norm folded into the layer before it, which is quicker to predict with."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from glavitu.models.blocks import UpConv

Place = tuple[nn.Module, str, str]


def fold_batch_norms(model: nn.Module) -> None:
    """Fold batch norms into the layers before them, in place.

    Probabilities then differ by rounding alone. What cannot be folded stays: norms are found in
    sequences and in the blocks of this package, for of other modules the order in which they call
    their layers is not known.

    Args:
        model: A model in eval mode, which cannot be trained afterwards.
    """
    for holder, layer, norm in foldable(model):
        setattr(holder, layer, _fused(getattr(holder, layer), getattr(holder, norm)))
        setattr(holder, norm, nn.Identity())


def foldable(model: nn.Module) -> list[Place]:
    """Find the batch norms that follow a convolution or a dense layer directly.

    Args:
        model: Any module.

    Returns:
        The module that holds both layers, the name of the first and that of its norm.
    """
    return [place for module in model.modules() for place in _places_in(module)]


def _places_in(module: nn.Module) -> Iterator[Place]:
    pairs: list[tuple[str, str]] = []
    if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
        pairs = list(pairwise(name for name, _ in module.named_children()))
    elif isinstance(module, UpConv):
        pairs = [("convolution", "norm")]
    for layer, norm in pairs:
        first, second = getattr(module, layer), getattr(module, norm)
        convolved = isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d)
        dense = isinstance(first, nn.Linear) and isinstance(second, nn.BatchNorm1d)
        if convolved or dense:
            yield module, layer, norm


@torch.no_grad()
def _fused(layer: Any, norm: Any) -> nn.Module:
    fuse = fuse_conv_bn_eval if isinstance(layer, nn.Conv2d) else fuse_linear_bn_eval
    fused: nn.Module = fuse(layer, norm)
    return fused
