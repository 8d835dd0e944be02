import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from glavitu.errors import InputError
from glavitu.rasters.grid import Grid, full_turn, horizontal, transformer, turns_between
from glavitu.rasters.scene import Scene


@pytest.mark.parametrize(
    ("crs", "turn"), [("EPSG:4326", 360), ("EPSG:4979", 360), ("EPSG:4807", 400), ("EPSG:32632", 0)]
)
def test_longitudes_come_again_after_a_full_turn(crs, turn):
    assert full_turn(rasterio.CRS.from_string(crs)) == pytest.approx(turn, abs=1e-9)


@pytest.mark.parametrize("x", [-540, -361.5, -180, -10, 0, 179, 181, 359, 720.5])
@pytest.mark.parametrize("middle", [-180, -3, 0, 90, 179.5, 200])
@pytest.mark.parametrize("turn", [360, 400])
def test_a_longitude_is_brought_beside_another(x, middle, turn):
    moved = x + turn * turns_between(x, middle, turn)
    assert -turn / 2 <= moved - middle <= turn / 2


def test_what_is_not_in_degrees_comes_once():
    assert turns_between(5_000_000, 0, full_turn(rasterio.CRS.from_epsg(32632))) == 0


def test_heights_do_not_matter_for_the_place():
    utm = rasterio.CRS.from_epsg(32632)
    assert horizontal(utm) == utm
    assert horizontal(rasterio.CRS.from_string("EPSG:32632+5773")) == utm
    assert horizontal(rasterio.CRS.from_epsg(4979)) == rasterio.CRS.from_epsg(4326)


@pytest.mark.parametrize("crs", ["EPSG:5773", "EPSG:4978"])
def test_a_system_without_a_plane_is_refused(crs):
    with pytest.raises(
        InputError,
        match=r"no known place .* \(it is a .*; assign a geographic",
    ):
        transformer(rasterio.CRS.from_string(crs))


def test_rasters_that_differ_in_heights_alone_are_on_one_grid(write_raster, plain):
    from glavitu.features import FeatureGroup

    other = FeatureGroup("other", ("value",), (0.0,), (1.0,))
    values = np.ones((9, 9), dtype=np.float32)
    files = {
        "plain": write_raster("plain.tif", values, "EPSG:32632"),
        "other": write_raster("other.tif", values, "EPSG:32632+5773"),
    }
    for order in (files, dict(reversed(files.items()))):
        with Scene(order, (plain, other)) as scene:
            assert scene.crs.to_epsg() == 32632
            assert scene.read(scene.bounds)[1].all()


def test_the_outline_of_a_grid():
    grid = Grid(rasterio.CRS.from_epsg(32632), from_origin(100, 200, 10, 20), (3, 4))
    x, y = grid.outline(2)
    assert (x.min(), x.max(), y.min(), y.max()) == (100, 140, 140, 200)
