import numpy as np
import pytest
import rasterio
from scipy.ndimage import generic_filter, median_filter

from glavitu.errors import InputError
from glavitu.mapping import map_scene, smoothing
from glavitu.mapping.smoothing import median_of_classes


def directly(classes, window):
    """Median of the known pixels around each; where it is between the classes, the pixel stays."""
    values = np.where(classes == 255, np.nan, classes.astype(float))
    median = generic_filter(values, np.nanmedian, size=window, mode="constant", cval=np.nan)
    kept = (classes == 255) | (median == 0.5)
    return np.where(kept, classes, np.nan_to_num(median)).astype(np.uint8)


@pytest.mark.filterwarnings("ignore:All-NaN slice")
@pytest.mark.parametrize("window", [1, 3, 7, 51])
@pytest.mark.parametrize("shape", [(40, 30), (1, 50), (1, 1)])
def test_it_is_the_median_of_what_is_known(window, shape):
    rng = np.random.default_rng(0)
    classes = rng.choice(np.array([0, 1, 255], np.uint8), shape, p=[0.45, 0.45, 0.1])
    np.testing.assert_array_equal(median_of_classes(classes, window), directly(classes, window))


def test_away_from_borders_it_is_scipys():
    classes = np.random.default_rng(0).integers(0, 2, (60, 50), dtype=np.uint8)
    inside = np.s_[2:-2, 2:-2]
    expected = median_filter(classes, 5)[inside]
    np.testing.assert_array_equal(median_of_classes(classes, 5)[inside], expected)


def test_a_map_is_smoothed_as_a_whole(tmp_path, write_raster, tiny_model, plain, monkeypatch):
    monkeypatch.setattr(smoothing, "STRIP_ROWS", 7)
    values = np.random.default_rng(0).normal(0, 2, (70, 45)).astype(np.float32)
    values[20:30, 10:20] = np.nan
    model, path = tiny_model((plain,)), write_raster("a.tif", values)
    maps = []
    for window in (0, 5):
        result = map_scene(
            model, {"plain": path}, tmp_path / str(window), smoothing=window, progress=False
        )
        with rasterio.open(result.classes) as file, rasterio.open(result.confidence) as sure:
            maps.append((file.read(1), sure.read(1)))
    (raw, raw_sure), (smooth, smooth_sure) = maps
    np.testing.assert_array_equal(smooth, median_of_classes(raw, 5))
    assert (smooth != raw).any()
    np.testing.assert_array_equal(smooth_sure, raw_sure)


@pytest.mark.parametrize("window", [-1, 2, 4])
def test_squares_without_a_middle_are_refused(tmp_path, tiny_model, plain, window):
    with pytest.raises(InputError, match=f"smoothing is {window}; .* an odd number such as 5"):
        map_scene(tiny_model((plain,)), {}, tmp_path, smoothing=window)
