import logging
import math
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import torch
from lightning.pytorch import Trainer

from glavitu.cli import main
from glavitu.errors import InputError
from glavitu.features import FeatureGroup
from glavitu.mapping import map_scene
from glavitu.models.entropy import confidence
from glavitu.regions import coordinate_vector, region_index, region_vector
from glavitu.tasks import GlaViTUTask

NAMES = ["confidence.tif", "outlines.gpkg", "outlines.tif", "preview.png", "run.json"]
SIZES = [(70, 45), (32, 32), (10, 100), (3, 5), (1, 1)]  # with windows of 32 pixels


def read(path):
    with rasterio.open(path) as file:
        return file.read(1), file.profile


def logits(height, width, seed=0):
    """Make smooth shapes with both classes; values between about -4 and 4."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    field = 2 * np.sin(x / 7 + rng.random()) + 2 * np.cos(y / 9 + rng.random())
    return field.astype(np.float32)


def entropy_confidence(glacier):
    p = np.clip(np.stack([1 - glacier, glacier]), 1e-6, 1 - 1e-6)
    return 1 + (p * np.log2(p)).sum(axis=0)


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("batch_size", [1, 5])
def test_what_is_said_of_each_pixel_is_what_the_map_says(
    tmp_path, write_raster, tiny_model, plain, height, width, batch_size
):
    values = logits(height, width)
    result = map_scene(
        tiny_model((plain,)),
        {"plain": write_raster("scene.tif", values)},
        tmp_path / "out",
        batch_size=batch_size,
        min_area_km2=0,
        progress=False,
    )
    glacier = 1 / (1 + np.exp(-values.astype(np.float64)))
    classes, profile = read(result.classes)
    np.testing.assert_array_equal(classes, values > 0)
    assert (profile["dtype"], profile["nodata"]) == ("uint8", 255)
    assert profile["crs"].to_epsg() == 32645
    certain, profile = read(result.confidence)
    np.testing.assert_allclose(certain, entropy_confidence(glacier), atol=2e-6)
    assert profile["dtype"] == "float32"
    assert math.isnan(profile["nodata"])
    outlines = geopandas.read_file(result.outlines)
    assert len(outlines) == result.glaciers
    assert outlines["area_km2"].sum() == pytest.approx(result.area_km2)
    assert result.area_km2 == pytest.approx((values > 0).sum() * 0.0009, rel=1e-3)
    assert outlines.crs.to_epsg() == 32645
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == NAMES


@pytest.mark.parametrize(("height", "width"), [(70, 45), (64, 20)])
def test_windows_are_blended_as_published(tmp_path, write_raster, tiny_model, plain, height, width):
    values = logits(height, width)
    size = 32
    ramp = np.linspace(-2, 2, size)

    class Placed(tiny_model):
        """Says something else of a pixel in each window."""

        def probabilities(self, image):
            shift = torch.from_numpy(ramp).float() + image[:, 0].mean((1, 2), keepdim=True)
            return super().probabilities(image + shift[:, None])

    result = map_scene(
        Placed((plain,)), {"plain": write_raster("a.tif", values)}, tmp_path, progress=False
    )

    # The protocol, written directly.
    shape = [size * (n // size + 1) for n in (height, width)]
    top, left = ((padded - n) // 2 for padded, n in zip(shape, (height, width), strict=True))
    padded = np.zeros(shape)
    padded[top : top + height, left : left + width] = values
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    weights = np.exp(-(x**2 + y**2) / 2)
    total, weight = np.zeros(shape), np.zeros(shape)
    for row in range(0, shape[0] - size + 1, size // 2):
        for col in range(0, shape[1] - size + 1, size // 2):
            part = np.s_[row : row + size, col : col + size]
            glacier = 1 / (1 + np.exp(-(padded[part] + ramp + padded[part].mean())))
            total[part] += weights * glacier
            weight[part] += weights
    expected = (total / weight)[top : top + height, left : left + width]

    certain, _ = read(result.confidence)
    np.testing.assert_allclose(certain, entropy_confidence(expected), atol=2e-6)
    np.testing.assert_array_equal(read(result.classes)[0], expected > 0.5)


def test_constant_predictions_give_constant_maps(tmp_path, write_raster, tiny_model, plain):
    path = write_raster("a.tif", np.full((50, 75), 1.5, dtype=np.float32))

    class Constant(tiny_model):
        def probabilities(self, image):
            return torch.tensor([0.2, 0.8])[:, None, None].expand(len(image), 2, 32, 32)

    result = map_scene(Constant((plain,)), {"plain": path}, tmp_path, progress=False)
    assert (read(result.classes)[0] == 1).all()
    certain, _ = read(result.confidence)
    np.testing.assert_allclose(certain, entropy_confidence(np.array(0.8)), atol=1e-6)
    assert result.glaciers == 1


def test_more_classes(tmp_path, write_raster, tiny_model, plain):
    path = write_raster("a.tif", logits(40, 40))

    class Three(tiny_model):
        def probabilities(self, image):
            glacier = torch.sigmoid(image[:, 0])
            return torch.stack([(1 - glacier) / 3, glacier, (1 - glacier) * 2 / 3], dim=1)

    result = map_scene(Three((plain,), num_classes=3), {"plain": path}, tmp_path, progress=False)
    glacier = 1 / (1 + np.exp(-logits(40, 40).astype(np.float64)))
    np.testing.assert_array_equal(read(result.classes)[0], glacier > 0.4)  # elsewhere class 2
    p = np.stack([(1 - glacier) / 3, glacier, (1 - glacier) * 2 / 3])
    expected = 1 + (p * np.log(p)).sum(axis=0) / np.log(3)
    np.testing.assert_allclose(read(result.confidence)[0], expected, atol=2e-6)


def test_nodata_is_kept_and_windows_without_data_are_not_predicted(
    tmp_path, write_raster, tiny_model, plain
):
    values = np.abs(logits(150, 70)) + 1  # a glacier everywhere
    values[:80] = -9999
    values[120:, 30:40] = -9999
    other = np.ones((150, 70), dtype=np.float32)
    other[:, 65:] = np.nan
    missing = (values == -9999) | np.isnan(other)
    group = FeatureGroup("other", ("value",), (0.0,), (1.0,))
    files = {
        "plain": write_raster("a.tif", values, nodata=-9999),
        "other": write_raster("b.tif", other),
    }
    model = tiny_model((plain, group))
    result = map_scene(model, files, tmp_path, batch_size=3, progress=False)
    np.testing.assert_array_equal(read(result.classes)[0], np.where(missing, 255, 1))
    certain, _ = read(result.confidence)
    np.testing.assert_array_equal(np.isnan(certain), missing)
    np.testing.assert_allclose(
        certain[~missing], entropy_confidence(1 / (1 + np.exp(-values[~missing]))), atol=2e-6
    )
    outlines = geopandas.read_file(result.outlines)
    assert outlines["area_km2"].sum() == pytest.approx((~missing).sum() * 0.0009, rel=1e-3)
    predicted = torch.cat(model.images)
    assert len(predicted) < 9 * 5  # of all windows
    assert (predicted[:, 1] != 0).flatten(1).any(1).all()


def test_no_glacier_at_all(tmp_path, write_raster, tiny_model, plain):
    path = write_raster("a.tif", np.full((40, 40), -3, dtype=np.float32))
    result = map_scene(tiny_model((plain,)), {"plain": path}, tmp_path / "out", progress=False)
    assert (read(result.classes)[0] == 0).all()
    assert (result.glaciers, result.area_km2) == (0, 0)
    assert len(geopandas.read_file(result.outlines)) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == NAMES


class TestLocation:
    @pytest.fixture
    def path(self, write_raster):
        return write_raster("a.tif", logits(40, 40))

    def test_region(self, tmp_path, path, tiny_model, plain, caplog):
        model = tiny_model((plain,), location="region")
        map_scene(model, {"plain": path}, tmp_path, region="HMA", progress=False)
        for image, location in zip(model.images, model.locations, strict=True):
            expected = region_vector(region_index("HMA")).expand(len(image), -1)
            torch.testing.assert_close(location, expected)
        assert "unknown region" not in caplog.text

    def test_no_region_is_the_unknown_one_and_said_once(
        self, tmp_path, path, tiny_model, plain, caplog
    ):
        model = tiny_model((plain,), location="region")
        with caplog.at_level(logging.WARNING):
            map_scene(model, {"plain": path}, tmp_path, progress=False)
        torch.testing.assert_close(model.locations[0][0], region_vector(11))
        assert sum("unknown region" in message for message in caplog.messages) == 1

    def test_coordinates_are_those_of_each_windows_centre(
        self, tmp_path, write_raster, tiny_model, plain
    ):
        grid = rasterio.transform.from_origin(86, 28, 0.01, 0.02)
        path = write_raster("d.tif", logits(40, 40), crs="EPSG:4326", transform=grid)
        model = tiny_model((plain,), location="coordinates")
        map_scene(model, {"plain": path}, tmp_path, batch_size=2, progress=False)
        # 40 pixels are padded to 64, 12 on each side: windows start at -12, 4 and 20.
        centres = [start + 16 for start in (-12, 4, 20)]
        expected = torch.stack(
            [
                coordinate_vector(86 + 0.01 * col, 28 - 0.02 * row)
                for row in centres
                for col in centres
            ]
        )
        torch.testing.assert_close(torch.cat(model.locations), expected)

    @pytest.mark.parametrize("location", [None, "coordinates"])
    def test_a_region_for_a_model_that_takes_none(
        self, tmp_path, path, tiny_model, plain, location
    ):
        model = tiny_model((plain,), location=location)
        with pytest.raises(InputError, match=r"region 'HMA' .* takes no region; leave"):
            map_scene(model, {"plain": path}, tmp_path / "out", region="HMA", progress=False)
        assert not (tmp_path / "out").exists()

    def test_an_unknown_code(self, tmp_path, path, tiny_model, plain):
        model = tiny_model((plain,), location="region")
        with pytest.raises(InputError, match="unknown region 'XX'; choose from"):
            map_scene(model, {"plain": path}, tmp_path, region="XX", progress=False)


class TestFailures:
    """Whatever goes wrong, no half map is left, and an older map stays as it was."""

    @pytest.fixture
    def out(self, tmp_path):
        return tmp_path / "out"

    def test_all_nodata(self, out, write_raster, tiny_model, plain):
        path = write_raster("a.tif", np.full((40, 40), -1, dtype=np.float32), nodata=-1)
        model = tiny_model((plain,))
        with pytest.raises(InputError, match=r"no pixel has data in .*a\.tif; check the nodata"):
            map_scene(model, {"plain": path}, out, progress=False)
        assert list(out.iterdir()) == []
        assert model.images == []

    def test_data_that_do_not_overlap(self, out, write_raster, tiny_model, plain):
        left, right = logits(40, 40), logits(40, 40)
        left[:, 20:] = right[:, :20] = np.nan
        files = {"plain": write_raster("a.tif", left), "b": write_raster("b.tif", right)}
        groups = (plain, FeatureGroup("b", ("value",), (0.0,), (1.0,)))
        with pytest.raises(InputError, match=r"a\.tif, .*b\.tif; their data must overlap"):
            map_scene(tiny_model(groups), files, out, progress=False)
        assert list(out.iterdir()) == []

    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
    def test_prediction_that_fails_midway(self, out, write_raster, tiny_model, plain, error):
        path = write_raster("a.tif", logits(200, 40))

        class Failing(tiny_model):
            def probabilities(self, image):
                if len(self.images) > 3:
                    raise error("out of memory")
                return super().probabilities(image)

        with pytest.raises(error):
            map_scene(Failing((plain,)), {"plain": path}, out, progress=False)
        assert not any((out / name).exists() for name in NAMES)

        model = tiny_model((plain,))
        map_scene(model, {"plain": path}, out, progress=False)
        before = {file.name: file.read_bytes() for file in out.iterdir()}
        assert sorted(before) == NAMES
        with pytest.raises(error):
            map_scene(Failing((plain,)), {"plain": path}, out, overwrite=True, progress=False)
        assert {name: (out / name).read_bytes() for name in NAMES} == before

    def test_probabilities_that_are_not_finite(self, out, write_raster, tiny_model, plain):
        path = write_raster("a.tif", logits(40, 40))

        class Broken(tiny_model):
            def probabilities(self, image):
                return super().probabilities(image) * math.nan

        with pytest.raises(
            InputError, match=r"not finite; check the checkpoint, and the units of .*a\.tif"
        ):
            map_scene(Broken((plain,)), {"plain": path}, out, progress=False)
        assert list(out.iterdir()) == []

    def test_an_older_map_is_replaced_with_what_lay_beside_it(
        self, out, write_raster, tiny_model, plain
    ):
        older = {"plain": write_raster("older.tif", np.ones((30, 30), dtype=np.float32))}
        map_scene(tiny_model((plain,)), older, out, progress=False)
        for name in ("outlines.tif.aux.xml", "outlines.gpkg-wal", "notes.txt"):
            (out / name).write_text("old")
        path = write_raster("a.tif", logits(40, 40))
        map_scene(tiny_model((plain,)), {"plain": path}, out, overwrite=True, progress=False)
        assert sorted(file.name for file in out.iterdir()) == sorted([*NAMES, "notes.txt"])
        assert set(np.unique(read(out / "outlines.tif")[0])) == {0, 1}

    def test_bad_rasters_leave_no_folder(self, out, tmp_path, tiny_model, plain):
        with pytest.raises(InputError, match="does not exist"):
            map_scene(tiny_model((plain,)), {"plain": tmp_path / "no.tif"}, out, progress=False)
        assert not out.exists()

    def test_output_is_a_file(self, out, write_raster, tiny_model, plain):
        out.write_text("")
        path = write_raster("a.tif", logits(40, 40))
        with pytest.raises(InputError, match="out is a file"):
            map_scene(tiny_model((plain,)), {"plain": path}, out, progress=False)

    def test_input_that_would_be_overwritten(self, write_raster, tiny_model, plain):
        path = write_raster("confidence.tif", logits(40, 40))
        with pytest.raises(InputError, match=r"confidence\.tif would be overwritten"):
            map_scene(tiny_model((plain,)), {"plain": path}, path.parent, progress=False)

    def test_batch_size(self, out, write_raster, tiny_model, plain):
        path = write_raster("a.tif", logits(40, 40))
        with pytest.raises(InputError, match="batch_size is 0; give 1 or more"):
            map_scene(tiny_model((plain,)), {"plain": path}, out, batch_size=0, progress=False)


class TestInference:
    """What is mapped can be the mean of several predictions."""

    @pytest.fixture
    def checkpoints(self, tmp_path):
        paths = [str(tmp_path / name) for name in ("a.ckpt", "b.ckpt")]
        for seed, path in enumerate(paths):
            torch.manual_seed(seed)
            tiny = {"width": 8, "depth": 1, "heads": 2}
            task = GlaViTUTask(model_args=tiny, image_size=32)
            with torch.no_grad():
                # More would bring logits of millions: then probabilities are 0 or 1, and where
                # two logits are close, rounding decides which.
                for parameter in task.parameters():
                    parameter += 0.05 * torch.randn_like(parameter)
            trainer = Trainer(logger=False, accelerator="cpu", enable_checkpointing=False)
            trainer.strategy.connect(task)
            trainer.save_checkpoint(path, weights_only=True)
        return paths

    @pytest.fixture
    def tile(self, world):
        return world / "test/HMA_test_000"

    def map(self, checkpoint, tile, *options):
        rasters = ["--optical", str(tile / "optical.tif"), "--dem", str(tile / "dem.tif")]
        arguments = ["map", "--checkpoint", checkpoint, *rasters, "--output", "map", "--overwrite"]
        assert main([*arguments, "--device", "cpu", *options]) == 0
        return read("map/confidence.tif")[0]

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "inference", [["tta"], ["mc-dropout:2"], ["b.ckpt"], ["b.ckpt", "mc-dropout:2"]]
    )
    def test_map_and_predict_of_a_tile_agree(self, world, tile, checkpoints, inference):
        mapped = self.map(checkpoints[0], tile, "--inference", *inference)
        arguments = ["predict", "--checkpoint", checkpoints[0], "--data.root", str(world)]
        arguments += ["--inference", *inference]
        arguments += ["--prediction_writer.output", ".", "--trainer.logger", "false"]
        assert main([*arguments, "--trainer.accelerator", "cpu"]) == 0
        with rasterio.open("HMA_test_000.tif") as file:
            predicted = file.read(2)
        assert np.isfinite(predicted).all()
        # In float64 both are the same; in float32 they differ by up to 1.2e-6 on any processor.
        np.testing.assert_allclose(mapped, predicted, atol=1e-5, rtol=0)
        assert np.abs(mapped - self.map(checkpoints[0], tile)).max() > 0.01

    @pytest.mark.slow
    def test_a_map_by_dropout_is_the_same_again_whatever_the_batches(self, tile, checkpoints):
        options = ["--inference", "mc-dropout:3"]
        once = self.map(checkpoints[0], tile, *options)
        torch.manual_seed(7)
        np.testing.assert_array_equal(self.map(checkpoints[0], tile, *options), once)
        again = self.map(checkpoints[0], tile, *options, "--batch-size", "3")
        np.testing.assert_allclose(again, once, atol=1e-4)

    def test_words_that_are_none_are_refused(self, tile, checkpoints, capsys):
        arguments = ["map", "--checkpoint", checkpoints[0], "--optical", str(tile / "optical.tif")]
        assert main([*arguments, "--output", "map", "--inference", "tta", "c.ckpt"]) == 1
        error = capsys.readouterr().err
        assert "inference 'c.ckpt': there is no such checkpoint" in error
        assert not Path("map").exists()


def test_progress_counts_windows(tmp_path, write_raster, tiny_model, plain, capsys):
    path = write_raster("a.tif", logits(40, 40))
    map_scene(tiny_model((plain,)), {"plain": path}, tmp_path / "a")
    said = capsys.readouterr().err
    assert "9/9" in said
    assert said.index("9/9") < said.index("Writing outlines.tif") < said.index("Vectorising")
    map_scene(tiny_model((plain,)), {"plain": path}, tmp_path / "b", progress=False)
    assert capsys.readouterr().err == ""


def test_confidence_runs_from_a_guess_to_certainty():
    for classes in (2, 3, 5):
        guess = torch.full((1, classes, 1, 1), 1 / classes)
        sure = torch.zeros(1, classes, 1, 1)
        sure[:, 0] = 1
        assert confidence(guess).item() == pytest.approx(0, abs=1e-6)
        assert confidence(sure).item() == pytest.approx(1, abs=1e-4)
    assert confidence(torch.rand(4, 3, 2), dim=-1).shape == (4, 3)


def test_outlines_under_the_least_area_of_inventories_are_left_out_and_counted(
    tmp_path, write_raster, tiny_model, plain
):
    values = np.full((40, 40), -1.0, np.float32)
    values[2:14, 2:14] = 1  # 144 pixels of 900 m2
    values[20:23, 20:23] = 1  # 0.0081 km2
    values[30, 30] = 1
    files = {"plain": write_raster("scene.tif", values)}
    result = map_scene(tiny_model((plain,)), files, tmp_path / "out", progress=False)
    assert (result.glaciers, result.smaller_left_out) == (1, 2)
    assert len(geopandas.read_file(result.outlines)) == 1
    assert read(result.classes)[0].sum() == 144 + 9 + 1
    every = map_scene(tiny_model((plain,)), files, tmp_path / "all", min_area_km2=0, progress=False)
    assert (every.glaciers, every.smaller_left_out) == (3, 0)
