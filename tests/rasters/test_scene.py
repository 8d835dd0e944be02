import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from rasterio.transform import from_origin

from glavitu.errors import InputError
from glavitu.features import DEM, FeatureGroup
from glavitu.rasters.scene import Scene
from glavitu.rasters.target_grid import target_grid
from glavitu.rasters.terrain import slope_degrees
from glavitu.windows import Window

RNG = np.random.default_rng(0)
PAIR = FeatureGroup("pair", ("a", "b"), (10.0, 0.0), (20.0, 2.0))
DEGREES = from_origin(86.0, 28.0, 0.0003, 0.0003)


def values(*shape):
    return RNG.random(shape, dtype=np.float32)


def whole(scene):
    return scene.read(scene.bounds)


def test_channels_are_scaled_and_stacked_in_the_models_order(write_raster, plain):
    one, two = values(2, 9, 7), values(9, 7)
    files = {"plain": write_raster("two.tif", two), "pair": write_raster("one.tif", one)}
    with Scene(files, (PAIR, plain)) as scene:
        image, valid = whole(scene)
        assert (scene.height, scene.width) == (9, 7)
        assert scene.crs.to_epsg() == 32645
    assert image.dtype == torch.float32
    np.testing.assert_allclose(image[0], (one[0] - 10) / 10, atol=1e-6)
    np.testing.assert_allclose(image[1], one[1] / 2, atol=1e-6)
    np.testing.assert_allclose(image[2], two)
    assert valid.all()


def test_beyond_the_raster_the_image_is_zero_and_invalid(write_raster):
    path = write_raster("one.tif", values(2, 9, 7))
    with Scene({"pair": path}, (PAIR,)) as scene:
        full, _ = whole(scene)
        image, valid = scene.read(Window(-3, -2, 16, 12))
        inside = np.s_[..., 3:12, 2:9]
        torch.testing.assert_close(image[inside], full)
        assert valid[inside].all()
        image[inside] = 0
        assert not image.any()
        assert valid.sum() == 9 * 7
        nothing, valid = scene.read(Window(20, 0, 4, 4))
        assert not nothing.any()
        assert not valid.any()


def test_a_raster_whose_rows_go_north_is_turned(write_raster, plain):
    data = values(2, 9, 7)
    north = write_raster("north.tif", data)
    with rasterio.open(north) as file:
        turned = file.transform @ Affine.translation(0, 9) @ Affine.scale(1, -1)
    ones = values(9, 7)
    files = {"pair": north, "plain": write_raster("up.tif", ones[::-1], transform=turned)}
    with Scene(files, (PAIR, plain), grid=target_grid(north)) as scene:
        image, valid = scene.read(Window(2, 1, 4, 5))
    assert valid.all()
    with Scene(files | {"plain": write_raster("down.tif", ones)}, (PAIR, plain)) as scene:
        torch.testing.assert_close(image, scene.read(Window(2, 1, 4, 5))[0])


@pytest.mark.parametrize(
    ("dtype", "nodata", "missing"),
    [("float32", None, np.nan), ("float32", -9999, -9999), ("uint8", 255, 255), ("int16", -1, -1)],
)
def test_missing_pixels_become_zero_before_scaling(write_raster, plain, dtype, nodata, missing):
    data = np.full((2, 4, 5), 12, dtype=dtype)
    data[0, 0, 0] = missing  # one channel still has data
    data[:, 2, 3] = missing  # none has
    other = np.ones((4, 5), dtype=np.float32)
    other[3, 3] = np.nan
    files = {
        "pair": write_raster("a.tif", data, nodata=nodata),
        "plain": write_raster("b.tif", other),
    }
    with Scene(files, (PAIR, plain)) as scene:
        image, valid = whole(scene)
    assert image[0, 0, 0] == -1  # (0 - 10) / (20 - 10)
    assert image[0, 2, 3] == -1
    assert image[1, 2, 3] == 0
    assert image[0, 1, 1] == pytest.approx(0.2)
    expected = np.ones((4, 5), dtype=bool)
    expected[2, 3] = expected[3, 3] = False
    np.testing.assert_array_equal(valid, expected)


