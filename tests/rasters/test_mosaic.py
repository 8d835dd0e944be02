"""Tiles of one surface are read as one file, and longitudes as places on a circle."""

import math
import shutil
import subprocess

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from rasterio.transform import from_origin

from glavitu.features import DEM
from glavitu.rasters.grid import Grid
from glavitu.rasters.scene import Scene
from glavitu.windows import Window

RNG = np.random.default_rng(0)
UTM = rasterio.CRS.from_epsg(32632)
X, Y = 400_000, 5_200_000
#: Grids that are not the tiles': pixel size in metres and shift of the origin.
GRIDS = {
    "finer": (10, 0, 0),
    "finer and off the lattice": (10, 3, -4.5),
    "shifted by half a pixel": (30, 15, 0),
    "shifted in both": (30, 7, 11),
    "coarser": (90, 0, 0),
    "coarser and shifted": (70, 13, -5),
}


def ground(rows, cols, smooth=False):
    """Elevation at tiles of 30 m; columns and rows of pixels' centres count from (X, Y)."""
    plane = 1000 + 15.0 * cols[None] - 6.0 * rows[:, None]
    if smooth:
        return plane.astype(np.float32)
    rough = 20 * np.sin(3 * cols[None]) * np.cos(2.5 * rows[:, None])
    return (plane + rough).astype(np.float32)


def tile(write_raster, name, rows, cols, values=None, nodata=None, pixel=30.0, crs=UTM):
    """Write rows and columns (from, to) of the ground."""
    if values is None:
        values = ground(np.arange(*rows) + 0.5, np.arange(*cols) + 0.5)
    there = from_origin(X + cols[0] * pixel, Y - rows[0] * pixel, pixel, pixel)
    return write_raster(name, values, crs, there, nodata)


def target(kind, size=1800):
    pixel, right, up = GRIDS[kind]
    count = size // pixel
    return Grid(UTM, from_origin(X + right, Y + up, pixel, pixel), (count, count))


def read(files, grid):
    with Scene({"dem": files}, (DEM,), grid=grid) as scene:
        return scene.read_group(DEM, scene.bounds)


#: Rows and columns of tiles, of 60 x 60 pixels in all.
CUTS = {
    "abut": [((0, 60), (0, 31)), ((0, 60), (31, 60))],
    "overlap by a column": [((0, 60), (0, 32)), ((0, 60), (31, 60))],
    "one below the other": [((0, 23), (0, 60)), ((23, 60), (0, 60))],
    "four": [((r, r + 30), (c, c + 30)) for r in (0, 30) for c in (0, 30)],
    "slices of a pixel": [((0, 60), (c, c + 1)) for c in range(60)],
}


@pytest.mark.parametrize("kind", GRIDS)
@pytest.mark.parametrize("cut", CUTS)
def test_tiles_are_read_as_the_file_that_they_were_cut_from(write_raster, kind, cut):
    whole = tile(write_raster, "whole.tif", (0, 60), (0, 60))
    files = [tile(write_raster, f"{n}.tif", *place) for n, place in enumerate(CUTS[cut])]
    expected = read(whole, target(kind))
    assert np.isfinite(expected).any()
    for order in (files, files[::-1]):
        np.testing.assert_array_equal(read(order, target(kind)), expected)


