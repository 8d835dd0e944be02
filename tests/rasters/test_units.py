import warnings

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from glavitu.errors import InputError
from glavitu.features import CO_POL_SAR, DEM, IN_SAR, OPTICAL, THERMAL, FeatureGroup
from glavitu.rasters.scene import Scene
from glavitu.rasters.units import Units, units_of

RNG = np.random.default_rng(0)
#: A grid on which the rasters here are averaged two by two.
COARSE = from_origin(500_000, 3_100_000, 60, 60)


def values_of(path, group, **options):
    files = path if isinstance(path, dict) else {group.name: path}
    with Scene(files, (group,), **options) as scene:
        scene.read(scene.bounds)
        return scene.read_group(group, scene.bounds)


@pytest.fixture
def reflectance(write_raster):
    """Reflectance as Sentinel-2 has it since 2022: (DN - 1000) / 10000, 0 is nodata."""
    numbers = RNG.integers(1000, 12_000, (6, 20, 30)).astype(np.uint16)
    numbers[:, :3] = 0
    expected = np.where(numbers == 0, np.nan, numbers * 1e-4 - 0.1)
    return write_raster("optical.tif", numbers, nodata=0), expected


def test_scale_and_offset_of_the_file(reflectance):
    path, expected = reflectance
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = [1e-4] * 6, [-0.1] * 6
    np.testing.assert_allclose(values_of(path, OPTICAL), expected, atol=1e-6)
    given = {"optical": Units(scale=2e-4, offset=-0.2)}  # counts instead
    np.testing.assert_allclose(values_of(path, OPTICAL, units=given), 2 * expected, atol=1e-6)


def test_each_band_has_its_own_scale(write_raster):
    path = write_raster("a.tif", np.ones((2, 5, 5), dtype=np.int16))
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = [10, 1], [0, 0.5]
    pair = FeatureGroup("pair", ("a", "b"), (0, 0), (1, 1))
    np.testing.assert_array_equal(values_of(path, pair)[:, 0, 0], [10, 1.5])


def test_scale_and_offset_that_are_given(reflectance):
    path, expected = reflectance
    units = {"optical": Units(scale=1e-4, offset=-0.1)}
    np.testing.assert_allclose(values_of(path, OPTICAL, units=units), expected, atol=1e-6)


def test_integers_without_a_scale_name_the_option(reflectance):
    path, _ = reflectance
    with pytest.raises(InputError) as caught:
        values_of(path, OPTICAL)
    for part in (str(path), "optical (blue)", "--scale optical=0.0001", "gdal_edit.py -scale"):
        assert part in str(caught.value)


def test_decibels_become_linear_before_they_are_averaged(write_raster):
    decibels = RNG.uniform(-25, 5, (2, 20, 30)).astype(np.float32)
    path = write_raster("sar.tif", decibels)
    linear = 10 ** (decibels / 10)
    units = {"co_pol_sar": Units(decibels=True)}
    np.testing.assert_allclose(values_of(path, CO_POL_SAR, units=units), linear, rtol=1e-5)
    with Scene({"co_pol_sar": path}, (CO_POL_SAR,), units=units) as scene:
        grid = scene.grid._replace(transform=COARSE, shape=(10, 15))
    means = linear.reshape(2, 10, 2, 15, 2).mean(axis=(2, 4))
    found = values_of(path, CO_POL_SAR, units=units, grid=grid)
    np.testing.assert_allclose(found, means, rtol=1e-5)


def test_sigma0_of_zero_in_decibels_is_missing(write_raster):
    decibels = np.full((2, 4, 4), -12, dtype=np.float32)
    decibels[:, 0] = -np.inf
    units = {"co_pol_sar": Units(decibels=True)}
    found = values_of(write_raster("sar.tif", decibels), CO_POL_SAR, units=units)
    np.testing.assert_array_equal(np.isnan(found), np.isneginf(decibels))


def test_decibels_that_are_not_named_are_an_error(write_raster):
    linear = RNG.random((20, 30), dtype=np.float32)
    path = write_raster("sar.tif", np.stack([linear, 10 * np.log10(linear) - 10]))
    with pytest.raises(InputError) as caught:
        values_of(path, CO_POL_SAR)
    for part in (str(path), "co_pol_sar (descending)", "give --decibels"):
        assert part in str(caught.value)


def test_linear_sigma0_that_is_said_to_be_in_decibels_is_an_error(write_raster):
    linear = RNG.gamma(4, 0.02, (2, 20, 30)).astype(np.float32)
    path = write_raster("sar.tif", linear)
    values_of(path, CO_POL_SAR)
    with pytest.raises(InputError, match="--decibels is given, the file may be linear already"):
        values_of(path, CO_POL_SAR, units={"co_pol_sar": Units(decibels=True)})


def test_slope_in_percent(write_raster):
    percent = RNG.uniform(0, 250, (20, 30)).astype(np.float32)
    elevation = RNG.uniform(0, 4000, (20, 30)).astype(np.float32)
    units = {"slope": Units(percent=True)}
    both = write_raster("both.tif", np.stack([elevation, percent]))
    alone = {
        "dem": write_raster("dem.tif", elevation),
        "slope": write_raster("slope.tif", percent),
    }
    for files in (both, alone):
        found = values_of(files, DEM, units=units)
        np.testing.assert_array_equal(found[0], elevation)
        np.testing.assert_allclose(found[1], np.degrees(np.arctan(percent / 100)), rtol=1e-5)