def test_slope_comes_from_the_file_from_beside_it_or_from_elevation(write_raster):
    y, x = np.mgrid[:20, :25].astype(np.float32)
    elevation = 4000 + 12 * x - 9 * y
    slope = slope_degrees(elevation, 30, 30)
    both = write_raster("both.tif", np.stack([elevation, slope]))
    alone = write_raster("alone.tif", elevation)
    beside = write_raster("slope.tif", slope)
    images = []
    for files in ({"dem": both}, {"dem": alone, "slope": beside}, {"dem": alone}):
        with Scene(files, (DEM,)) as scene:
            image, valid = whole(scene)
            assert valid.all()
            images.append(image)
    torch.testing.assert_close(images[1], images[0], rtol=0, atol=0)
    torch.testing.assert_close(images[2], images[0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(slope, np.degrees(np.arctan(0.5)), atol=1e-3)


@pytest.mark.parametrize(("crs", "transform"), [("EPSG:4326", DEGREES), ("EPSG:32645", None)])
def test_computed_slope_shows_no_window_borders(write_raster, crs, transform):
    elevation = 4000 + 300 * values(50, 40)
    elevation[20:23, 10:12] = np.nan
    grid = {} if transform is None else {"transform": transform}
    with Scene({"dem": write_raster("dem.tif", elevation, crs=crs, **grid)}, (DEM,)) as scene:
        full, valid = whole(scene)
        assert (~valid).sum() == 6  # where elevation is missing, slope beside it does not help
        for row in range(-8, 50, 16):
            for col in range(-8, 40, 16):
                part, _ = scene.read(Window(row, col, 16, 16))
                top, left = max(row, 0), max(col, 0)
                expected = full[:, top : row + 16, left : col + 16]
                inside = part[:, top - row :, left - col :]
                inside = inside[:, : expected.shape[1], : expected.shape[2]]
                torch.testing.assert_close(inside, expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:4326", from_origin(15.0, 78.5, 0.001, 0.0004)),
        ("EPSG:3857", from_origin(1_670_000, 14_600_000, 150, 150)),
        ("EPSG:2225", from_origin(6_561_000, 1_640_000, 100, 100)),  # feet
    ],
)
def test_slope_is_in_metres_whatever_the_crs(write_raster, crs, transform):
    x = np.mgrid[:10, :10][1].astype(np.float32)
    with Scene({"dem": write_raster("dem.tif", x, crs=crs, transform=transform)}, (DEM,)) as scene:
        # An independent measure of a metre: degrees on a sphere.
        west, east = (scene.centre(Window(5, col, 1, 1)) for col in (4, 5))
        metres = 6.371e6 * np.radians(east[0] - west[0]) * np.cos(np.radians(east[1]))
        rise = 0.2 * metres  # 20 %
    with Scene(
        {"dem": write_raster("dem.tif", rise * x, crs=crs, transform=transform)}, (DEM,)
    ) as scene:
        slope = whole(scene)[0][1, 5, 5] * 88.97835244
    assert slope == pytest.approx(np.degrees(np.arctan(0.2)), rel=0.01)


def test_centre_in_degrees(write_raster, plain):
    path = write_raster("a.tif", values(10, 20), crs="EPSG:4326", transform=DEGREES)
    with Scene({"plain": path}, (plain,)) as scene:
        longitude, latitude = scene.centre(Window(-4, 2, 8, 8))
    assert longitude == pytest.approx(86.0 + 6 * 0.0003)
    assert latitude == pytest.approx(28.0)
    utm = write_raster("b.tif", values(10, 20))
    with Scene({"plain": utm}, (plain,)) as scene:
        longitude, latitude = scene.centre(Window(0, 0, 0, 0))
    assert longitude == pytest.approx(87.0)
    assert latitude == pytest.approx(28.026, abs=0.001)


def test_a_fraction_of_a_pixel_is_no_difference(write_raster, plain):
    files = {
        "pair": write_raster("a.tif", values(2, 6, 6)),
        "plain": write_raster(
            "b.tif", values(6, 6), transform=from_origin(500_000.001, 3_100_000, 30.000001, 30)
        ),
    }
    with Scene(files, (PAIR, plain)) as scene:
        assert whole(scene)[1].all()


def test_reduced_reading_keeps_the_mean_and_what_is_missing(write_raster):
    data = values(2, 40, 60)
    data[:, :20] = np.nan
    with Scene({"pair": write_raster("a.tif", data)}, (PAIR,)) as scene:
        reduced = scene.read_reduced(PAIR, [1], 10)
    assert reduced.shape == (1, 4, 6)
    assert np.isnan(reduced[:, :2]).all()
    assert reduced[0, 2:].mean() == pytest.approx(data[1, 20:].mean(), rel=1e-4)


class TestBadInput:
    """Each error names the file, what was expected, and what to do."""

    def raises(self, files, groups, *parts):
        with pytest.raises(InputError) as caught:
            Scene(files, groups)
        for part in parts:
            assert part in str(caught.value)

    def test_missing_file(self, tmp_path, plain):
        self.raises({"plain": tmp_path / "no.tif"}, (plain,), "no.tif", "does not exist", "check")

    def test_unreadable_file(self, tmp_path, plain):
        path = tmp_path / "notes.tif"
        path.write_text("not a raster")
        self.raises({"plain": path}, (plain,), "notes.tif", "cannot be read", "GeoTIFF")

    def test_a_folder_without_rasters(self, tmp_path, plain):
        self.raises({"plain": tmp_path}, (plain,), str(tmp_path), "cannot be read", "no raster")

    def test_truncated_file(self, write_raster, plain):
        path = write_raster("cut.tif", values(200, 200))
        path.write_bytes(path.read_bytes()[:40_000])
        with (
            pytest.raises(InputError, match=r"cut\.tif cannot be read.*damaged"),
            Scene({"plain": path}, (plain,)) as scene,
        ):
            whole(scene)

    def test_band_count(self, write_raster):
        path = write_raster("a.tif", values(3, 5, 5))
        self.raises({"pair": path}, (PAIR,), "a.tif has 3 band", "needs 2: a, b", "write a file")

    def test_band_counts_of_elevation_and_slope(self, write_raster):
        one, two, three = (write_raster(f"{n}.tif", values(n, 5, 5)) for n in (1, 2, 3))
        self.raises({"dem": three}, (DEM,), "3.tif has 3 bands", "elevation, slope", "computed")
        self.raises({"dem": two, "slope": one}, (DEM,), "twice", "2.tif", "1.tif", "leave one out")
        self.raises({"dem": one, "slope": two}, (DEM,), "2.tif has 2 bands", "slope needs 1")

    def test_missing_group(self, write_raster, plain):
        path = write_raster("a.tif", values(5, 5))
        self.raises({"plain": path}, (PAIR, plain), "no file for pair", "pair, plain")

    def test_group_the_model_does_not_use(self, write_raster, plain):
        path = write_raster("a.tif", values(5, 5))
        files = {"plain": path, "thermal": path}
        self.raises(files, (plain,), "does not use thermal", "a.tif", "Leave")
        self.raises({"plain": path, "slope": path}, (plain,), "does not use slope")

    def test_no_crs(self, write_raster, plain):
        path = write_raster("a.tif", values(5, 5), crs=None)
        self.raises({"plain": path}, (plain,), "a.tif has no coordinate", "rio edit-info --crs")

    @pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
    def test_no_position(self, write_raster, plain):
        path = write_raster("a.tif", values(5, 5), transform=from_origin(0, 0, 1, -1))
        self.raises({"plain": path}, (plain,), "a.tif has no position", "georeference")

    def test_a_crs_without_a_place_on_the_earth(self, write_raster, plain):
        path = write_raster("a.tif", values(5, 5), crs='LOCAL_CS["site",UNIT["metre",1]]')
        self.raises({"plain": path}, (plain,), "a.tif", "no known place", "EPSG:32645")

    @pytest.mark.parametrize(
        ("shape", "grid", "says", "does_not_say"),
        [
            ((5, 6), {}, "size (5 x 6 against 5 x 5", "origin"),
            (
                (5, 5),
                {"transform": from_origin(500_015, 3_100_000, 30, 30)},
                "origin (500015, 3100000 against 500000, 3100000)",
                "pixel size",
            ),
            (
                (5, 5),
                {"transform": from_origin(500_000, 3_100_000, 20, 30)},
                "pixel size or rotation (20 x -30 against 30 x -30)",
                "origin",
            ),
            ((5, 5), {"crs": "EPSG:32644"}, "CRS (EPSG:32644 against EPSG:32645)", "size"),
        ],
    )
    def test_grids_that_differ(self, write_raster, plain, shape, grid, says, does_not_say):
        files = {
            "pair": write_raster("a.tif", values(2, 5, 5)),
            "plain": write_raster("b.tif", values(*shape), **grid),
        }
        with pytest.raises(InputError) as caught:
            Scene(files, (PAIR, plain))
        message = str(caught.value)
        assert f"b.tif differs from {files['pair']} in {says}" in message
        assert "rio warp INPUT OUTPUT --like" in message
        assert does_not_say not in message.split("differs from")[1].split("Bring")[0]

    def test_all_files_that_differ_are_named(self, write_raster, plain):
        files = {
            "pair": write_raster("a.tif", values(2, 5, 5)),
            "plain": write_raster("b.tif", values(6, 6)),
            "dem": write_raster("c.tif", values(1, 5, 5), crs="EPSG:32644"),
        }
        self.raises(files, (PAIR, plain, DEM), "b.tif differs", "c.tif differs", "CRS", "size")
