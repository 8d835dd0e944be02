import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from glavitu.errors import InputError
from glavitu.features import FeatureGroup
from glavitu.rasters.grid import (
    Grid,
    full_turn,
    grid_differences,
    horizontal,
    transformer,
    turns_between,
)
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


@pytest.mark.parametrize("turns", [-1, 1, 2])
def test_grids_some_turns_apart_are_one(write_raster, plain, turns):
    degrees = rasterio.CRS.from_epsg(4326)
    one = Grid(degrees, from_origin(-175, 70, 0.01, 0.01), (9, 9))
    other = Grid(degrees, from_origin(-175 + 360 * turns, 70, 0.01, 0.01), (9, 9))
    assert grid_differences(one, other) == []
    assert grid_differences(one, other._replace(shape=(9, 8)))
    half = Grid(degrees, from_origin(-175 + 180, 70, 0.01, 0.01), (9, 9))
    assert "origin" in grid_differences(one, half)[0]
    pair = [
        write_raster(f"{n}.tif", np.full((9, 9), n, np.float32), degrees, grid.transform)
        for n, grid in enumerate((one, other))
    ]
    other_group = FeatureGroup("other", ("value",), (0.0,), (1.0,))
    with Scene({"plain": pair[0], "other": pair[1]}, (plain, other_group)) as scene:
        assert (scene.read_group(other_group, scene.bounds) == 1).all()
    with Scene({"plain": pair[1], "other": pair[0]}, (plain, other_group)) as scene:
        assert scene.centre(scene.bounds)[0] == pytest.approx(-174.955)
