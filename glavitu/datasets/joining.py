"""Samples of two datasets made one, for `&` and `|`."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from glavitu.classes import UNKNOWN
from glavitu.datasets.torchgeo_api import concat_samples, merge_samples
from glavitu.errors import InputError


def join(samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Put the images of samples above each other; of all else the first sample's counts.

    Where its mask is unknown, that of the next one counts.
    """
    joined = _first(samples) | concat_samples(
        [{"image": s["image"]} for s in samples if "image" in s]
    )
    for mask in (s["mask"] for s in samples if "mask" in s):
        if mask.shape == joined["mask"].shape:
            joined["mask"] = torch.where(joined["mask"] == UNKNOWN, mask, joined["mask"])
    return joined


def merge(samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge the pixels of samples of one window; of all else the first sample's counts.

    The largest values count, and of masks the largest known class.

    Raises:
        InputError: If the samples have not the same channels.
    """
    for key in ("image", "mask"):
        shapes = list(dict.fromkeys(tuple(s[key].shape) for s in samples if key in s))
        if len(shapes) > 1:
            raise InputError(
                f"`|` needs datasets of the same channels, but these give {key} "
                f"{' and '.join(map(str, shapes))}; choose the same features or bands in both, or "
                "join channels with `&`"
            )
    pixels = [{k: s[k] for k in ("image", "mask") if k in s} for s in samples]
    for sample in pixels:
        if "mask" in sample:  # below any class
            sample["mask"] = sample["mask"].long().masked_fill(sample["mask"] == UNKNOWN, -1)
    merged = _first(samples) | merge_samples(pixels)
    if "mask" in merged:
        merged["mask"] = merged["mask"].masked_fill(merged["mask"] == -1, UNKNOWN)
    merged.pop("tile", None)  # it counts in one of the datasets, and does not say in which
    return merged


def _first(samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Take each tensor from the first sample that has it; TorchGeo 0.8 has other values too."""
    first: dict[str, Any] = {}
    for sample in reversed(samples):
        first |= {key: value for key, value in sample.items() if isinstance(value, Tensor)}
    return first
