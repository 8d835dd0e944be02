"""What is impossible or unusual in rasters, and what files say of themselves."""

import warnings

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

from glavitu.errors import InputError
from glavitu.features import CO_POL_SAR, DEM, IN_SAR, OPTICAL, THERMAL, FeatureGroup
from glavitu.rasters.scene import Scene
from glavitu.rasters.units import Units, units_of
from glavitu.windows import Window

SHAPE = (60, 80)


def rng():
    return np.random.default_rng(0)


def reflectance(shape=SHAPE):
    """As of land and snow, (6, h, w)."""
    return rng().uniform(0.02, 0.9, (6, *shape)).astype(np.float32)


def terrain(shape=SHAPE):
    """Metres, (h, w)."""
    return (1500 + 500 * rng().random(shape)).astype(np.float32)


def read(files, group, **options):
    with Scene(files if isinstance(files, dict) else {group.name: files}, (group,), **options) as s:
        return s.read_group(group, s.bounds)


def quiet(files, group, **options):
    """Read where nothing may be said."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read(files, group, **options)


class TestMissingValuesThatNobodyMarked:
    @pytest.mark.parametrize(
        ("value", "dtype", "tag"),
        [
            (-9999, "float32", None),
            (-9999, "float32", -99999),
            (-32768, "int16", None),
            (-32767, "int16", -32768),
            (9999, "float32", None),
            (32767, "int16", None),
            (65535, "uint16", None),
            (-3.4028235e38, "float32", None),
            (1e20, "float32", None),
            (-9999, "float64", None),
        ],
    )
    def test_of_elevation_are_missing_and_told(self, write_raster, value, dtype, tag):
        dem = terrain().astype(dtype)
        dem[:, 60:] = value
        path = write_raster("dem.tif", dem, nodata=tag)
        with pytest.warns(UserWarning, match=r"dem\.tif: dem \(elevation\).*--nodata dem=") as said:
            found = read(path, DEM)
        assert len(said) == 1
        np.testing.assert_array_equal(np.isnan(found[0]), dem == dem.dtype.type(value))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            again = read(path, DEM, units=units_of((DEM,), nodata={"dem": value}))
        np.testing.assert_array_equal(again, found)

    @pytest.mark.parametrize("value", [0, -1, -99, -500, 8888])
    @pytest.mark.parametrize("columns", [8, 60])
    def test_of_elevation_that_could_be_are_told(self, write_raster, value, columns):
        dem = terrain()
        dem[:, :columns] = value
        path = write_raster("dem.tif", dem)
        with pytest.warns(UserWarning, match=rf"exactly {value} .*--nodata dem={value}$") as said:
            np.testing.assert_array_equal(read(path, DEM)[0], dem)
        assert len(said) == 1
        dem = terrain().round(-9) + 2000  # a plain
        dem[:, :8] = value
        with pytest.warns(UserWarning, match=rf"exactly {value} .*--nodata dem={value}$"):
            read(write_raster("plain.tif", dem), DEM)

    def test_a_lake_is_no_missing_value(self, write_raster):
        dem = np.maximum(terrain(), 1600)  # frequent, but not far from its neighbours
        quiet(write_raster("dem.tif", dem.round(-2) + 1000), DEM)

    def test_saturated_numbers_are_told(self, write_raster):
        numbers = np.round(reflectance() * 1e4 + 1000).astype(np.uint16)
        numbers[:, :, 70:] = 65535
        units = units_of((OPTICAL,), {"optical": (1e-4, -0.1)})
        with pytest.warns(UserWarning, match=r"optical \(blue\) is 6\.45 .*optical=65535$"):
            read(write_raster("optical.tif", numbers), OPTICAL, units=units)

    def test_that_are_most_of_a_file_are_still_missing(self, write_raster):
        dem = terrain()
        dem[:, 5:] = -9999
        with pytest.warns(UserWarning, match="--nodata dem=-9999"):
            assert np.isfinite(read(write_raster("dem.tif", dem), DEM)[0]).sum() == 5 * SHAPE[0]

    def test_that_the_sample_does_not_meet_are_told_when_they_are_read(self, write_raster):
        dem = np.full((900, 900), 1000, np.float32)
        dem[200:210, 200:210] = -9999  # between the parts that are looked at
        path = write_raster("dem.tif", dem)
        with Scene({"dem": path}, (DEM,)) as scene:
            with pytest.warns(UserWarning, match=r"values such as -9999.*--nodata dem=-9999"):
                found = scene.read_group(DEM, Window(150, 150, 100, 100))
            assert np.isnan(found[0]).sum() == 100
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # once
                scene.read_group(DEM, Window(190, 190, 100, 100))

    def test_are_gone_before_pixels_are_interpolated(self, write_raster):
        dem = np.full(SHAPE, 1000, np.float32)
        dem[:, 40:] = -9999
        path = write_raster("dem.tif", dem)
        with pytest.warns(UserWarning, match="-9999"), Scene({"dem": path}, (DEM,)) as scene:
            grid = scene.grid._replace(transform=from_origin(500_007, 3_099_993, 20, 20))
        with pytest.warns(UserWarning, match="-9999"):
            found = read(path, DEM, grid=grid)[0]
        assert set(np.unique(found[np.isfinite(found)])) == {1000}

    @pytest.mark.parametrize("scale", [(1e-4, 0.0), (1e-4, -0.1), (2.75e-5, -0.2)])
    def test_the_black_edge_of_an_orbit(self, write_raster, scale):
        numbers = np.round((reflectance() - scale[1]) / scale[0]).astype(np.uint16)
        numbers[:, :, 70:] = 0
        path = write_raster("optical.tif", numbers)
        units = units_of((OPTICAL,), {"optical": scale})
        with pytest.warns(UserWarning, match=r"optical\.tif.*pixels of 0.*--nodata optical=0"):
            found = read(path, OPTICAL, units=units)
        np.testing.assert_array_equal(np.isnan(found), numbers == 0)

    def test_the_same_in_a_file_for_each_band(self, write_raster):
        numbers = np.round(reflectance() * 1e4).astype(np.uint16)
        numbers[0, :, 70:] = 0  # edges of the bands differ on Landsat 7
        numbers[1:, :, 72:] = 0
        files = [write_raster(f"{n}.tif", band) for n, band in enumerate(numbers)]
        with pytest.warns(UserWarning, match="pixels of 0"):
            found = read({"optical": files}, OPTICAL, units=units_of((OPTICAL,), {"optical": 1e-4}))
        np.testing.assert_array_equal(np.isnan(found), numbers == 0)

    @pytest.mark.parametrize("value", [0, -0.1, -0.2])
    def test_the_same_where_it_was_scaled(self, write_raster, value):
        values = reflectance()
        values[:, :10] = value
        path = write_raster("optical.tif", values)
        with pytest.warns(UserWarning, match=r"in all channels at once.*--nodata optical="):
            found = read(path, OPTICAL)
        np.testing.assert_array_equal(np.isnan(found).all(axis=0), values[0] == np.float32(value))

    def test_zeros_that_are_data(self, write_raster):
        numbers = np.round(reflectance() * 1e4).astype(np.uint16)
        numbers[2, 5] = 0
        path = write_raster("optical.tif", numbers)
        units = units_of((OPTICAL,), {"optical": 1e-4}, nodata={"optical": None})
        assert np.isfinite(quiet(path, OPTICAL, units=units)).all()

    def test_backscatter_of_nothing(self, write_raster):
        sigma0 = rng().gamma(4, 0.02, (2, *SHAPE)).astype(np.float32)
        sigma0[0, :, :8] = 0
        with pytest.warns(UserWarning, match=r"sar\.tif.*--nodata co_pol_sar=0"):
            found = read(write_raster("sar.tif", sigma0), CO_POL_SAR)
        np.testing.assert_array_equal(np.isnan(found), sigma0 == 0)

    def test_elevation_that_falls_to_0_is_told_and_kept(self, write_raster):
        dem = terrain()
        dem[:, :8] = 0
        path = write_raster("dem.tif", dem)
        with pytest.warns(UserWarning, match=r"dem\.tif.*exactly 0.*--nodata dem=0"):
            assert (read(path, DEM)[0, :, :8] == 0).all()
        units = units_of((DEM,), nodata={"dem": 0})
        assert np.isnan(quiet(path, DEM, units=units)[0, :, :8]).all()

    def test_a_coast_is_no_fault(self, write_raster):
        dem = np.broadcast_to(np.maximum(np.arange(80) - 40, 0) * 8, SHAPE).astype(np.float32)
        np.testing.assert_array_equal(quiet(write_raster("dem.tif", dem), DEM)[0], dem)


class TestAnotherUnit:
    @pytest.mark.parametrize(
        ("group", "values", "remedy"),
        [
            (OPTICAL, reflectance() * 1e4 + 1000, r"--scale optical=0\.0001,-0\.1"),
            (OPTICAL, reflectance() * 100, r"--scale optical=0\.01"),
            (OPTICAL, reflectance() * 1e-4, "--scale optical="),
            (OPTICAL, reflectance() * 1e-4 - 0.1, "--scale optical="),
            (DEM, terrain() / 0.3048 + 25_000, r"--scale dem=0\.3048"),
            (DEM, terrain() * 100, r"--scale dem=0\.01"),
            (THERMAL, rng().uniform(-30, 20, SHAPE), r"--scale thermal=1,273\.15"),
            (THERMAL, rng().uniform(8000, 30_000, SHAPE), "--scale"),
            (IN_SAR, rng().uniform(0, 255, (2, *SHAPE)), "--scale in_sar="),
            (IN_SAR, rng().uniform(0, 1, (2, *SHAPE)) * 1e-4, "--scale in_sar="),
            (CO_POL_SAR, rng().normal(-12, 3, (2, *SHAPE)), "--decibels"),
            (CO_POL_SAR, rng().uniform(-0.9, 0, (2, *SHAPE)), "--decibels"),
            (CO_POL_SAR, rng().uniform(100, 400, (2, *SHAPE)), "--scale co_pol_sar="),
        ],
    )
    def test_is_an_error_with_its_remedy(self, write_raster, group, values, remedy):
        path = write_raster("a.tif", values.astype(np.float32))
        with pytest.raises(InputError, match=remedy) as caught:
            read(path, group)
        assert str(path) in str(caught.value)
        assert group.name in str(caught.value)

    def test_values_far_below_a_group_of_ones_own(self, write_raster):
        own = FeatureGroup("rgb", ("red", "green"), (0, 0), (255, 255))
        path = write_raster("a.tif", rng().uniform(0, 255, (2, *SHAPE)).astype(np.float32))
        quiet(path, own)
        with rasterio.open(path, "r+") as file:
            file.scales = [1e-4, 1e-4]
        with pytest.warns(UserWarning, match=r"a\.tif: rgb \(red\).*--scale rgb="):
            read(path, own)

    def test_the_offset_of_sentinel_2_that_was_left_in(self, write_raster):
        numbers = np.round(reflectance() * 1e4 + 1000).astype(np.uint16)
        path = write_raster("optical.tif", numbers)
        with pytest.warns(UserWarning, match=r"--scale optical=0\.0001,-0\.1"):
            read(path, OPTICAL, units=units_of((OPTICAL,), {"optical": 1e-4}))
        quiet(path, OPTICAL, units=units_of((OPTICAL,), {"optical": (1e-4, -0.1)}))

    def test_the_offset_that_was_taken_off_twice(self, write_raster):
        values = reflectance()
        values[4:] /= 3
        values -= 0.1
        with pytest.warns(UserWarning, match=r"below -0\.02.*--scale optical=0\.0001"):
            read(write_raster("optical.tif", values), OPTICAL)

    def test_another_band_as_elevation(self, write_raster):
        with pytest.warns(UserWarning, match=r"dem\.tif.*another band"):
            read(write_raster("dem.tif", reflectance()[0]), DEM)

    def test_depths_of_the_sea_are_missing_and_told(self, write_raster):
        dem = terrain()
        dem[:20] -= 5000
        with pytest.warns(UserWarning, match=r"dem\.tif.*taken as missing"):
            found = read(write_raster("dem.tif", dem), DEM)
        np.testing.assert_array_equal(np.isnan(found[0]), dem < -500)


def test_coherence_is_not_told_to_become_metres(write_raster):
    path = write_raster("coherence.tif", np.full((2, *SHAPE), -9999, np.float32))
    with pytest.raises(InputError, match="--nodata in_sar=VALUE") as caught:
        read(path, IN_SAR)
    assert "metres" not in str(caught.value)


class TestUnitsThatFilesTell:
    def test_a_scale_that_is_none_names_file_and_band(self, write_raster):
        path = write_raster("optical.tif", reflectance())
        with rasterio.open(path, "r+") as file:
            file.scales = [1, 1, float("nan"), 1, 1, 1]
        with pytest.raises(InputError, match=r"optical\.tif: the tags of band 3: scale nan"):
            read(path, OPTICAL)

    @pytest.mark.parametrize(
        ("unit", "factor"),
        [
            ("ft", 0.3048),
            ("feet", 0.3048),
            ("US survey foot", 1200 / 3937),
            ("km", 1000),
            ("cm", 0.01),
            ("[ft_i]", 0.3048),
            ("Fuß", 0.3048),
            ("feet (US)", 1200 / 3937),
            ("ft above mean sea level", 0.3048),
            ("metre", 1),
            ("m", 1),
            ("", 1),
            ("m above geoid", 1),
        ],
    )
    def test_of_elevation(self, write_raster, unit, factor):
        path = write_raster("dem.tif", terrain() / np.float32(factor))
        with rasterio.open(path, "r+") as file:
            file.units = (unit,)
        if factor == 1:
            found = quiet(path, DEM)
        else:
            with pytest.warns(UserWarning, match=r"dem\.tif: dem \(elevation\) is in .*converted"):
                found = read(path, DEM)
        np.testing.assert_allclose(found[0], terrain(), rtol=1e-6)

    @pytest.mark.parametrize(("group", "unit"), [(DEM, "fathom"), (THERMAL, "°Ré")])
    def test_that_nobody_knows_are_told(self, write_raster, group, unit):
        values = terrain() if group is DEM else np.full(SHAPE, 273, np.float32)
        path = write_raster("a.tif", values)
        with rasterio.open(path, "r+") as file:
            file.units = (unit,)
        with pytest.warns(UserWarning, match=rf"a\.tif: .*'{unit}'.* --scale {group.name}="):
            np.testing.assert_array_equal(read(path, group)[0], values)
        quiet(path, group, units={group.name: Units(1.0)})

    @pytest.mark.parametrize("crs", ["EPSG:26913+6360", "EPSG:26913+8228"])
    def test_of_the_heights_of_a_crs(self, write_raster, crs):
        path = write_raster("dem.tif", terrain() / np.float32(0.3048), crs=crs)
        with pytest.warns(UserWarning, match="feet, as the file says"):
            np.testing.assert_allclose(read(path, DEM)[0], terrain(), rtol=3e-6)

    def test_a_scale_that_is_given_counts_instead(self, write_raster):
        path = write_raster("dem.tif", terrain())
        with rasterio.open(path, "r+") as file:
            file.units = ("ft",)
        found = quiet(path, DEM, units={"dem": Units(1.0)})
        np.testing.assert_array_equal(found[0], terrain())

    @pytest.mark.parametrize(
        ("group", "stored", "unit", "expected"),
        [
            (THERMAL, [-3.0], "degC", [270.15]),
            (THERMAL, [26.6], "Fahrenheit", [270.15]),
            (CO_POL_SAR, [-10, -20], "dB", [0.1, 0.01]),
            (IN_SAR, [50, 70], "%", [0.5, 0.7]),
            (OPTICAL, [10, 20, 30, 40, 50, 60], "percent", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
        ],
    )
    def test_of_other_groups(self, write_raster, group, stored, unit, expected):
        values = np.broadcast_to(np.array(stored, np.float32)[:, None, None], (len(stored), 20, 20))
        path = write_raster("a.tif", np.ascontiguousarray(values))
        with rasterio.open(path, "r+") as file:
            file.units = (unit,) * len(stored)
        with pytest.warns(UserWarning, match="as the file says, and is converted"):
            found = read(path, group)
        np.testing.assert_allclose(found[:, 0, 0], expected, rtol=1e-5)


class TestNamesOfBands:
    @pytest.mark.parametrize(
        "names",
        [
            ("red", "green", "blue", "nir", "swir1", "swir2"),
            ("B4", "B3", "B2", "B8", "B11", "B12"),
            ("B04", "B03", "B02", "B8A", "B11", "B12"),
            ("SR_B4", "SR_B3", "SR_B2", "SR_B5", "SR_B6", "SR_B7"),
            ("Red (B3)", "Green (B2)", "Blue (B1)", "NIR", "SWIR 1", "SWIR-2"),
            ("Red", "Green", "Blue", "nir08", "swir16", "swir22"),
            ("665 nm", "560 nm", "492 nm", "833 nm", "1.61 um", "2.19 um"),
            ("red", "green", "blue", None, None, None),
        ],
    )
    def test_put_them_in_order(self, write_raster, names):
        values = reflectance()
        path = write_raster("optical.tif", values[[2, 1, 0, 3, 4, 5]])
        with rasterio.open(path, "r+") as file:
            file.descriptions = names
        with pytest.warns(UserWarning, match=r"optical\.tif: its bands are called"):
            np.testing.assert_array_equal(read(path, OPTICAL), values)

    @pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [3, 2, 1, 0, 5, 4], [5, 4, 3, 2, 1, 0]])
    def test_whatever_the_order(self, write_raster, order):
        values = reflectance()
        path = write_raster("optical.tif", values[order])
        with rasterio.open(path, "r+") as file:
            file.descriptions = [OPTICAL.channels[number] for number in order]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore" if order[0] else "error")
            np.testing.assert_array_equal(read(path, OPTICAL), values)

    def test_of_colours(self, write_raster):
        values = reflectance()
        path = write_raster("optical.tif", values[[2, 1, 0, 3, 4, 5]])
        with rasterio.open(path, "r+") as file:
            colours = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
            file.colorinterp = colours + [ColorInterp.undefined] * 3
        with pytest.warns(UserWarning, match="its bands are called red, green, blue"):
            np.testing.assert_array_equal(read(path, OPTICAL), values)

    def test_that_gdal_makes_up_do_not_count(self, write_raster):
        own = FeatureGroup("bgr", ("blue", "green", "red"), (0,) * 3, (255,) * 3)
        values = rng().integers(1, 255, (3, *SHAPE), dtype=np.uint8)
        np.testing.assert_array_equal(quiet(write_raster("a.tif", values), own), values)

    def test_choose_of_more_bands(self, write_raster):
        names = [f"B{n:02}" for n in range(1, 9)] + ["B8A", *(f"B{n:02}" for n in range(9, 13))]
        values = rng().uniform(0.1, 0.5, (13, *SHAPE)).astype(np.float32)
        path = write_raster("optical.tif", values)
        with rasterio.open(path, "r+") as file:
            file.descriptions = names
        with pytest.warns(UserWarning, match="of its 13 bands, B02, B03, B04, B08, B11, B12"):
            found = read(path, OPTICAL)
        np.testing.assert_array_equal(found, values[[1, 2, 3, 7, 11, 12]])

    def test_that_contradict_are_told(self, write_raster):
        path = write_raster("dem.tif", np.stack([terrain(), np.full(SHAPE, 45, np.float32)]))
        with rasterio.open(path, "r+") as file:
            file.descriptions = ("elevation", "aspect")
        with pytest.warns(UserWarning, match=r"band 2 is called 'aspect', but is read as slope"):
            read(path, DEM)

    @pytest.mark.parametrize(
        "names",
        [
            ["Rot", "Grün", "Blau", "NIR", "SWIR1", "SWIR2"],
            ["rouge", "vert", "bleu", "NIR", "SWIR1", "SWIR2"],
            ["S2_rojo", "S2_verde", "S2_azul", "S2_nir", "S2_swir1", "S2_swir2"],
            ["R", "G", "B", "N", "S1", "S2"],
            ["TM3", "TM2", "TM1", "TM4", "TM5", "TM7"],
            ["4", "3", "2", "8", "11", "12"],
            ["0.665", "0.560", "0.490", "0.842", "1.61", "2.19"],
            ["rhot_665", "rhot_560", "rhot_492", "rhot_833", "rhot_1614", "rhot_2202"],
        ],
    )
    def test_in_other_words(self, write_raster, names):
        values = reflectance()
        path = write_raster("optical.tif", values[[2, 1, 0, 3, 4, 5]])
        with rasterio.open(path, "r+") as file:
            file.descriptions = names
        with pytest.warns(UserWarning, match=r"optical\.tif: its bands are called"):
            np.testing.assert_array_equal(read(path, OPTICAL), values)

    @pytest.mark.parametrize(
        ("numbers", "odd"),
        [
            (("01", "03", "04", "08", "11", "12"), r"'x_B01', but is read as blue"),
            (("02", "03", "04", "08", "8A", "12"), r"'x_B8A', but is read as swir1"),
            (("1", "2", "3", "4", "5", "6"), r"'x_B6', but is read as swir2"),
        ],
    )
    def test_that_are_no_sensors_are_told(self, write_raster, numbers, odd):
        values = reflectance()
        names = [f"x_B{number}" for number in numbers]
        files = [write_raster(f"{n}.tif", band) for n, band in zip(names, values, strict=True)]
        with pytest.warns(UserWarning, match=f"called {odd}"):
            np.testing.assert_array_equal(read({"optical": files}, OPTICAL), values)
        path = write_raster("optical.tif", values)
        with rasterio.open(path, "r+") as file:
            file.descriptions = names
        with pytest.warns(UserWarning, match=f"called {odd}"):
            read(path, OPTICAL)

    def test_that_nobody_gave_tell_nothing(self, write_raster):
        path = write_raster("optical.tif", reflectance())
        with rasterio.open(path, "r+") as file:
            file.descriptions = [f"Band {number}" for number in range(1, 7)]
        np.testing.assert_array_equal(quiet(path, OPTICAL), reflectance())

    def test_of_slope_and_elevation(self, write_raster):
        slope = np.full(SHAPE, 20, np.float32)
        path = write_raster("dem.tif", np.stack([slope, terrain()]))
        with rasterio.open(path, "r+") as file:
            file.descriptions = ("slope", "elevation")
        with pytest.warns(UserWarning, match="called slope, elevation"):
            np.testing.assert_array_equal(read(path, DEM), [terrain(), slope])

    def test_of_files_with_a_band_each(self, write_raster):
        values = reflectance()
        files = [
            write_raster(f"T32_{name}.tif", values[number])
            for number, name in ((2, "B04"), (1, "B03"), (0, "B02"), (3, "B08"))
        ]
        files += [write_raster(f"T32_B1{n}.tif", values[3 + n]) for n in (1, 2)]
        with pytest.warns(UserWarning, match="read in the order of optical"):
            np.testing.assert_array_equal(read({"optical": files}, OPTICAL), values)


def test_what_is_possible_travels_with_a_group_and_makes_no_other_one():
    own = FeatureGroup("dust", ("a",), (0,), (1,), possible=((0, 1),))
    assert FeatureGroup(**own.to_dict()).possible == ((0, 1),)
    known = {k: v for k, v in DEM.to_dict().items() if k != "possible"}  # as 0.1 wrote it
    assert FeatureGroup(**known) == DEM
    assert FeatureGroup(**known).possible == DEM.possible
    for possible in ([[0, 1], [0, 1]], [[1, 0]], [[0, 1, 2]]):
        with pytest.raises(InputError, match=r"'dust'.*possible"):
            FeatureGroup("dust", ("a",), (0,), (1,), possible=possible)
