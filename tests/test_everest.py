"""The real scene around Mount Everest, where GLAVITU_EVEREST names its folder."""

from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import yaml

from glavitu.cli import main
from glavitu.datasets import GlacierRasters, TileWindow

CONFIG = Path(__file__).parents[1] / "configs" / "everest.yaml"


@pytest.fixture(scope="module")
def data():
    return yaml.safe_load(CONFIG.read_text())["data"]


def dataset(everest, data, bounds=None):
    options = {key: data[key] for key in ("features", "files", "outlines", "region")}
    return GlacierRasters(everest, bounds=bounds and data[bounds], **options)


def test_outlines_cover_their_own_area(everest, data):
    scene = dataset(everest, data)
    mask = scene[TileWindow(0, scene.extents[0])]["mask"]
    assert mask.shape == (655, 800)
    (path,) = everest.glob(data["outlines"])
    outlines = geopandas.read_file(path).to_crs(scene.crs)
    x, y, _ = scene.bounds
    inside = outlines.clip((x.start, y.start, x.stop, y.stop)).area.sum()
    assert mask.sum().item() * 30**2 == pytest.approx(inside, rel=0.002)


def test_train_validation_and_test_do_not_overlap(everest, data):
    taken = np.zeros((655, 800), int)
    for part in ("train_bounds", "val_bounds", "test_bounds"):
        row, col, height, width = dataset(everest, data, part).extents[0]
        taken[row : row + height, col : col + width] += 1
    assert taken.max() == 1
    assert taken[:, 534:].all()  # the eastern third


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [None, "few_tiles"])
def test_the_config_trains_tests_and_maps(everest, tmp_path, monkeypatch, recipe):
    monkeypatch.chdir(tmp_path)
    short = ["--config", str(CONFIG), "--data.root", str(everest)]
    short += ["--config", str(CONFIG.with_stem(recipe))] if recipe else []
    short += ["--trainer.enable_progress_bar", "false"]
    steps = ["--trainer.max_epochs", "1", "--data.steps_per_epoch", "1"]
    steps += ["--trainer.check_val_every_n_epoch", "1"]
    assert main(["fit", *short, *steps]) == 0
    checkpoint = tmp_path / f"runs/{recipe or 'everest'}/version_0/checkpoints/last.ckpt"
    assert main(["test", *short, "--checkpoint", str(checkpoint)]) == 0
    (scene,) = everest.glob("*_RGB.tif")
    arguments = ["map", "--checkpoint", str(checkpoint), "--feature", f"rgb={scene}"]
    assert main([*arguments, "--output", "out"]) == 0
    with rasterio.open(scene) as image, rasterio.open("out/outlines.tif") as classes:
        assert (classes.crs, classes.transform) == (image.crs, image.transform)
        assert set(np.unique(classes.read())) <= {0, 1}
    assert geopandas.read_file("out/outlines.gpkg").crs.to_epsg() == 32645
