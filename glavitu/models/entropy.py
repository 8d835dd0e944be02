"""Confidence of a prediction from the entropy of its class probabilities."""

import math

import torch
from torch import Tensor

#: Probabilities are clipped to [EPSILON, 1 - EPSILON], so that log2(0) never occurs.
EPSILON = 1e-6


def confidence(probabilities: Tensor, dim: int = 1) -> Tensor:
    """Raw confidence 1 - H, H the base-2 entropy of the class probabilities.

    For two classes H lies in [0, 1] as published. For more it is divided by log2(classes), its
    largest value, so that 0 is always a uniform guess and 1 certainty.

    Args:
        probabilities: Class probabilities, at least two classes along ``dim``.
        dim: Axis of the classes.

    Returns:
        The shape without ``dim``, in [0, 1].
    """
    clipped = probabilities.clamp(EPSILON, 1 - EPSILON)
    entropy = -(clipped * torch.log2(clipped)).sum(dim)
    return (1 - entropy / math.log2(probabilities.shape[dim])).clamp(0, 1)
