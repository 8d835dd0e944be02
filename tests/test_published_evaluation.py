"""`glavitu test` and `glavitu map` against the published protocol, written out plainly."""

import h5py
import numpy as np
import pandas as pd
import pytest
import rasterio
import torch
from lightning.pytorch import Trainer

from glavitu.datamodules import GlacierDataModule
from glavitu.datasets import SyntheticGlaciers
from glavitu.mapping import map_scene
from glavitu.models.entropy import confidence
from glavitu.tasks import GlaViTUTask

WINDOW, STRIDE = 384, 192


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """Two tiles, one of which needs several windows in each direction."""
    root = tmp_path_factory.mktemp("released")
    SyntheticGlaciers(("SC",), tiles=(0, 0, 1), size=400, seed=1).write_hdf5(root / "large", False)
    SyntheticGlaciers(("HMA",), tiles=(0, 0, 1), size=70, seed=2).write_hdf5(root / "small", False)
    with h5py.File(root / "test.hdf5", "w") as file:
        for name in ("large", "small"):
            with h5py.File(root / name / "test.hdf5") as source:
                for tile in source:
                    source.copy(tile, file)
    return root


def published_probabilities(image, task) -> np.ndarray:
    """Predict a padded array (H, W, C) window by window, and blend: (2, H, W)."""
    axis = np.linspace(-1, 1, WINDOW)
    weights = np.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / 2)
    rows, cols, _ = image.shape
    total, weight = np.zeros((2, rows, cols)), np.zeros((rows, cols))
    for row in range(0, rows - WINDOW + 1, STRIDE):
        for col in range(0, cols - WINDOW + 1, STRIDE):
            part = np.s_[row : row + WINDOW, col : col + WINDOW]
            window = torch.from_numpy(image[part].transpose(2, 0, 1))[None]
            with torch.inference_mode():
                probabilities = task(window).softmax(1)[0].double().numpy()
            total[:, *part] += weights * probabilities
            weight[part] += weights
    return total / weight


def inside_padding(tile) -> tuple[slice, slice]:
    top, left = tile.attrs["padding_height"], tile.attrs["padding_width"]
    height, width = tile.attrs["original_height"], tile.attrs["original_width"]
    return np.s_[top : top + height, left : left + width]


def model_input(tile) -> np.ndarray:
    return np.concatenate([tile["optical"][()], tile["dem"][()]], axis=-1)


def published_counts(path, task) -> pd.DataFrame:
    """Cut the padding, take the more probable class, and count per region."""
    counts = {}
    with h5py.File(path) as file:
        for tile in file.values():
            inside = inside_padding(tile)
            probabilities = published_probabilities(model_input(tile), task)
            predicted = probabilities.argmax(0)[inside] == 1
            true = tile["outlines"][..., 1][inside] == 1
            counts[tile.attrs["region"]] = {
                "tp": (predicted & true).sum(),
                "fp": (predicted & ~true).sum(),
                "fn": (~predicted & true).sum(),
                "tn": (~predicted & ~true).sum(),
            }
    return pd.DataFrame(counts).T


@pytest.fixture(scope="module")
def task():
    torch.manual_seed(0)
    return GlaViTUTask(model_args={"width": 8, "depth": 1, "heads": 2}).eval()


def test_counts_are_those_of_the_published_evaluation(released, task):
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False
    )
    trainer.test(task, GlacierDataModule(str(released)), verbose=False)
    ours = task.test_confusion.table().set_index("region")
    published = published_counts(released / "test.hdf5", task).loc[ours.index]
    flipped = (ours[published.columns] - published).abs().sum().sum() / 2
    assert flipped < 1e-4 * ours["pixels"].sum()
    # Both classes are predicted, so that the comparison says something.
    assert (published[["tp", "fp"]].sum(axis=1) > 100).all()
    assert (published[["fn", "tn"]].sum(axis=1) > 100).all()


@pytest.mark.slow
def test_a_map_is_that_of_the_published_procedure(released, task, tmp_path):
    world = SyntheticGlaciers(("SC",), tiles=(0, 0, 1), size=400, seed=1)
    folder = world.write_geotiffs(tmp_path / "world", progress=False) / "test" / "SC_test_000"
    files = {"optical": folder / "optical.tif", "dem": folder / "dem.tif"}
    result = map_scene(task, files, tmp_path / "map", progress=False)
    with h5py.File(released / "large" / "test.hdf5") as file:
        (tile,) = file.values()
        probabilities = published_probabilities(model_input(tile), task)[:, *inside_padding(tile)]
    with rasterio.open(result.classes) as classes, rasterio.open(result.confidence) as sure:
        assert (classes.read(1) == probabilities.argmax(0)).mean() > 0.9999
        expected = confidence(torch.from_numpy(probabilities), dim=0).numpy()
        np.testing.assert_allclose(sure.read(1), expected, atol=1e-4)
