import numpy as np
import pytest
import torch

from glavitu.confidence.window_measures import (
    FEWEST_PIXELS,
    QUANTILES,
    WindowHistograms,
    measure_window,
    measures_of,
    quantile_of,
)
from glavitu.errors import InputError
from glavitu.features import CO_POL_SAR, DEM, OPTICAL, FeatureGroup

TWO = (FeatureGroup("two", ("a", "b"), (0.0, 10.0), (2.0, 30.0)),)


def window(size=32, seed=0, channels=2) -> torch.Tensor:
    return torch.from_numpy(
        np.random.default_rng(seed).uniform(0.1, 0.9, (channels, size, size)).astype(np.float32)
    )


def by_name(image, groups=TWO) -> dict:
    measured = measure_window(image, groups).tolist()
    return {(m.name, m.quantile): v for m, v in zip(measures_of(groups), measured, strict=True)}


def test_quantiles_and_relative_differences_are_those_of_numpy():
    image = window()
    found = by_name(image)
    a, b = image.numpy().reshape(2, -1)
    for name, values in (("two.a", a), ("two.b", b)):
        for quantile in QUANTILES:
            expected = np.quantile(values, quantile)
            assert found[name, quantile] == pytest.approx(expected, abs=1e-5)
    relative = np.sort((a - b) / (a + b))
    assert found["two.a-b", None] == pytest.approx(np.median(relative), abs=2e-3)


def test_of_large_windows_a_grid_of_pixels_is_looked_at():
    image = window(256)
    assert by_name(image) == by_name(image[:, ::4, ::4])


def test_padding_and_filled_in_values_do_not_count():
    image = window()
    expected = by_name(image[:, :16])
    image[:, 16:24] = 0  # beyond the tile
    image[:, 24:] = TWO[0].scale(torch.full((2, 8, 32), torch.nan))
    assert by_name(image) == pytest.approx(expected)
    # The same in the precision of a training that rounds.
    rounded = by_name(image.bfloat16())
    assert rounded == pytest.approx(by_name(image[:, :16].bfloat16()))


def test_what_is_known_of_too_few_pixels_is_nothing():
    image = window()
    image[0].view(-1)[FEWEST_PIXELS - 1 :] = 0
    found = by_name(image)
    assert np.isnan(found["two.a", 0.5])
    assert np.isnan(found["two.a-b", None])
    assert found["two.b", 0.5] == pytest.approx(0.5, abs=0.05)


def test_the_difference_of_channels_does_not_change_with_the_light():
    image = window()
    assert by_name(image * 0.5)["two.a-b", None] == pytest.approx(by_name(image)["two.a-b", None])
    swapped = by_name(image.flip(0))["two.a-b", None]
    assert swapped == pytest.approx(-by_name(image)["two.a-b", None], abs=2e-3)


def test_another_number_of_channels_is_said():
    with pytest.raises(InputError, match="3 channels, but the features two have 2"):
        measure_window(window(channels=3), TWO)


def test_measures_speak_in_the_units_of_their_channels():
    names = [m.name for m in measures_of((OPTICAL, DEM)) if m.quantile in (0.5, None)]
    assert names[0] == "optical.blue"
    assert "optical.nir-swir1" in names
    assert "dem.elevation-slope" in names
    assert len(measures_of((OPTICAL, DEM))) == 8 * len(QUANTILES) + 5 + 1
    elevation = next(m for m in measures_of((DEM,)) if m.channel == "elevation")
    scaled = float(DEM.scale(torch.tensor([3000.0, 0.0])[:, None, None])[0, 0, 0])
    assert elevation.in_units(scaled) == pytest.approx(3000, rel=1e-4)
    sigma0 = next(iter(measures_of((CO_POL_SAR,))))
    scaled = float(CO_POL_SAR.scale(torch.full((2, 1, 1), 0.05))[0, 0, 0])
    assert sigma0.in_units(scaled) == pytest.approx(0.05, rel=1e-4)


def test_histograms_give_the_quantiles_of_many_windows():
    histograms = WindowHistograms(TWO)
    levels = np.linspace(0.2, 0.8, 101)
    for level in levels:
        histograms.add(torch.full((1, 2, 16, 16), float(level)))
    assert histograms.windows == 101
    bin_width = 1 / 512
    for share in (0.005, 0.25, 0.5, 0.995):
        low, high = (quantile_of(histograms.counts, share, upper) for upper in (False, True))
        expected = np.quantile(levels, share)
        # Between windows numpy interpolates: half a step of the levels more.
        assert low[0] == pytest.approx(expected, abs=bin_width + 0.006)
        assert high[0] == pytest.approx(float(low[0]) + bin_width)


def test_values_far_out_are_counted_in_the_outer_bins():
    histograms = WindowHistograms(TWO)
    histograms.add(torch.full((1, 2, 16, 16), 1e30))
    assert quantile_of(histograms.counts, 0.5, upper=True)[0] == 2
    empty = WindowHistograms(TWO)
    empty.add(torch.zeros(1, 2, 16, 16))
    assert quantile_of(empty.counts, 0.5).isnan().all()
