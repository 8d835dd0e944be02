import subprocess
from functools import partial

import numpy as np
import pandas as pd
import pytest
import rasterio

from glavitu.datasets import GlacierRasters, SyntheticGlaciers
from glavitu.errors import InputError
from glavitu.files import opened
from glavitu.synthetic.scenes import (
    SENSORS,
    YEARS,
    write_scenes,
)


@pytest.fixture(scope="module")
def world():
    return SyntheticGlaciers(("SC", "HMA"), tiles=(0, 0, 1), size=96, seed=5)


@pytest.fixture(scope="module")
def manifest(world, tmp_path_factory):
    return write_scenes(world, tmp_path_factory.mktemp("scenes"), progress=False)


def read(path):
    with rasterio.open(path) as file:
        return file.read()


@pytest.mark.parametrize("region", ["SC", "HMA", "NZ", "AN"])
def test_glaciers_retreat_when_the_equilibrium_line_rises_and_the_land_stays(region):
    world = SyntheticGlaciers(size=128, seed=3)
    before, after = world.tile("test", region, 0), world.tile("test", region, 0, rise=60.0)
    assert after.mask.sum() < 0.95 * before.mask.sum()
    # Ice is where it was; a nunatak or two may have sunk into a flatter tongue.
    assert (after.mask & ~before.mask & 1).sum() < 0.05 * before.mask.sum()
    bare = (before.mask == 0) & (after.mask == 0)
    elevations = [tile.features["dem"][0][bare] for tile in (before, after)]
    np.testing.assert_allclose(*elevations, atol=0.01)


def test_the_first_year_under_the_first_sensor_is_the_test_tile(world, manifest):
    tile = world.tile("test", "HMA", 0)
    folder = manifest.parent / f"HMA_test_000_{next(iter(YEARS))}_{next(iter(SENSORS))}"
    for name, values in tile.features.items():
        np.testing.assert_array_equal(read(folder / f"{name}.tif"), values)


def test_sensors_differ_in_gains_and_noise_of_the_optical_bands_alone(manifest):
    one, other = (manifest.parent / f"HMA_test_000_2000_{sensor}" for sensor in SENSORS)
    for name in ("dem", "in_sar"):
        np.testing.assert_array_equal(read(one / f"{name}.tif"), read(other / f"{name}.tif"))
    sensor = SENSORS["sensor-b"]
    expected = read(one / "optical.tif") * np.array(sensor.gains)[:, None, None]
    noise = read(other / "optical.tif") - expected
    assert abs(noise.mean()) < 0.001
    assert noise.std() == pytest.approx(sensor.noise, rel=0.05)


def test_the_manifest_lists_every_place_year_and_sensor(manifest):
    rows = pd.read_csv(manifest)
    assert len(rows) == 2 * len(YEARS) * len(SENSORS)
    dataset = GlacierRasters(manifest)
    assert {(tile.date, tile.sensor) for tile in dataset.tiles} == {
        (year, sensor) for year in YEARS for sensor in SENSORS
    }


class TestOnAFullDisk:
    @pytest.fixture
    def disk(self, tmp_path):
        disk = tmp_path / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=60k", "tmpfs", str(disk)]
        if subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("this user may not mount")
        yield disk
        subprocess.run(["umount", str(disk)], check=True)

    @pytest.mark.parametrize("form", ["write_geotiffs", "write_hdf5", "scenes"])
    def test_a_world_is_an_error_and_what_has_a_name_is_whole(self, disk, form):
        world = SyntheticGlaciers(("SC",), tiles=(1, 1, 1), size=64, seed=0)
        write = partial(write_scenes, world) if form == "scenes" else getattr(world, form)
        with pytest.raises((OSError, InputError), match=r"whole|No space left on device: '.*hdf5'"):
            write(disk / "out", progress=False)
        for path in (disk / "out").rglob("*.tif"):
            with rasterio.open(path) as file:
                file.read()
        assert not list((disk / "out").rglob(".*"))

    @pytest.mark.parametrize("form", ["write_geotiffs", "write_hdf5", "scenes"])
    def test_two_do_not_write_into_one_folder(self, tmp_path, form):
        world = SyntheticGlaciers(("SC",), tiles=(1, 1, 1), size=64, seed=0)
        write = partial(write_scenes, world) if form == "scenes" else getattr(world, form)
        with opened(tmp_path / "out"), pytest.raises(InputError, match="another process"):
            write(tmp_path / "out", progress=False)
