"""A map says when its scene does not look like what the model was trained on."""

import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
import torch

from glavitu.confidence.training_values import TrainingValues
from glavitu.confidence.window_measures import WindowHistograms
from glavitu.features import DEM, OPTICAL
from glavitu.mapping import map_scene
from glavitu.mapping.scene_check import MOST_WINDOWS, check_scene, known_trainings
from glavitu.rasters.scene import Scene
from glavitu.synthetic.world import SyntheticGlaciers, write_tile

GROUPS = (OPTICAL, DEM)


def in_feet(name, values):
    return values * [[[3.2808]], [[1]]] if name == "dem" else values


@pytest.fixture(scope="module")
def world() -> SyntheticGlaciers:
    return SyntheticGlaciers(("SC",), tiles=(8, 0, 1), size=128, seed=3)


@pytest.fixture(scope="module")
def training(world) -> TrainingValues:
    histograms = WindowHistograms(GROUPS)
    for tile in world.split("train"):
        image = torch.cat([g.scale(torch.from_numpy(tile.features[g.name])) for g in GROUPS])
        for row in range(0, 128 - 64 + 1, 16):
            for col in range(0, 128 - 64 + 1, 16):
                histograms.add(image[None, :, row : row + 64, col : col + 64])
    return TrainingValues.counted(histograms)


@pytest.fixture
def mapped(world, training, tiny_model, tmp_path, caplog):
    """Map the test tile, return what run.json tells and what was said."""

    def run(change=lambda name, values: values, values=training, **options):
        folder = tmp_path / "scene"
        write_tile(world.tile("test", "SC", 0), folder)
        for name in ("optical", "dem"):
            with rasterio.open(folder / f"{name}.tif", "r+") as file:
                file.write(change(name, file.read()))
        model = tiny_model(GROUPS, image_size=64)
        if values is not None:
            model.training_values = values
        files = {name: folder / f"{name}.tif" for name in ("optical", "dem")}
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            map_scene(model, files, tmp_path / "out", progress=False, overwrite=True, **options)
        said = [r.getMessage() for r in caplog.records if "does not look like" in r.getMessage()]
        return json.loads((tmp_path / "out" / "run.json").read_text())["training_range"], said

    return run


def test_a_scene_like_the_training_is_mapped_without_a_word(mapped, training):
    found, said = mapped()
    assert not said
    assert found["largest"] <= found["tolerance"]
    assert found["windows"] == 4
    assert found["training_windows"] == training.windows
    assert set(found["channels"]) >= {"optical.blue", "optical.nir-swir1", "dem.slope"}


def test_elevation_in_feet_is_named_with_what_mends_it(mapped):
    found, (said,) = mapped(in_feet)
    assert "dem (elevation)" in said
    assert "--scale dem=0.3048" in said
    assert "optical" not in said
    assert found["largest"] == found["channels"]["dem.elevation"] > found["tolerance"]
    # In the units of the group: what was found, and what the training had.
    assert any(3_000 < float(n.replace(",", "")) < 8_000 for n in said.split() if n[0].isdigit())
    assert "do not trust" in said


def test_one_warning_names_every_group_that_differs(mapped):
    def change(name, values):
        return values[[0, 1, 2, 3, 5, 4]] if name == "optical" else in_feet(name, values)

    _, (said,) = mapped(change)
    assert "optical: (swir1 - swir2) / (swir1 + swir2)" in said
    assert "bands in another order" in said
    assert "dem (elevation)" in said


def test_the_option_that_is_named_mends_it(mapped):
    def change(name, values):
        return np.where(name == "optical", values + 0.1, values)

    _, (said,) = mapped(change)
    assert "optical" in said
    assert "0.0001,-0.1" in said
    _, said = mapped(change, scales={"optical": (1.0, -0.1)})
    assert not said


def test_a_checkpoint_that_does_not_tell_is_not_compared(mapped):
    found, said = mapped(lambda name, values: values * 1.5, values=None)
    assert found is None
    assert not said


def test_nor_is_one_that_has_seen_too_little(mapped, training):
    few = TrainingValues(training.low, training.high, 10)
    assert mapped(lambda name, values: values * 1.5, values=few) == (None, [])


def test_published_minima_and_maxima_are_a_range_too(mapped):
    published = TrainingValues.published(GROUPS)
    found, said = mapped(values=published)
    assert (found["largest"], found["training_windows"], said) == (0, 0, [])
    sunk = [[[0.0]], [[1.0]]]
    low = [[[-400.0]], [[0.0]]]
    _, (said,) = mapped(lambda name, v: v * sunk + low if name == "dem" else v, values=published)
    assert "dem (elevation)" in said


def test_of_an_ensemble_the_member_that_knows_least_counts(world, training, tmp_path):
    members = [
        SimpleNamespace(training_values=TrainingValues.published(GROUPS)),
        SimpleNamespace(),
        SimpleNamespace(training_values=training),
    ]
    trainings = known_trainings(SimpleNamespace(members=members))
    assert len(trainings) == 2
    tile = world.tile("test", "SC", 0)
    tile.features["dem"][0] *= 3
    write_tile(tile, tmp_path)
    with Scene({name: tmp_path / f"{name}.tif" for name in ("optical", "dem")}, GROUPS) as scene:
        assert check_scene(trainings, scene, 64)["training_windows"] == training.windows


def test_empty_windows_do_not_count_and_no_more_are_read_than_needed(
    write_raster, monkeypatch, plain
):
    histograms = WindowHistograms((plain,))
    histograms.add(torch.rand(70, 1, 16, 16))
    values = np.random.default_rng(0).random((320, 640)).astype(np.float32)
    values[:, :320] = np.nan
    read = []
    original = Scene.read
    monkeypatch.setattr(Scene, "read", lambda self, w: read.append(w) or original(self, w))
    path = write_raster("half.tif", values)
    with Scene({"plain": path}, (plain,)) as scene:
        found = check_scene([TrainingValues.counted(histograms)], scene, 32)
        assert found["windows"] == MOST_WINDOWS
        assert found["largest"] == 0
        assert MOST_WINDOWS < len(read) <= 4 * MOST_WINDOWS
    with Scene({"plain": write_raster("small.tif", values[:2, -2:])}, (plain,)) as scene:
        assert check_scene([TrainingValues.counted(histograms)], scene, 32) is None
