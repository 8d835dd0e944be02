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
from glavitu.rasters.ground import Ground
from glavitu.rasters.scene import Scene
from glavitu.windows import Window

RNG = np.random.default_rng(0)
#: CRS and origin of grids of all kinds, and whether the projection's metres count.
PLACES = {
    "UTM": ("EPSG:32645", (560_000, 3_100_000), 30, True),
    "British national grid": ("EPSG:27700", (400_000, 400_000), 30, True),
    "polar stereographic": ("EPSG:3413", (-200_000, -2_200_000), 30, True),
    "polar stereographic far north": ("EPSG:3413", (200_000, -900_000), 30, False),
    "feet": ("EPSG:2225", (6_561_000, 1_640_000), 100, True),
    "Mercator": ("EPSG:3857", (1_670_000, 14_600_000), 150, False),
    "degrees": ("EPSG:4326", (15, 78), 0.0005, False),
}


def grid_of(place, shape=(60, 70)):
    crs, origin, pixel, _ = PLACES[place]
    return Grid(rasterio.CRS.from_string(crs), from_origin(*origin, pixel, pixel), shape)


@pytest.mark.parametrize("place", PLACES)
def test_pixels_are_in_metres(place):
    crs, _, pixel, own = PLACES[place]
    grid = grid_of(place)
    width, height = Ground(grid).pixel_size(20, 3)
    assert width.shape == height.shape == (3, 1)
    system = pyproj.CRS(crs)
    if own:
        unit = system.axis_info[0].unit_conversion_factor
        np.testing.assert_allclose([width, height], pixel * unit, rtol=1e-12)
    # The projection's own metres are true within 1 %, the others to the millimetre.
    x, y = grid.transform @ (35, 21.5)
    to_degrees = pyproj.Transformer.from_crs(crs, 4326, always_xy=True)
    x, y = to_degrees.transform([x - pixel / 2, x + pixel / 2], [y, y])
    metres = pyproj.Geod(ellps="WGS84").line_length(x, y)
    assert width[1, 0] == pytest.approx(metres, rel=0.01 if own else 1e-6)


def horn(z, metres):
    """GDAL's slope: Horn's method with the CRS's own pixel size; without the border."""
    a, b, c = z[:-2, :-2], z[:-2, 1:-1], z[:-2, 2:]
    d, f = z[1:-1, :-2], z[1:-1, 2:]
    g, h, i = z[2:, :-2], z[2:, 1:-1], z[2:, 2:]
    x = ((c + 2 * f + i) - (a + 2 * d + g)) / (8 * metres)
    y = ((g + 2 * h + i) - (a + 2 * b + c)) / (8 * metres)
    return np.degrees(np.arctan(np.sqrt(x * x + y * y)))


@pytest.mark.parametrize("place", [name for name, place in PLACES.items() if place[3]])
def test_slope_on_a_projected_grid_is_gdals(write_raster, place):
    crs, _, pixel, _ = PLACES[place]
    grid = grid_of(place)
    elevation = (RNG.random(grid.shape) * 60 + 3000).astype(np.float32)
    path = write_raster("dem.tif", elevation, crs, grid.transform)
    with Scene({"dem": path}, (DEM,)) as scene:
        slope = scene.read_group(DEM, scene.bounds)[1]
    metres = pixel * pyproj.CRS(crs).axis_info[0].unit_conversion_factor
    expected = horn(elevation.astype(np.float64), metres)
    assert expected.max() > 40
    np.testing.assert_allclose(slope[1:-1, 1:-1], expected, atol=1e-4)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32644", "EPSG:32645"])
def test_slope_of_warped_elevation_shows_no_window_borders(write_raster, crs):
    y, x = np.mgrid[:120, :120]
    elevation = 3000 + 300 * np.sin(x / 9) * np.cos(y / 11) + RNG.random((120, 120))
    there = {
        "EPSG:4326": from_origin(86.98, 28.04, 0.0004, 0.0004),
        "EPSG:32644": from_origin(1_089_000, 3_116_000, 45, 45),
        "EPSG:32645": from_origin(499_000, 3_101_000, 45, 45),
    }[crs]
    path = write_raster("dem.tif", elevation.astype(np.float32), crs, there)
    grid = Grid(rasterio.CRS.from_epsg(32645), from_origin(500_000, 3_100_000, 20, 20), (60, 60))
    with Scene({"dem": path}, (DEM,), grid=grid) as scene:
        whole = scene.read_terrain(scene.bounds)
        expected = horn(whole.elevation.astype(np.float64), 20)
        np.testing.assert_allclose(whole.slope[1:-1, 1:-1], expected, atol=1e-3)
        for row in range(0, 60, 13):
            for col in range(0, 60, 17):
                window = Window(row, col, min(13, 60 - row), min(17, 60 - col))
                part = scene.read_terrain(window)
                at = np.s_[row : row + 13, col : col + 17]
                for found, complete in zip(part, whole, strict=True):
                    np.testing.assert_array_equal(found, complete[at])


