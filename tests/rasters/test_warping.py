"""Rasters of any grid read on another one."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyproj
import pytest
import rasterio
import torch
from affine import Affine
from rasterio.enums import ColorInterp, Resampling
from rasterio.transform import from_origin
from rasterio.warp import reproject

from glavitu.errors import InputError
from glavitu.features import FeatureGroup
from glavitu.rasters.grid import Grid
from glavitu.rasters.scene import Scene
from glavitu.rasters.target_grid import target_grid
from glavitu.windows import Window

RNG = np.random.default_rng(0)
PAIR = FeatureGroup("pair", ("a", "b"), (0.0, 0.0), (1.0, 1.0))
UTM = rasterio.CRS.from_epsg(32645)
ORIGIN = (500_000, 3_100_000)
GRID = Grid(UTM, from_origin(*ORIGIN, 30, 30), (40, 50))

#: Grids of all kinds that cover GRID: CRS, transform, size.
OTHERS = {
    "degrees": ("EPSG:4326", from_origin(86.99, 28.035, 0.0003, 0.0003), (150, 150)),
    "the next zone": ("EPSG:32644", from_origin(1_090_000, 3_115_000, 35, 35), (60, 70)),
    "shifted": ("EPSG:32645", from_origin(499_887.3, 3_100_111, 30, 30), (60, 60)),
    "coarser": ("EPSG:32645", from_origin(499_800, 3_100_200, 100, 100), (40, 40)),
    "finer": ("EPSG:32645", from_origin(499_951, 3_100_042, 7, 11), (150, 300)),
    "south up": (
        "EPSG:32645",
        Affine(20, 0, 499_900, 0, 20, 3_098_700),
        (80, 90),
    ),
    "rotated": (
        "EPSG:32645",
        Affine.translation(500_750, 3_099_400)
        @ Affine.rotation(-30)
        @ Affine.scale(20, -20)
        @ Affine.translation(-60, -60),
        (120, 120),
    ),
}


def coordinates(transform, shape):
    rows, cols = np.mgrid[: shape[0], : shape[1]] + 0.5
    a, b, c, d, e, f = transform[:6]
    return a * cols + b * rows + c, d * cols + e * rows + f


def surface(x, y):
    """Smooth in the coordinates of UTM."""
    return (1000 + (x - 500_000) / 10 + 300 * np.sin((y - 3_100_000) / 900)).astype(np.float32)


def surface_on(crs, transform, shape):
    x, y = coordinates(transform, shape)
    return surface(*pyproj.Transformer.from_crs(crs, UTM, always_xy=True).transform(x, y))


def read(files, groups, grid=GRID, **options):
    with Scene(files, groups, grid=grid, **options) as scene:
        return scene.read_group(scene.groups[0], scene.bounds)


@pytest.fixture
def speckled(write_raster):
    """Write a raster of noise with holes, on one of the other grids."""

    def write(kind, bands=2):
        crs, transform, shape = OTHERS[kind]
        values = RNG.random((bands, *shape), dtype=np.float32)
        values[:, RNG.random(shape) < 0.05] = np.nan
        values[0, 50:60, 40:70] = np.nan
        return write_raster(f"{kind}.tif".replace(" ", "_"), values, crs, transform)

    return write


@pytest.mark.parametrize("kind", OTHERS)
def test_a_surface_is_the_same_on_every_grid(write_raster, plain, kind):
    crs, transform, shape = OTHERS[kind]
    path = write_raster("other.tif", surface_on(crs, transform, shape), crs, transform)
    expected = surface_on(UTM, GRID.transform, GRID.shape)
    # Where the surface bends, straight lines between pixels of 100 m are up to 0.5 m off.
    tolerance = 0.6 if kind == "coarser" else 0.1
    np.testing.assert_allclose(read({"plain": path}, (plain,))[0], expected, atol=tolerance)


@pytest.mark.parametrize("kind", ["degrees", "the next zone", "shifted", "coarser"])
def test_values_are_those_of_gdal(write_raster, plain, kind):
    crs, transform, shape = OTHERS[kind]
    values = surface_on(crs, transform, shape) + 5 * RNG.random(shape, dtype=np.float32)
    path = write_raster("other.tif", values, crs, transform)
    expected = np.empty(GRID.shape, dtype=np.float32)
    reproject(
        values,
        expected,
        src_transform=transform,
        src_crs=crs,
        dst_transform=GRID.transform,
        dst_crs=UTM,
        resampling=Resampling.bilinear,
        XSCALE=1,
        YSCALE=1,
    )
    np.testing.assert_allclose(read({"plain": path}, (plain,))[0], expected, atol=0.02)


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("pixel", [30, 75])
def test_any_window_is_a_part_of_the_whole(speckled, kind, pixel):
    grid = Grid(UTM, from_origin(*ORIGIN, pixel, pixel), (1200 // pixel, 1500 // pixel))
    files = [speckled(kind), speckled("finer")]
    with Scene({"pair": files}, (PAIR,), grid=grid) as scene:
        whole = scene.read_group(PAIR, scene.bounds)
        assert np.isfinite(whole).mean() > 0.5
        for _ in range(25):
            row, col = RNG.integers(0, grid.shape[0]), RNG.integers(0, grid.shape[1])
            height = RNG.integers(1, grid.shape[0] - row + 1)
            width = RNG.integers(1, grid.shape[1] - col + 1)
            part = scene.read_group(PAIR, Window(row, col, height, width))
            np.testing.assert_array_equal(part, whole[:, row : row + height, col : col + width])


def test_tiles_of_a_large_window_have_no_seams(write_raster, plain, monkeypatch):
    crs, transform, shape = OTHERS["degrees"]
    path = write_raster("other.tif", RNG.random(shape, dtype=np.float32), crs, transform)
    whole = read({"plain": path}, (plain,))
    monkeypatch.setattr("glavitu.rasters.warping.TILE", (7, 9))
    np.testing.assert_array_equal(read({"plain": path}, (plain,)), whole)


def test_coarser_pixels_are_means(write_raster, plain):
    values = RNG.random((90, 120), dtype=np.float32)
    path = write_raster("fine.tif", values, transform=from_origin(*ORIGIN, 10, 10))
    grid = Grid(UTM, GRID.transform, (30, 40))
    means = values.reshape(30, 3, 40, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(read({"plain": path}, (plain,), grid)[0], means, atol=1e-6)


def test_means_leave_out_what_is_missing_and_need_half_of_a_pixel(write_raster, plain):
    values = np.ones((4, 8), dtype=np.float32)
    values[:, 1:4] = 5
    values[0, :2] = np.nan  # half of the first pixel
    values[0:2, 2] = values[0, 3] = np.nan  # three quarters of the second
    path = write_raster("fine.tif", values, transform=from_origin(*ORIGIN, 10, 10))
    grid = Grid(UTM, from_origin(*ORIGIN, 20, 20), (2, 4))
    np.testing.assert_array_equal(
        read({"plain": path}, (plain,), grid)[0], [[3, np.nan, 1, 1], [3, 5, 1, 1]]
    )


def test_data_does_not_grow_into_what_is_missing(write_raster, plain):
    values = np.ones((10, 10), dtype=np.float32)
    values[4:6, 3] = np.nan
    path = write_raster("coarse.tif", values, transform=from_origin(*ORIGIN, 30, 30))
    grid = Grid(UTM, from_origin(499_980, 3_100_020, 10, 10), (34, 34))
    expected = np.full((34, 34), np.nan)
    expected[2:32, 2:32] = np.repeat(np.repeat(values, 3, 0), 3, 1)
    np.testing.assert_array_equal(read({"plain": path}, (plain,), grid)[0], expected)


def test_points_on_the_edge_of_pixels_are_decided_once(write_raster, plain):
    # Pixels of 30 m on a grid of 20 m: every third centre lies on an edge.
    values = np.ones((200, 4), dtype=np.float32)
    values[1::2] = np.nan
    path = write_raster("coarse.tif", values, transform=from_origin(500_000.1, 3_100_000.1, 30, 30))
    grid = Grid(UTM, from_origin(500_000.1, 3_100_000.1, 20, 20), (300, 6))
    known = np.isfinite(read({"plain": path}, (plain,), grid)[0, :, 0])
    np.testing.assert_array_equal(known, np.tile([True, False, False], 100))


@pytest.mark.parametrize("flipped", [False, True])
def test_pixels_on_the_grids_lattice_are_read_as_they_are(write_raster, plain, flipped):
    values = RNG.random((60, 30), dtype=np.float32)
    transform = Affine(30, 0, 500_300, 0, -30, 3_100_150)
    stored, there = values, transform
    if flipped:
        stored, there = values[::-1], Affine(30, 0, 500_300, 0, 30, 3_100_150 - 60 * 30)
    path = write_raster("part.tif", stored, transform=there)
    whole = read({"plain": path}, (plain,))[0]
    np.testing.assert_array_equal(whole[:, 10:40], values[5:45])
    assert np.isnan(whole[:, :10]).all()
    assert np.isnan(whole[:, 40:]).all()
    with Scene({"plain": path}, (plain,), grid=GRID) as scene:
        part = scene.read_group(plain, Window(11, 5, 13, 21))
    np.testing.assert_array_equal(part[0], whole[11:24, 5:26])


def test_files_on_the_very_grid_are_read_as_without_one(write_raster):
    values = RNG.random((2, *GRID.shape), dtype=np.float32)
    values[:, 3] = np.nan
    path = write_raster("same.tif", values)
    with Scene({"pair": path}, (PAIR,)) as strict:
        expected, valid = strict.read(strict.bounds)
        grid = strict.grid
    with Scene({"pair": path}, (PAIR,), grid=grid) as scene:
        image, known = scene.read(scene.bounds)
    torch.testing.assert_close(image, expected, rtol=0, atol=0)
    np.testing.assert_array_equal(known, valid)


class TestMissing:
    """Nodata, masks and alpha are respected wherever a file is."""

    SHIFTED = from_origin(499_985, 3_100_015, 30, 30)

    def known(self, path, group):
        return np.isfinite(read({group.name: path}, (group,)))

    def expected(self, hole):
        """Pixels of GRID whose centre, on the corner of four pixels, belongs to the last."""
        return ~hole[1:41, 1:51]

    @pytest.fixture
    def hole(self):
        return RNG.random((41, 51)) < 0.3

    @pytest.mark.parametrize(("dtype", "nodata"), [("int16", -1), ("uint8", 0), ("float32", -9e9)])
    def test_nodata(self, write_raster, plain, hole, dtype, nodata):
        values = np.where(hole, nodata, 7).astype(dtype)
        path = write_raster("a.tif", values, transform=self.SHIFTED, nodata=nodata)
        np.testing.assert_array_equal(self.known(path, plain)[0], self.expected(hole))
        values = read({"plain": path}, (plain,))
        np.testing.assert_allclose(values[np.isfinite(values)], 7, rtol=1e-6)

    def test_infinite(self, write_raster, plain, hole):
        values = np.where(hole, np.inf, 7).astype(np.float32)
        path = write_raster("a.tif", values, transform=self.SHIFTED)
        np.testing.assert_array_equal(self.known(path, plain)[0], self.expected(hole))

    def test_mask_of_the_dataset(self, write_raster, hole):
        values = np.full((2, 41, 51), 7, dtype=np.uint16)
        path = write_raster("a.tif", values, transform=self.SHIFTED)
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
            file.write_mask(~hole)
        np.testing.assert_array_equal(self.known(path, PAIR), [self.expected(hole)] * 2)

    def test_alpha(self, write_raster, hole):
        values = np.full((3, 41, 51), 7, dtype=np.uint8)
        values[2] = np.where(hole, 0, 255)
        path = write_raster("a.tif", values, transform=self.SHIFTED)
        with rasterio.open(path, "r+") as file:
            file.colorinterp = [ColorInterp.gray, ColorInterp.undefined, ColorInterp.alpha]
        np.testing.assert_array_equal(self.known(path, PAIR), [self.expected(hole)] * 2)

    def test_each_band_for_itself(self, write_raster, hole):
        values = np.full((2, 41, 51), 7, dtype=np.int16)
        values[1][hole] = -1
        path = write_raster("a.tif", values, transform=self.SHIFTED, nodata=-1)
        known = self.known(path, PAIR)
        assert known[0].all()
        np.testing.assert_array_equal(known[1], self.expected(hole))


class TestMosaics:
    def test_where_the_first_has_no_data_the_next_counts(self, write_raster, plain):
        one = np.full(GRID.shape, 1, dtype=np.float32)
        one[:20] = np.nan
        crs, transform, shape = OTHERS["degrees"]
        two = write_raster("two.tif", np.full(shape, 2, dtype=np.float32), crs, transform)
        files = [write_raster("one.tif", one), two]
        np.testing.assert_allclose(read({"plain": files}, (plain,))[0, :20], 2)
        np.testing.assert_array_equal(read({"plain": files}, (plain,))[0, 20:], 1)
        np.testing.assert_allclose(read({"plain": files[::-1]}, (plain,)), 2)

    def test_a_folder_of_more_files_than_are_kept_open(self, write_raster, plain, tmp_path):
        values = RNG.random(GRID.shape, dtype=np.float32)
        for row in range(0, 40, 4):
            for col in range(0, 50, 5):
                transform = GRID.transform @ Affine.translation(col, row)
                name = f"tiles/{row}_{col}.{'TIF' if row else 'tiff'}"
                write_raster(name, values[row : row + 4, col : col + 5], transform=transform)
        folder = tmp_path / "in" / "tiles"
        (folder / "notes.txt").write_text("no raster")
        (folder / "0_0.tiff.aux.xml").write_text("<PAMDataset/>")
        (folder / ".hidden.tif").write_text("no raster either")
        np.testing.assert_array_equal(read({"plain": folder}, (plain,))[0], values)
        with Scene({"plain": folder}, (plain,), grid=GRID) as scene:
            assert len(scene.inputs["plain"]) == 100
            assert scene.files["plain"] == str(folder)

    def test_files_elsewhere_are_left_out(self, write_raster, plain):
        here = write_raster("here.tif", np.ones(GRID.shape, dtype=np.float32))
        far = write_raster(
            "far.tif", np.ones((9, 9), dtype=np.float32), transform=from_origin(0, 0, 30, 30)
        )
        with Scene({"plain": [far, here]}, (plain,), grid=GRID) as scene:
            assert scene.inputs["plain"] == (str(here),)

    def test_none_has_data(self, write_raster, plain):
        nothing = np.full(GRID.shape, np.nan, dtype=np.float32)
        some = nothing.copy()
        some[-1, -1] = 1
        empty = [write_raster(f"{n}.tif", nothing) for n in "ab"]
        for files, expected in ((empty, empty), ([*empty, write_raster("c.tif", some)], [])):
            with Scene({"plain": files}, (plain,), grid=GRID) as scene:
                assert scene.files_without_data() == list(map(str, expected))


def test_single_bands_are_stacked_in_their_order(write_raster):
    a, b = (RNG.random(GRID.shape, dtype=np.float32) for _ in "ab")
    coarse = from_origin(*ORIGIN, 60, 60)
    files = [
        write_raster("b4.tif", a),
        write_raster("b11.tif", np.full((20, 25), 3, dtype=np.float32), transform=coarse),
    ]
    values = read({"pair": files}, (PAIR,))
    np.testing.assert_array_equal(values[0], a)
    np.testing.assert_array_equal(values[1], 3)
    assert read({"pair": [files[0], write_raster("c.tif", b)]}, (PAIR,), None).shape[0] == 2


def test_a_folder_does_not_tell_the_order_of_channels(write_raster, tmp_path):
    for name in ("a", "b"):
        write_raster(f"bands/{name}.tif", np.ones(GRID.shape, dtype=np.float32))
    with pytest.raises(InputError, match=r"one by one in this order: a, b"):
        Scene({"pair": tmp_path / "in" / "bands"}, (PAIR,), grid=GRID)


@pytest.mark.parametrize("kind", OTHERS)
def test_a_picture_of_a_warped_scene(write_raster, plain, kind):
    crs, transform, shape = OTHERS[kind]
    path = write_raster("other.tif", surface_on(crs, transform, shape), crs, transform)
    with Scene({"plain": path}, (plain,), grid=GRID) as scene:
        reduced = scene.read_reduced(plain, [0], 5)
        whole = scene.read_group(plain, scene.bounds)
    assert reduced.shape == (1, 8, 10)
    means = whole[0].reshape(8, 5, 10, 5).mean(axis=(1, 3))
    np.testing.assert_allclose(reduced[0], means, atol=1)


@pytest.mark.parametrize("shape", [(1, 50), (40, 1), (1, 1)])
def test_a_grid_of_one_row_or_column(speckled, shape):
    path = speckled("degrees", bands=2)
    whole = read({"pair": path}, (PAIR,))
    part = read({"pair": path}, (PAIR,), GRID._replace(shape=shape))
    np.testing.assert_array_equal(part, whole[:, : shape[0], : shape[1]])


class TestAround180Degrees:
    GRID = Grid(rasterio.CRS.from_epsg(32601), from_origin(377_000, 7_900_000, 500, 500), (60, 60))

    def expected(self):
        x, y = coordinates(self.GRID.transform, self.GRID.shape)
        longitude = pyproj.Transformer.from_crs(32601, 4326, always_xy=True).transform(x, y)[0]
        assert longitude.min() < -179
        assert longitude.max() > 179
        return longitude % 360

    def raster(self, write_raster, name, west, east):
        longitude = np.arange(west, east, 0.05) + 0.025
        values = np.broadcast_to(longitude % 360, (100, len(longitude))).astype(np.float32)
        return write_raster(name, values, "EPSG:4326", from_origin(west, 73, 0.05, 0.05))

    def test_tiles_on_both_sides(self, write_raster, plain):
        files = [
            self.raster(write_raster, "east.tif", 170, 180),
            self.raster(write_raster, "west.tif", -180, -170),
        ]
        values = read({"plain": files}, (plain,), self.GRID)[0]
        np.testing.assert_allclose(values, self.expected(), atol=0.03)

    @pytest.mark.parametrize("west", [-180, 0])
    def test_a_file_of_the_whole_earth(self, write_raster, plain, west):
        path = self.raster(write_raster, "earth.tif", west, west + 360)
        values = read({"plain": path}, (plain,), self.GRID)[0]
        np.testing.assert_allclose(values, self.expected(), atol=0.03)


def test_around_a_pole_nothing_is_made_up(write_raster, plain):
    longitude = np.arange(-180, 180, 1.0) + 0.5
    values = np.broadcast_to(np.abs(longitude), (20, 360)).astype(np.float32)
    path = write_raster("earth.tif", values, "EPSG:4326", from_origin(-180, 90, 1, 1))
    grid = Grid(
        rasterio.CRS.from_epsg(3413), from_origin(-900_000, 900_000, 10_000, 10_000), (180, 180)
    )
    x, y = coordinates(grid.transform, grid.shape)
    expected = np.abs(pyproj.Transformer.from_crs(3413, 4326, always_xy=True).transform(x, y)[0])
    found = read({"plain": path}, (plain,), grid)[0]
    far = np.hypot(x, y) > 400_000  # nearer, degrees bend too much between the points
    known = np.isfinite(found) & far
    assert known.sum() > 0.8 * far.sum()
    np.testing.assert_allclose(found[known], expected[known], atol=1.1)


class TestBadInput:
    def test_no_overlap(self, write_raster, plain):
        there = from_origin(600_000, 3_100_000, 30, 30)
        path = write_raster("far.tif", np.ones((9, 9), dtype=np.float32), transform=there)
        with pytest.raises(InputError) as caught:
            Scene({"plain": path}, (plain,), grid=GRID)
        for part in ("far.tif does not overlap", "x 600000 to 600270", "x 500000 to 501500"):
            assert part in str(caught.value)

    def test_no_overlap_in_another_crs(self, write_raster, plain):
        crs, _, shape = OTHERS["degrees"]
        path = write_raster(
            "far.tif", np.ones(shape, dtype=np.float32), crs, from_origin(7, 46, 0.0003, 0.0003)
        )
        with pytest.raises(InputError, match=r"far\.tif does not overlap.*EPSG:4326.*EPSG:32645"):
            Scene({"plain": path}, (plain,), grid=GRID)

    def test_an_empty_folder(self, tmp_path, plain):
        with pytest.raises(InputError, match=r"holds no raster.*\.jp2"):
            Scene({"plain": tmp_path}, (plain,), grid=GRID)

    def test_an_empty_list(self, plain):
        with pytest.raises(InputError, match="name at least one"):
            Scene({"plain": []}, (plain,), grid=GRID)

    def test_elevation_in_files_of_two_kinds(self, write_raster):
        from glavitu.features import DEM

        one, two = (write_raster(f"{n}.tif", np.ones((n, 5, 5), dtype=np.float32)) for n in (1, 2))
        with pytest.raises(InputError, match=r"1\.tif has elevation alone, but .*2\.tif"):
            Scene({"dem": [one, two]}, (DEM,), grid=GRID)

    def test_a_truncated_file(self, write_raster, plain):
        crs, transform, _ = OTHERS["degrees"]
        path = write_raster("cut.tif", RNG.random((200, 200), dtype=np.float32), crs, transform)
        path.write_bytes(path.read_bytes()[:40_000])
        with pytest.raises(InputError, match=r"cut\.tif cannot be read.*damaged"):
            read({"plain": path}, (plain,), target_grid(path))

    def test_pixels_far_smaller_than_the_grids(self, write_raster, plain):
        there = from_origin(500_000, 3_100_000, 0.01, 0.01)
        path = write_raster("dust.tif", np.ones((9, 9), dtype=np.float32), transform=there)
        with pytest.raises(InputError, match=r"dust\.tif has 3,000 pixels along .*gdalwarp -r"):
            read({"plain": path}, (plain,))

    def test_complex_numbers(self, write_raster, plain):
        path = write_raster("slc.tif", np.ones((5, 5), dtype=np.complex64))
        with pytest.raises(InputError, match=r"slc\.tif holds complex numbers"):
            Scene({"plain": path}, (plain,), grid=GRID)


def test_a_thread_may_read_while_another_asks_for_places(speckled):
    with Scene({"pair": speckled("degrees")}, (PAIR,), grid=GRID) as scene:
        expected, centre = scene.read(scene.bounds)[0], scene.centre(scene.bounds)
        with ThreadPoolExecutor(1) as pool:
            reading = [pool.submit(scene.read, scene.bounds) for _ in range(20)]
            assert all(scene.centre(scene.bounds) == centre for _ in range(200))
            for future in reading:
                torch.testing.assert_close(future.result()[0], expected, rtol=0, atol=0)
