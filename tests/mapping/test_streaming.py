import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch

from glavitu.errors import InputError
from glavitu.mapping import map_scene, mapper
from glavitu.models.blending import predict_blended
from glavitu.rasters.scene import Scene
from glavitu.windows import window_stride


def read(path):
    with rasterio.open(path) as file:
        return file.read(1)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).normal(0, 2, (height, width)).astype(np.float32)


class Placed:
    """Says something else of a pixel in each window."""

    def probabilities(self, image):
        ramp = torch.linspace(-2, 2, image.shape[-1]) + image[:, 0].mean((1, 2), keepdim=True)
        return super().probabilities(image + ramp[:, None])


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 75), (70, 1), (33, 31), (97, 45)])
@pytest.mark.parametrize("overlap", [0, 0.25, 0.5, 0.75])
def test_any_overlap_blends_scenes_of_any_size(
    tmp_path, write_raster, tiny_model, plain, height, width, overlap
):
    values = noise(height, width)
    model = type("Model", (Placed, tiny_model), {})((plain,))
    result = map_scene(
        model,
        {"plain": write_raster("a.tif", values)},
        tmp_path / "out",
        overlap=overlap,
        probability=True,
        progress=False,
    )
    expected = predict_blended(
        model.probabilities, torch.from_numpy(values)[None], 32, window_stride(32, overlap), 2
    )
    np.testing.assert_allclose(read(result.probability), expected[1].detach(), atol=1e-6)
    np.testing.assert_array_equal(read(result.classes), expected.argmax(0))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 75), (33, 31), (97, 45)])
def test_a_model_may_want_the_scene_mirrored_at_its_borders(
    tmp_path, write_raster, tiny_model, plain, height, width
):
    values = noise(height, width)
    model = type("Model", (Placed, tiny_model), {"mirrored": True})((plain,))
    files = {"plain": write_raster("a.tif", values)}
    result = map_scene(model, files, tmp_path / "out", probability=True, progress=False)
    image = torch.from_numpy(values)[None]
    padded = predict_blended(model.probabilities, image, 32, 16, 2)
    expected = predict_blended(model.probabilities, image, 32, 16, 2, mirrored=True).detach()
    assert not np.allclose(padded.detach(), expected, atol=1e-3)
    np.testing.assert_allclose(read(result.probability), expected[1].detach(), atol=1e-6)
    np.testing.assert_array_equal(read(result.classes), expected.argmax(0))


def test_what_is_seen_in_the_mirror_is_no_data_of_its_own(
    tmp_path, write_raster, tiny_model, plain
):
    values = noise(40, 200)
    values[:, :170] = np.nan
    model = type("Model", (tiny_model,), {"mirrored": True})((plain,))
    files = {"plain": write_raster("a.tif", values)}
    result = map_scene(model, files, tmp_path / "out", progress=False)
    assert (read(result.classes)[:, :170] == 255).all()
    assert (read(result.classes)[:, 170:] != 255).all()
    # Columns are padded to 224, 12 before them: windows up to that at column 132 show no data.
    assert json.loads(result.run.read_text())["windows"]["skipped"] > 0


@pytest.mark.slow
def test_batches_are_filled_over_a_row_and_change_nothing_but_rounding(
    tmp_path, write_raster, tiny_model, plain
):
    values = noise(70, 200)
    values[:, 60:140] = np.nan  # some windows of each row have no data
    path = write_raster("a.tif", values)
    maps = []
    for size in (1, 3, 100):
        model = type("Model", (Placed, tiny_model), {})((plain,))
        result = map_scene(
            model, {"plain": path}, tmp_path / str(size), batch_size=size, progress=False
        )
        maps.append(result)
        counts = [len(image) for image in model.images]
        run = json.loads(result.run.read_text())
        assert run["windows"] == {"predicted": sum(counts), "skipped": 15, "done": 0}
        rows = 5
        assert len(counts) == rows * -(-(sum(counts) // rows) // size)
    for other in maps[1:]:
        np.testing.assert_array_equal(read(other.classes), read(maps[0].classes))
        np.testing.assert_allclose(read(other.confidence), read(maps[0].confidence), atol=1e-6)


@pytest.mark.parametrize("overlap", [0, 0.5, 0.75])
def test_each_row_is_read_once(tmp_path, write_raster, tiny_model, plain, monkeypatch, overlap):
    counts = np.zeros((500, 45), int)

    class Counting(Scene):
        def read(self, window):
            rows = slice(max(0, window.row), max(0, window.row + window.height))
            cols = slice(max(0, window.col), max(0, window.col + window.width))
            counts[rows, cols] += 1
            return super().read(window)

    monkeypatch.setattr(mapper, "Scene", Counting)
    path = write_raster("a.tif", noise(*counts.shape))
    map_scene(tiny_model((plain,)), {"plain": path}, tmp_path, overlap=overlap, progress=False)
    assert (counts == 1).all()


class TestFailures:
    """What fails in any thread comes out as itself, and nothing goes on."""

    @pytest.fixture
    def path(self, write_raster):
        return write_raster("a.tif", noise(300, 40))

    def test_in_the_reader(self, tmp_path, path, tiny_model, plain, monkeypatch):
        class Failing(Scene):
            def read(self, window):
                if window.row > 100:
                    raise InputError("it seems damaged")
                return super().read(window)

        monkeypatch.setattr(mapper, "Scene", Failing)
        model = tiny_model((plain,))
        with pytest.raises(InputError, match="it seems damaged"):
            map_scene(model, {"plain": path}, tmp_path / "out", batch_size=9, progress=False)
        assert 0 < len(model.images) < 12

    def test_in_the_writer(self, tmp_path, path, tiny_model, plain):
        class Broken(tiny_model):
            def probabilities(self, image):
                return super().probabilities(image) * (np.nan if len(self.images) > 5 else 1)

        model = Broken((plain,))
        with pytest.raises(InputError, match="not finite"):
            map_scene(model, {"plain": path}, tmp_path / "out", batch_size=9, progress=False)
        assert len(model.images) < 10


@pytest.mark.slow
def test_memory_does_not_grow_with_the_height(tmp_path):
    script = Path(__file__).with_name("peak_memory.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(script.parents[2])},
    )
    assert done.returncode == 0, done.stderr
    low, high = json.loads(done.stdout)
    assert high < 1.1 * low