def test_slope_in_percent_that_is_not_named_is_an_error(write_raster):
    dem = np.stack([np.full((20, 30), 4000.0), RNG.uniform(0, 250, (20, 30))]).astype(np.float32)
    path = write_raster("dem.tif", dem)
    with pytest.raises(InputError, match=r"dem\.tif: dem \(slope\).* --slope-percent"):
        values_of(path, DEM)


def test_coherence_in_percent_that_is_not_named_is_an_error(write_raster):
    percent = RNG.uniform(0, 100, (2, 20, 30)).astype(np.float32)
    percent[:, :15] /= 200
    path = write_raster("insar.tif", percent)
    with pytest.raises(InputError, match=r"insar\.tif: in_sar.*--scale in_sar=0\.01"):
        values_of(path, IN_SAR)


@pytest.mark.parametrize(
    ("group", "channels"),
    [
        (OPTICAL, [(-0.02, 1.8)] * 6),
        (DEM, [(-100, 8848), (0, 89)]),
        (CO_POL_SAR, [(-0.3, 15)] * 2),
        (IN_SAR, [(0, 1)] * 2),
        (THERMAL, [(190, 330)]),
    ],
)
def test_the_units_asked_for_raise_no_alarm(write_raster, group, channels):
    values = np.stack([RNG.uniform(low, high, (30, 30)) for low, high in channels])
    values = values.astype(np.float32)
    path = write_raster("a.tif", values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(values_of(path, group), values)
    values[:, 7] = 60_000
    values[:, 11] = -9999
    path = write_raster("b.tif", values)
    values[:, [7, 11]] = np.nan
    with pytest.warns(UserWarning, match=r"b\.tif: .* taken as missing; say so with --nodata"):
        np.testing.assert_array_equal(values_of(path, group), values)


def test_groups_of_ones_own_may_have_any_units(write_raster):
    own = FeatureGroup("optical", ("red",), (0.0,), (255.0,))
    path = write_raster("a.tif", RNG.integers(0, 60_000, (20, 20)).astype(np.uint16))
    assert values_of(path, own).max() > 255


def test_scaled_files_are_exempt(write_raster):
    path = write_raster("a.tif", np.full((2, 5, 5), -5, dtype=np.float32), glavitu_scaled="1")
    with rasterio.open(path, "r+") as file:
        file.scales = [7, 7]
    np.testing.assert_array_equal(values_of(path, CO_POL_SAR), -5)
    with pytest.raises(InputError, match=r"a\.tif has scaled values.*leave out the units"):
        values_of(path, CO_POL_SAR, units={"co_pol_sar": Units(decibels=True)})


def test_units_of_the_command_line():
    units = units_of((OPTICAL, DEM, CO_POL_SAR), {"optical": (1e-4, -0.1)}, True, True)
    assert units == {
        "optical": Units(1e-4, -0.1),
        "co_pol_sar": Units(decibels=True),
        "slope": Units(percent=True),
    }
    assert units_of((OPTICAL, CO_POL_SAR)) == {}
    scaled = units_of((CO_POL_SAR,), {"co_pol_sar": (0.1, 0)}, decibels=True)
    assert scaled == {"co_pol_sar": Units(0.1, decibels=True)}
    with pytest.raises(InputError, match="--decibels is for sigma0, but the model uses optical"):
        units_of((OPTICAL,), decibels=True)


def test_infinity_as_nodata_is_no_other_value(write_raster):
    dem = np.full((5, 8), 1500, np.float32)
    dem[0] = np.inf
    path = write_raster("dem.tif", dem)
    found = values_of(path, DEM, units=units_of((DEM,), nodata={"dem": float("inf")}))[0]
    np.testing.assert_array_equal(np.isnan(found), dem == np.inf)


class TestBadUnits:
    @pytest.mark.parametrize("value", ["x", [1], (1, 2)])
    def test_nodata(self, value):
        with pytest.raises(InputError, match=r"nodata value of 'dem' is .*; give a number"):
            units_of((DEM,), nodata={"dem": value})

    def test_slope_that_is_computed(self, write_raster):
        path = write_raster("dem.tif", np.ones((5, 5), dtype=np.float32))
        with pytest.raises(InputError, match=r"slope, but it is computed from .*dem\.tif"):
            Scene({"dem": path}, (DEM,), units={"slope": Units(percent=True)})

    @pytest.mark.parametrize("numbers", [(0, 0), (float("nan"), 0), (1, float("inf")), (None, 3)])
    def test_numbers(self, numbers):
        with pytest.raises(InputError, match=r"give (a finite factor|both)"):
            Units(*numbers)

    @pytest.mark.parametrize(
        ("units", "says"),
        [
            ({"sar": Units(0.1)}, "'sar', which the model does not use; it uses dem, slope"),
            ({"dem": Units(decibels=True)}, "'dem' cannot be in decibels"),
            ({"dem": Units(percent=True)}, "'dem' cannot be in percent, only 'slope' can"),
        ],
    )
    def test_names(self, write_raster, units, says):
        path = write_raster("dem.tif", np.ones((5, 5), dtype=np.float32))
        with pytest.raises(InputError, match=says):
            Scene({"dem": path}, (DEM,), units=units)
