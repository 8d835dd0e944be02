"""Keras-style weight files and inputs, regenerated from the layouts in reference/."""

import json
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from glavitu.features import resolve_features

REFERENCE = Path(__file__).parent / "reference"
CONFIGURATIONS = ("global_optical_dem", "regionencoding_optical_dem", "global_optical_dem_insar")


def layout(configuration: str) -> dict:
    return json.loads((REFERENCE / f"{configuration}.json").read_text())


def write_weights(path: Path, layout: dict, rename=lambda name: name) -> Path:
    """Write the weights of a layout as Keras' save_weights does."""
    layers: dict[str, list[str]] = {"input_1": []}
    with h5py.File(path, "w") as file:
        for index, (layer, name, shape) in enumerate(layout["weights"]):
            values = _values(layout["seed"], index, layer, name, shape)
            layer, name = rename(layer), rename(name)
            file.require_group(layer).create_dataset(name, data=values)
            layers.setdefault(layer, []).append(name)
        layers["add_3"] = []
        file.attrs["layer_names"] = np.array([layer.encode() for layer in layers])
        for layer, names in layers.items():
            group = file.require_group(layer)
            group.attrs["weight_names"] = np.array([n.encode() for n in names], dtype="S120")
    return path


def _values(seed: int, index: int, layer: str, name: str, shape: list[int]) -> np.ndarray:
    random = np.random.default_rng([seed, index])
    leaf = name.split("/")[-1].removesuffix(":0")
    if leaf == "kernel":
        values = random.standard_normal(shape) * np.sqrt(shape[-1] / np.prod(shape))
        if layer in ("output", "deepsupervision"):
            values *= 0.05
    elif leaf == "gamma":
        values = 1 + 0.1 * random.standard_normal(shape)
    elif leaf == "moving_variance":
        values = random.uniform(0.5, 1.5, shape)
    else:
        values = 0.1 * random.standard_normal(shape)
    return values.astype(np.float32)


def inputs(layout: dict, size: int = 384) -> tuple[Tensor, Tensor | None]:
    """Make the image (1, C, size, size) and the location vector of a layout."""
    yy, xx = np.mgrid[:size, :size] / size
    groups = []
    for k, group in enumerate(resolve_features(layout["features"])):
        ramp = np.stack([(xx * (j + 1) + yy * (k + 1)) % 1 for j in range(len(group))], -1)
        noise = np.random.default_rng([layout["seed"] + 1, k]).random((1, *ramp.shape))
        groups.append((0.5 * noise + 0.5 * ramp).astype(np.float32))
    image = torch.from_numpy(np.concatenate(groups, -1)).permute(0, 3, 1, 2).contiguous()
    if layout["location_size"] is None:
        return image, None
    random = np.random.default_rng([layout["seed"] + 2])
    return image, torch.from_numpy(random.random((1, layout["location_size"])).astype(np.float32))
