"""The rasters of a map are cloud-optimised GeoTIFFs that tell where they come from."""

import hashlib
import json

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from glavitu import __version__
from glavitu.errors import InputError
from glavitu.features import FeatureGroup
from glavitu.mapping import cog, map_scene


@pytest.mark.parametrize(
    ("crs", "grid"),
    [
        ("EPSG:3413", from_origin(-200_000, -2_000_000.5, 30, 30)),
        ("EPSG:4326", from_origin(86.123456789012, 28, 1 / 3600, 1 / 3600)),
    ],
)
def test_they_are_cloud_optimised_and_where_the_scene_is(
    tmp_path, write_raster, tiny_model, plain, crs, grid
):
    values = np.add.outer(np.sin(np.arange(600) / 50), np.cos(np.arange(700) / 40))
    values = values.astype(np.float32)
    values[:100] = np.nan
    path = write_raster("a.tif", values, crs, grid)
    result = map_scene(
        tiny_model((plain,), image_size=256),
        {"plain": path},
        tmp_path / "out",
        probability=True,
        progress=False,
    )
    for raster in (result.classes, result.confidence, result.probability):
        with rasterio.open(raster) as file, rasterio.open(path) as scene:
            assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert file.overviews(1) == [2]
            assert (file.crs, file.transform, file.shape) == (scene.crs, grid, (600, 700))
            tags = file.tags()
            whole, reduced = file.read(1), file.read(1, out_shape=(300, 350))
        assert (tags["glavitu_version"], tags["confidence"]) == (__version__, "raw")
        assert json.loads(tags["options"])["overlap"] == 0.5
        assert json.loads(tags["inputs"])[0]["path"] == str(path)
    # The last was the probability; its overviews are means.
    np.testing.assert_allclose(reduced[60:], whole[120:].reshape(240, 2, 350, 2).mean((1, 3)), 1e-5)
    np.testing.assert_allclose(whole[100:], 1 / (1 + np.exp(-values[100:])), atol=1e-6)
    assert np.isnan(whole[:100]).all()


def test_run_json_tells_how_it_was_made(tmp_path, write_raster, tiny_model, plain):
    path = write_raster("a.tif", np.ones((40, 50), np.float32))
    result = map_scene(tiny_model((plain,)), {"plain": path}, tmp_path / "out", progress=False)
    run = json.loads(result.run.read_text())
    assert run["glavitu"] == __version__
    assert (run["device"], run["precision"], run["confidence"]) == ("cpu", "float32", "raw")
    assert run["inputs"][0]["bytes"] == path.stat().st_size
    assert set(run["seconds"]) == {"predicting", "rasters", "vectorising", "preview"}
    assert (run["glaciers"], run["area_km2"]) == (result.glaciers, result.area_km2)
    assert sorted([*run["files"], "run.json"]) == sorted(
        file.name for file in (tmp_path / "out").iterdir()
    )


def test_the_checkpoint_is_named_with_its_hash(tmp_path, write_raster, tiny_model, plain):
    checkpoint = tmp_path / "best.ckpt"
    checkpoint.write_bytes(b"weights")
    model = tiny_model((plain,))
    model.checkpoints = (str(checkpoint),)
    path = write_raster("a.tif", np.ones((40, 50), np.float32))
    result = map_scene(model, {"plain": path}, tmp_path / "out", progress=False)
    with rasterio.open(result.classes) as file:
        tags = file.tags()
    digest = hashlib.sha256(b"weights").hexdigest()
    assert (tags["checkpoint"], tags["checkpoint_sha256"]) == ("best.ckpt", digest)


def test_a_raster_that_is_not_whole_is_found_out(
    tmp_path, write_raster, tiny_model, plain, monkeypatch
):
    copy = cog.rasterio.shutil.copy

    def lossy(source, path, **options):
        copy(source, path, **options)
        with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file:
            file.write(np.full((1, 1), 0.5, np.float32), 1, window=((30, 31), (20, 21)))

    path = write_raster("a.tif", np.ones((40, 50), np.float32))
    model = tiny_model((plain,))
    with monkeypatch.context() as patched:
        patched.setattr(cog.rasterio.shutil, "copy", lossy)
        with pytest.raises(
            InputError, match="is not whole: what is read back differs.* the same command goes on"
        ):
            map_scene(model, {"plain": path}, tmp_path / "out", progress=False)
    assert not list((tmp_path / "out").glob("[!.]*"))
    predicted = len(model.images)
    map_scene(model, {"plain": path}, tmp_path / "out", progress=False)
    assert len(model.images) == predicted


@pytest.mark.parametrize(("columns", "told"), [(96, False), (48, True), (10, True)])
def test_a_group_that_reaches_a_part_of_the_map_is_named(
    tmp_path, write_raster, tiny_model, plain, caplog, columns, told
):
    other = FeatureGroup("other", ("value",), (0,), (1,))
    values = np.random.default_rng(0).random((96, 96)).astype(np.float32)
    files = {"plain": write_raster("a.tif", values)}
    files["other"] = write_raster("b.tif", values[:, :columns])
    result = map_scene(tiny_model((plain, other)), files, tmp_path / "out", progress=False)
    with rasterio.open(result.classes) as file:
        assert (file.read(1)[:, columns:] == 255).all()
    said = [line for line in caplog.messages if "b.tif: reaches about" in line]
    assert len(said) == told
    assert not told or f"about {100 * columns / 96:.0f} % of the map" in said[0]