@pytest.mark.parametrize("place", PLACES)
def test_aspect_is_from_true_north(write_raster, place):
    # A plane that falls to the true south-east: in degrees that is easy to say.
    grid = grid_of(place)
    ground = Ground(grid)
    rows, cols = np.mgrid[:60, :70] + 0.5
    longitude, latitude = ground.degrees(rows, cols)
    east = np.radians(longitude - longitude.mean()) * np.cos(np.radians(latitude.mean()))
    north = np.radians(latitude - latitude.mean())
    elevation = (1000 + 6.371e6 * (0.3 * north - 0.3 * east)).astype(np.float32)
    path = write_raster("dem.tif", elevation, grid.crs, grid.transform)
    with Scene({"dem": path}, (DEM,)) as scene:
        aspect = scene.read_terrain(scene.bounds).aspect
    assert aspect[30, 35] == pytest.approx(135, abs=0.5)
    np.testing.assert_allclose(aspect, 135, atol=2)


def test_aspect_on_a_grid_that_is_turned(write_raster):
    turned = Affine.translation(560_000, 3_100_000) @ Affine.rotation(-70) @ Affine.scale(30, -30)
    south_up = Affine(30, 0, 560_000, 0, 30, 3_100_000)
    for transform in (turned, south_up):
        rows, cols = np.mgrid[:20, :25] + 0.5
        x = transform.a * cols + transform.b * rows
        falls_west = (1000 + x).astype(np.float32)
        path = write_raster("dem.tif", falls_west, transform=transform)
        with Scene({"dem": path}, (DEM,)) as scene:
            aspect = scene.read_terrain(scene.bounds).aspect
        np.testing.assert_allclose(aspect, 270, atol=1)  # UTM's north is 0.3 degrees off here


def test_flat_ground_has_no_aspect(write_raster):
    path = write_raster("dem.tif", np.full((9, 9), 5, dtype=np.float32))
    with Scene({"dem": path}, (DEM,)) as scene:
        terrain = scene.read_terrain(scene.bounds)
    assert np.isnan(terrain.aspect).all()
    assert (terrain.slope == 0).all()


def test_terrain_needs_elevation_in_metres(write_raster, plain):
    values = np.ones((2, 9, 9), dtype=np.float32)
    files = {"plain": write_raster("a.tif", values[0])}
    with Scene(files, (plain,)) as scene:
        assert scene.terrain_group is None
    scaled = write_raster("b.tif", values, glavitu_scaled="1")
    with Scene({"dem": scaled}, (DEM,)) as scene:
        assert scene.terrain_group is None


@pytest.mark.skipif(shutil.which("gdaldem") is None, reason="gdaldem is not installed")
@pytest.mark.parametrize("place", ["UTM", "British national grid"])
def test_slope_is_that_of_gdal(tmp_path, place):
    grid = grid_of(place)
    # In whole metres: GDAL sums in single precision, which others do not survive.
    elevation = np.cumsum(np.cumsum(RNG.integers(-9, 10, grid.shape), axis=0), axis=1) // 4 + 4000
    profile = {"crs": grid.crs, "transform": grid.transform, "dtype": "float32", "count": 1}
    with rasterio.open(
        tmp_path / "dem.tif", "w", driver="GTiff", height=grid.height, width=grid.width, **profile
    ) as file:
        file.write(elevation.astype(np.float32), 1)
    command = ["gdaldem", "slope", tmp_path / "dem.tif", tmp_path / "slope.tif", "-q"]
    subprocess.run(command, check=True)
    with rasterio.open(tmp_path / "slope.tif") as file:
        expected = file.read(1)[1:-1, 1:-1]  # GDAL leaves the border out
    with Scene({"dem": tmp_path / "dem.tif"}, [DEM]) as scene:
        slope = scene.read_group(DEM, scene.bounds)[1, 1:-1, 1:-1]
    assert expected.max() > 30
    np.testing.assert_allclose(slope, expected, atol=1e-3)
