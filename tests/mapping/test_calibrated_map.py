import logging

import geopandas
import numpy as np
import pytest
import rasterio
import torch

from glavitu.confidence.calibration import Calibration
from glavitu.confidence.curves import ConfidenceCurve
from glavitu.errors import InputError
from glavitu.mapping import map_scene
from glavitu.regions import region_index

ALL = ConfidenceCurve([0, 0.3, 1], [0.4, 0.9, 0.8], "kernel_ridge")
OWN = ConfidenceCurve([0, 1], [0, 0.5], "kernel_ridge")


@pytest.fixture
def scene(write_raster):
    values = np.random.default_rng(0).normal(0, 2, (45, 70)).astype(np.float32)
    values[:5, :5] = np.nan
    return {"plain": write_raster("scene.tif", values)}


def confidence_of(model, scene, output, **options):
    result = map_scene(model, scene, output, progress=False, **options)
    with rasterio.open(result.confidence) as file:
        sure, tag = torch.from_numpy(file.read(1)), file.tags()["confidence"]
    return sure, tag, geopandas.read_file(result.outlines)["mean_confidence"]


@pytest.mark.parametrize(
    ("region", "curve"), [(None, ALL), ("SC", ALL), ("HMA", OWN)], ids=["none", "other", "own"]
)
def test_a_map_has_exactly_what_the_curve_makes_of_raw_confidence(
    tmp_path, scene, tiny_model, plain, region, curve
):
    model = tiny_model((plain,))
    raw, tag, means = confidence_of(model, scene, tmp_path / "raw")
    assert tag == "raw"
    model.calibration = Calibration(ALL, {region_index("HMA"): OWN})
    sure, tag, calibrated_means = confidence_of(model, scene, tmp_path / "out", region=region)
    assert tag == "calibrated (kernel_ridge)"
    assert torch.equal(sure.isnan(), raw.isnan())
    known = ~raw.isnan()
    assert known.sum() == 45 * 70 - 25
    assert torch.equal(sure[known], curve(raw[known]))
    # Of the second curve, which is linear, the mean is what it makes of the mean.
    if curve is OWN:
        np.testing.assert_allclose(calibrated_means, means / 2, rtol=1e-5)
    assert not np.allclose(calibrated_means, means, rtol=0.1)


def test_a_raw_map_says_so(tmp_path, scene, tiny_model, plain, caplog):
    with caplog.at_level(logging.WARNING):
        confidence_of(tiny_model((plain,)), scene, tmp_path / "raw")
        (message,) = caplog.messages
        assert "The confidence is raw" in message
        assert "glavitu calibrate" in message
        model = tiny_model((plain,))
        model.calibration = Calibration(ALL)
        confidence_of(model, scene, tmp_path / "calibrated")
    assert len(caplog.messages) == 1


def test_a_region_is_refused_where_there_is_one_curve_for_all(tmp_path, scene, tiny_model, plain):
    model = tiny_model((plain,))
    model.calibration = Calibration(ALL)
    with pytest.raises(InputError, match="takes no region"):
        map_scene(model, scene, tmp_path / "out", region="HMA", progress=False)
