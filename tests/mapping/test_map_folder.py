"""A map that is finished can be opened again, wherever its folder was moved to."""

import json
from datetime import UTC, datetime, timedelta

import geopandas
import numpy as np
import pytest
import rasterio

from glavitu.confidence.calibration import Calibration
from glavitu.confidence.curves import ConfidenceCurve
from glavitu.errors import InputError
from glavitu.mapping import FinishedMap, MapOptions, map_scene, open_map
from glavitu.mapping.map_folder import MapModel

CURVE = ConfidenceCurve([0, 0.3, 1], [0.4, 0.9, 0.8], "kernel_ridge")


@pytest.fixture
def files(write_raster):
    y, x = np.mgrid[:40, :50]
    return {"plain": write_raster("a.tif", (np.sin(x / 7) + np.cos(y / 9)).astype(np.float32))}


@pytest.fixture
def finished(tmp_path, files, tiny_model, plain):
    return map_scene(tiny_model((plain,)), files, tmp_path / "out", progress=False)


def test_all_that_is_known_of_it(tmp_path, files, tiny_model, plain):
    model = tiny_model((plain,))
    model.calibration = Calibration(CURVE)
    given = {"overlap": 0.25, "probability": True, "vector_format": "geojson", "min_area_km2": 1e-3}
    scales = {"plain": (2.0, 0.5)}
    result = map_scene(model, files, tmp_path / "out", scales=scales, progress=False, **given)
    (tmp_path / "out").rename(tmp_path / "moved")
    again = open_map(tmp_path / "moved")
    assert again == FinishedMap(tmp_path / "moved", result.facts)
    assert again.options == MapOptions(scales=scales, batch_size=1, **given)
    assert again.model == MapModel(
        {}, result.facts["weights_sha256"], "", "calibrated (kernel_ridge)", "cpu"
    )
    assert timedelta(0) <= datetime.now(UTC) - again.date < timedelta(minutes=5)
    for path in (again.classes, again.confidence, again.probability):
        with rasterio.open(path) as file:
            assert (file.crs, file.transform, file.shape) == again.grid
    outlines = geopandas.read_file(again.outlines)
    assert len(outlines) == again.glaciers > 0
    assert again.area_km2 == pytest.approx(outlines["area_km2"].sum())
    assert again.confidence_bands.name == "confidence_bands.geojson"
    assert all(path.exists() for path in (again.confidence_bands, again.preview, again.run))


def test_what_was_not_written_is_none(finished):
    again = open_map(str(finished.folder))
    assert again == finished
    assert again.probability is None
    assert again.confidence_bands is None


def test_its_options_map_another_scene_in_the_same_way(
    tmp_path, finished, files, tiny_model, plain
):
    other = map_scene(tiny_model((plain,)), files, tmp_path / "2", **vars(finished.options))
    assert other.facts["fingerprint"] == finished.facts["fingerprint"]


class TestWhatIsNoFinishedMap:
    def test_no_folder(self, tmp_path):
        with pytest.raises(InputError, match=r"none/run\.json does not exist; give the folder"):
            open_map(tmp_path / "none")

    def test_a_file(self, finished):
        with pytest.raises(InputError, match=r"outlines\.tif/run\.json cannot be read"):
            open_map(finished.classes)

    def test_unfinished(self, tmp_path, files, tiny_model, plain):
        class Failing(tiny_model):
            def probabilities(self, image):
                if len(self.images) > 6:
                    raise RuntimeError("out of memory")
                return super().probabilities(image)

        with pytest.raises(RuntimeError):
            map_scene(Failing((plain,)), files, tmp_path / "out", progress=False)
        with pytest.raises(InputError, match="out holds an unfinished map; run the same command"):
            open_map(tmp_path / "out")

    @pytest.mark.parametrize("text", ["{}", "[1]", "{", '{"sweep": 1}'])
    def test_a_run_of_something_else(self, finished, text):
        finished.run.write_text(text)
        with pytest.raises(InputError, match=r"run\.json is not of a map"):
            open_map(finished.folder)

    @pytest.mark.parametrize(
        "key", ["files", "glaciers", "area_km2", "options", "checkpoints", "inference", "date"]
    )
    def test_a_key_that_is_missing(self, finished, key):
        finished.run.write_text(
            json.dumps({name: value for name, value in finished.facts.items() if name != key})
        )
        with pytest.raises(InputError, match=rf"run\.json has no '{key}'; map the scene again"):
            open_map(finished.folder)

    @pytest.mark.parametrize("key", ["glaciers", "options", "checkpoints", "date"])
    def test_a_key_that_is_damaged(self, finished, key):
        finished.run.write_text(json.dumps({**finished.facts, key: "soon"}))
        with pytest.raises(InputError, match=r"run\.json is damaged \(.*\); map the scene again"):
            open_map(finished.folder)

    def test_a_file_that_is_missing(self, finished):
        finished.confidence.unlink()
        with pytest.raises(InputError, match=r"confidence\.tif is missing, which run\.json lists"):
            open_map(finished.folder)
