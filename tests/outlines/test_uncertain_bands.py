import numpy as np
import pytest
import rasterio
from rasterio.features import rasterize

from glavitu.outlines import attributes, uncertain_bands
from glavitu.outlines.uncertain_bands import confidence_bands

from ..raster_files import UTM

CRS = "EPSG:32645"


def test_by_hand():
    confidence = np.ones((4, 5), np.float32)
    confidence[0, :3] = 0.9, 0.8, 0.94
    confidence[2:, 4] = 0.5, 0.95
    confidence[3, 0] = np.nan
    found = confidence_bands(confidence, UTM, CRS)
    assert found.columns.tolist() == ["area_km2", "mean_confidence", "geometry"]
    assert found.geometry.area.tolist() == [2700, 900]
    assert found["area_km2"].tolist() == pytest.approx([0.0027, 0.0009], rel=1e-3)
    assert found["mean_confidence"].tolist() == pytest.approx([0.88, 0.5])
    assert found.crs.to_epsg() == 32645


@pytest.mark.parametrize("seed", range(4))
def test_a_band_gives_what_an_array_gives_strip_by_strip(monkeypatch, write_raster, seed):
    confidence = np.random.default_rng(seed).random((60, 50), dtype=np.float32) ** 0.1
    confidence[20:24, 10:30] = np.nan
    whole = confidence_bands(confidence, UTM, CRS)
    for module in (attributes, uncertain_bands):
        monkeypatch.setattr(module, "STRIP_PIXELS", 7 * 50)
    with rasterio.open(write_raster("confidence.tif", confidence)) as file:
        strips = confidence_bands(rasterio.band(file, 1), UTM, CRS)
    assert strips.geometry.is_valid.all()
    mask = rasterize(strips.geometry, out_shape=confidence.shape, transform=UTM)
    np.testing.assert_array_equal(mask == 1, confidence < 0.95)
    assert strips["area_km2"].sum() == pytest.approx(whole["area_km2"].sum())
    assert strips["mean_confidence"].mean() == pytest.approx(whole["mean_confidence"].mean())


@pytest.mark.parametrize("value", [1, 0.95, np.nan])
def test_nothing_uncertain_is_an_empty_table(value):
    found = confidence_bands(np.full((3, 4), value, np.float32), UTM, CRS)
    assert found.empty
    assert found.columns.tolist() == ["area_km2", "mean_confidence", "geometry"]
    assert found.crs.to_epsg() == 32645


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
def test_a_single_row_or_column(shape):
    found = confidence_bands(np.zeros(shape, np.float32), UTM, CRS)
    assert len(found) == 1
    assert found.geometry[0].area == 900 * np.prod(shape)