@pytest.mark.parametrize("kind", GRIDS)
def test_a_gap_between_tiles_stays_one(write_raster, kind):
    holes = ground(np.arange(60) + 0.5, np.arange(60) + 0.5)
    holes[:, 31:33] = np.nan
    whole = tile(write_raster, "whole.tif", (0, 60), (0, 60), holes)
    files = [
        tile(write_raster, "w.tif", (0, 60), (0, 31)),
        tile(write_raster, "e.tif", (0, 60), (33, 60)),
    ]
    values = read(files, target(kind))
    np.testing.assert_array_equal(values, read(whole, target(kind)))
    middle = values[0][:, values.shape[2] // 2 :][:, : 60 // GRIDS[kind][0]]
    if GRIDS[kind][0] == 10:
        assert np.isnan(middle).any()


@pytest.mark.skipif(shutil.which("gdalbuildvrt") is None, reason="GDAL's programs are not here")
def test_tiles_are_read_as_their_virtual_raster(write_raster, tmp_path):
    files = [tile(write_raster, f"{n}.tif", *place) for n, place in enumerate(CUTS["four"])]
    vrt = tmp_path / "all.vrt"
    subprocess.run(["gdalbuildvrt", "-q", vrt, *files], check=True)
    np.testing.assert_array_equal(
        read(files, target("shifted in both")), read(vrt, target("shifted in both"))
    )


def test_missing_pixels_at_the_border_are_taken_from_the_neighbour(write_raster):
    whole = tile(write_raster, "whole.tif", (0, 60), (0, 60))
    west = ground(np.arange(60) + 0.5, np.arange(40) + 0.5)
    west[20:, 31:] = -9999
    files = [
        tile(write_raster, "w.tif", (0, 60), (0, 40), west, -9999),
        tile(write_raster, "e.tif", (0, 60), (31, 60)),
    ]
    grid = target("finer and off the lattice")
    np.testing.assert_array_equal(read(files, grid), read(whole, grid))


@pytest.mark.parametrize("kind", GRIDS)
def test_any_window_of_tiles_is_a_part_of_the_whole(write_raster, kind):
    files = [tile(write_raster, f"{n}.tif", *place) for n, place in enumerate(CUTS["four"])]
    files.append(
        tile(
            write_raster,
            "other.tif",
            (0.3, 40.3),
            (55.6, 75.6),
            RNG.random((40, 20), dtype=np.float32),
        )
    )
    grid = target(kind, 2100)
    with Scene({"dem": files}, (DEM,), grid=grid) as scene:
        whole = scene.read_group(DEM, scene.bounds)
        for _ in range(25):
            row, col = RNG.integers(0, grid.height), RNG.integers(0, grid.width)
            height = RNG.integers(1, grid.height - row + 1)
            width = RNG.integers(1, grid.width - col + 1)
            part = scene.read_group(DEM, Window(row, col, height, width))
            np.testing.assert_array_equal(part, whole[:, row : row + height, col : col + width])


class TestSeveralLattices:
    """On a plane bilinear interpolation is exact, so that every seam shows."""

    def plane(self, x, y):
        return (1000 + 0.5 * (x - X) - 0.2 * (y - Y)).astype(np.float32)

    def write(self, write_raster, name, west, north, pixel, shape, crs=UTM):
        there = from_origin(west, north, *pixel)
        rows, cols = np.mgrid[: shape[0], : shape[1]] + 0.5
        x, y = west + cols * pixel[0], north - rows * pixel[1]
        if crs != UTM:
            x, y = pyproj.Transformer.from_crs(crs, UTM, always_xy=True).transform(x, y)
        return write_raster(name, self.plane(x, y), crs, there)

    def check(self, files, pixel, edge, size=1800):
        grid = Grid(UTM, from_origin(X + 1, Y - 1, pixel, pixel), (size // pixel,) * 2)
        for order in (files, files[::-1]):
            values = read(order, grid)
            rows, cols = np.mgrid[: grid.height, : grid.width] + 0.5
            expected = self.plane(X + 1 + cols * pixel, Y - 1 - rows * pixel)
            # Up to the edge of the tiles, where there is nothing to interpolate with.
            inner = (slice(edge, -edge), slice(edge, -edge))
            np.testing.assert_allclose(values[0][inner], expected[inner], atol=0.02)
            slope = math.degrees(math.atan(math.hypot(0.5, 0.2)))
            deeper = (slice(edge + 1, -edge - 1),) * 2
            np.testing.assert_allclose(values[1][deeper], slope, atol=0.05)

    @pytest.mark.parametrize("pixel", [10, 30, 90])
    def test_offset_by_a_part_of_a_pixel(self, write_raster, pixel):
        files = [
            self.write(write_raster, "w.tif", X - 90, Y + 90, (30, 30), (66, 33)),
            self.write(write_raster, "e.tif", X + 890, Y + 102, (30, 30), (66, 36)),
        ]
        self.check(files, pixel, 2)

    @pytest.mark.parametrize("pixel", [10, 30, 90])
    def test_of_several_pixel_sizes(self, write_raster, pixel):
        # As Copernicus' elevation has south and north of 60 degrees.
        files = [
            self.write(write_raster, "n.tif", X - 90, Y + 90, (45, 30), (33, 44)),
            self.write(write_raster, "s.tif", X - 90, Y - 900, (30, 30), (36, 66)),
        ]
        self.check(files, pixel, 2)

    @pytest.mark.parametrize("pixel", [10, 30])
    def test_of_several_systems(self, write_raster, pixel):
        degrees = rasterio.CRS.from_epsg(4326)
        to = pyproj.Transformer.from_crs(UTM, degrees, always_xy=True)
        west, north = to.transform(X - 200, Y + 200)
        files = [
            self.write(write_raster, "utm.tif", X - 90, Y + 90, (30, 30), (66, 33)),
            self.write(
                write_raster, "degrees.tif", west, north, (0.0004, 0.0003), (90, 80), degrees
            ),
        ]
        self.check(files, pixel, 2)


class TestLongitudes:
    """Places are the same after a full turn."""

    def earth(self, write_raster, name, west, width, pixel=0.5, north=80.0, height=60, crs=4326):
        longitude = west + (np.arange(width) + 0.5) * pixel
        latitude = north - (np.arange(height) + 0.5) * pixel
        values = np.cos(np.radians(longitude))[None] * 100 + latitude[:, None]
        there = from_origin(west, north, pixel, pixel)
        return write_raster(name, values.astype(np.float32), rasterio.CRS.from_epsg(crs), there)

    @pytest.mark.parametrize("turns", [-2, -1, 1])
    @pytest.mark.parametrize("shift", [0, 0.2])
    def test_a_file_some_turns_away_is_found(self, write_raster, plain, turns, shift):
        near = self.earth(write_raster, "near.tif", 10.0, 60)
        far = self.earth(write_raster, "far.tif", 10.0 + 360 * turns, 60)
        grid = Grid(
            rasterio.CRS.from_epsg(4326), from_origin(10 + shift, 80 - shift, 0.5, 0.5), (50, 50)
        )
        found = []
        for path in (near, far):
            with Scene({"plain": path}, (plain,), grid=grid) as scene:
                found.append(scene.read_group(plain, scene.bounds))
        assert np.isfinite(found[0]).all()
        np.testing.assert_allclose(found[1], found[0], atol=1e-4)

    @pytest.mark.parametrize("west", [-180, 0, 170])
    @pytest.mark.parametrize("shift", [0, 0.2])
    def test_a_file_of_the_whole_earth_has_no_seam(self, write_raster, plain, west, shift):
        earth = self.earth(write_raster, "earth.tif", west, 720)
        for first in (-190, -20, 160, 340):
            grid = Grid(
                rasterio.CRS.from_epsg(4326),
                from_origin(first + shift, 79, 0.5, 0.5),
                (40, 90),
            )
            with Scene({"plain": earth}, (plain,), grid=grid) as scene:
                values = scene.read_group(plain, scene.bounds)[0]
            longitude = first + shift + (np.arange(90) + 0.5) * 0.5
            expected = np.cos(np.radians(longitude))[None] * 100 + values[:, :1]
            expected -= np.cos(np.radians(longitude[0])) * 100
            np.testing.assert_allclose(values, expected, atol=0.01)

    def test_a_grid_of_the_whole_earth_and_more(self, write_raster, plain):
        earth = self.earth(write_raster, "earth.tif", -180, 720)
        grid = Grid(rasterio.CRS.from_epsg(4326), from_origin(-360, 80, 0.5, 0.5), (60, 1440))
        with Scene({"plain": earth}, (plain,), grid=grid) as scene:
            values = scene.read_group(plain, scene.bounds)[0]
        np.testing.assert_array_equal(values[:, :720], values[:, 720:])
        assert np.isfinite(values).all()

    def test_grads_are_400(self, write_raster, plain):
        paris = rasterio.CRS.from_epsg(4807)
        near, far = (
            write_raster(
                f"{west}.tif", np.ones((9, 9), np.float32), paris, from_origin(west, 50, 0.1, 0.1)
            )
            for west in (3, 403)
        )
        for grid in (
            Grid(paris, from_origin(3, 50, 0.1, 0.1), (9, 9)),
            Grid(rasterio.CRS.from_epsg(2154), from_origin(890_000, 6_400_000, 900, 900), (9, 9)),
        ):
            for path in (near, far):
                with Scene({"plain": path}, (plain,), grid=grid) as scene:
                    assert np.isfinite(scene.read_group(plain, scene.bounds)).any()


class TestPoles:
    """A map over a pole has data everywhere."""

    @pytest.mark.parametrize(("crs", "sign"), [(3413, 1), (3031, -1), (3995, 1), (32661, 1)])
    @pytest.mark.parametrize("west", [-180, 0, 55])
    def test_no_strip_is_left_out(self, write_raster, plain, crs, sign, west):
        pixel, count = 0.25, 1440
        rows = 90 - (np.arange(40) + 0.5) * pixel
        longitude = np.radians(west + (np.arange(count) + 0.5) * pixel)
        # Distance from the pole by direction: smooth at the pole and across all longitudes.
        reach = (90 - rows)[:, None]
        values = (reach * np.cos(longitude) + 2 * reach * np.sin(longitude)).astype(np.float32)
        there = from_origin(west, 90, pixel, pixel)
        if sign < 0:
            values, there = values[::-1], from_origin(west, -80, pixel, pixel)
        path = write_raster("earth.tif", values, "EPSG:4326", there)
        centre = 2_000_000 if crs == 32661 else 0
        grid = Grid(
            rasterio.CRS.from_epsg(crs),
            from_origin(centre - 300_000, centre + 300_000, 5_000, 5_000),
            (120, 120),
        )
        with Scene({"plain": path}, (plain,), grid=grid) as scene:
            found = scene.read_group(plain, scene.bounds)[0]
        assert np.isfinite(found).all()
        rows, cols = np.mgrid[:120, :120] + 0.5
        x, y = centre - 300_000 + cols * 5_000, centre + 300_000 - rows * 5_000
        lon, lat = pyproj.Transformer.from_crs(crs, 4326, always_xy=True).transform(x, y)
        reach = 90 - np.abs(lat)
        expected = reach * (np.cos(np.radians(lon)) + 2 * np.sin(np.radians(lon)))
        far = reach > 0.5  # within two pixels of the pole the values themselves jump
        np.testing.assert_allclose(found[far], expected[far], atol=0.02)

    def test_memory_is_that_of_a_tile(self, write_raster, plain, monkeypatch):
        path = write_raster(
            "earth.tif",
            RNG.random((40, 7200), dtype=np.float32),
            "EPSG:4326",
            from_origin(-180, 90, 0.05, 0.05),
        )
        grid = Grid(rasterio.CRS.from_epsg(3413), from_origin(-9_000, 9_000, 100, 100), (180, 180))
        with Scene({"plain": path}, (plain,), grid=grid) as scene:
            whole = scene.read_group(plain, scene.bounds)
            monkeypatch.setattr("glavitu.rasters.warping.MOST_PIXELS", 500)
            np.testing.assert_array_equal(scene.read_group(plain, scene.bounds), whole)
        assert np.isfinite(whole).all()


def test_a_tile_that_is_turned_over_is_joined_too(write_raster):
    whole = tile(write_raster, "whole.tif", (0, 60), (0, 60))
    west = tile(write_raster, "w.tif", (0, 60), (0, 31))
    values = ground(np.arange(60) + 0.5, np.arange(31, 60) + 0.5)
    south = Affine(30, 0, X + 31 * 30, 0, 30, Y - 60 * 30)
    east = write_raster("e.tif", values[::-1], UTM, south)
    grid = target("shifted in both")
    np.testing.assert_array_equal(read([west, east], grid), read(whole, grid))
