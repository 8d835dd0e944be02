"""Headers that declare what cannot be: each is one line that names the file."""

import os
import socket
import subprocess

import h5py
import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.rpc import RPC
from rasterio.transform import from_origin

from glavitu.errors import InputError
from glavitu.rasters.scene import Scene
from glavitu.rasters.target_grid import target_grid

from ..raster_files import UTM

ONES = np.ones((9, 9), dtype=np.float32)
NAN, INF = float("nan"), float("inf")

#: Geotransforms that place nothing, and what is said of them.
TRANSFORMS = {
    "tiny": (Affine(1e-300, 0, 500_000, 0, -1e-300, 3_100_000), "without an area"),
    "small": (Affine(1e-9, 0, 500_000, 0, -1e-9, 3_100_000), "too small"),
    "huge": (Affine(1e300, 0, 500_000, 0, -1e300, 3_100_000), "nowhere on the Earth"),
    "large": (Affine(1e100, 0, 500_000, 0, -1e100, 3_100_000), "nowhere on the Earth"),
    "far": (Affine(30, 0, 1e15, 0, -30, 3_100_000), "nowhere on the Earth"),
    "nan": (Affine(NAN, 0, 500_000, 0, -30, 3_100_000), "no number"),
    "origin nan": (Affine(30, 0, NAN, 0, -30, 3_100_000), "no number"),
    "infinite": (Affine(INF, 0, 500_000, 0, -30, 3_100_000), "no number"),
    "none": (Affine(0, 0, 500_000, 0, 0, 3_100_000), "without an area"),
    "a line": (Affine(30, 0, 500_000, 0, 0, 3_100_000), "without an area"),
    "folded": (Affine(30, 30, 500_000, 30, 30, 3_100_000), "without an area"),
    "nearly folded": (Affine(30, 30, 500_000, 30, 30 + 1e-12, 3_100_000), "without an area"),
}


def refused(name, plain, *parts):
    """A scene and a grid of a file are refused in one line that names it."""
    for opened in (lambda: Scene({"plain": name}, (plain,)), lambda: target_grid(name)):
        with pytest.raises(InputError) as caught:
            opened()
        for part in (os.path.basename(name), *parts):
            assert part in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("kind", TRANSFORMS)
def test_pixels_that_cannot_be(write_raster, plain, kind):
    transform, said = TRANSFORMS[kind]
    refused(write_raster("a.tif", ONES, transform=transform), plain, said)


@pytest.mark.parametrize(
    ("origin", "pixel"), [((500_000, 3_100_000), 30), ((86, 95), 1), ((9000, 40), 0.01)]
)
def test_degrees_that_cannot_be(write_raster, plain, origin, pixel):
    path = write_raster("a.tif", ONES, "EPSG:4326", from_origin(*origin, pixel, pixel))
    refused(path, plain, "cannot be in degrees", "(EPSG:4326)", "-a_srs")


@pytest.mark.parametrize("west", [-180.5, 0, 359])
def test_points_on_the_poles_are_degrees(write_raster, plain, west):
    path = write_raster("a.tif", ONES, "EPSG:4326", from_origin(west, 90.5, 1, 1))
    with Scene({"plain": path}, (plain,)) as scene:
        assert scene.read(scene.bounds)[1].all()


def test_small_and_large_pixels_that_can_be(write_raster, plain):
    for pixel in (0.01, 100_000):
        path = write_raster("a.tif", ONES, transform=from_origin(500_000, 3_100_000, pixel, pixel))
        assert target_grid(path).transform.a == pixel


@pytest.mark.parametrize("kind", ["pipe", "socket", "/dev/zero", "/dev/null"])
def test_what_is_no_file_is_not_waited_for(tmp_path, plain, kind):
    path = tmp_path / "a.tif"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        os.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as there:
            there.bind("a.tif")
    else:
        path.symlink_to(kind)
    refused(path, plain, "a pipe, a socket or a device")


def test_a_folder_and_a_name_that_is_none(tmp_path, plain):
    (tmp_path / "empty.tif").mkdir()
    refused(tmp_path / "empty.tif", plain, "holds no raster")
    for name in ("a\0b.tif", tmp_path / "no.tif"):
        with pytest.raises(InputError, match=r"(holds NUL|does not exist; check the path)"):
            Scene({"plain": name}, (plain,))


@pytest.mark.parametrize("size", [0, 3, 8, 100, 400])
def test_a_file_that_was_cut(write_raster, plain, size):
    path = write_raster("cut.tif", np.random.default_rng(0).random((64, 64), dtype=np.float32))
    path.write_bytes(path.read_bytes()[:size])
    match = r"cut\.tif .*(cannot be read|no coordinate)"
    with (
        pytest.raises(InputError, match=match) as caught,
        Scene({"plain": path}, (plain,)) as scene,
    ):
        scene.read(scene.bounds)
    assert "See previous exception" not in str(caught.value)


def sparse(path, bands=1, rows=9, cols=9, **options):
    """Declare pixels without writing them."""
    with rasterio.open(
        path, "w", driver="GTiff", dtype="float32", crs="EPSG:32645",
        transform=from_origin(500_000, 3_100_000, 0.01, 0.01), SPARSE_OK=True, BIGTIFF="YES",
        count=bands, height=rows, width=cols, **options,
    ):  # fmt: skip
        return path


def test_too_many_bands(tmp_path, plain):
    path = sparse(tmp_path / "many.tif", bands=65_000)
    refused(path, plain, "9 rows x 9 columns x 65,000 bands", "write a file with the bands")


@pytest.mark.parametrize(
    "declared",
    [
        {"rows": 1_000_000, "cols": 1_000_000, "blockysize": 1_000_000},
        {"rows": 1900, "cols": 2_000_000, "blockysize": 1900, "bands": 1900, "interleave": "pixel"},
    ],
)
def test_blocks_larger_than_memory(tmp_path, plain, declared):
    path = sparse(tmp_path / "blocks.tif", compress="deflate", **declared)
    refused(path, plain, "GiB of memory", "TILED=YES")


def test_polynomials_want_orthorectification(tmp_path, plain):
    numbers = {f"{part}_{axis}_coeff": [1.0] * 20 for part in ("line", "samp")
               for axis in ("num", "den")}  # fmt: skip
    scale = {f"{name}_{kind}": 1.0 for name in ("height", "lat", "line", "long", "samp")
             for kind in ("off", "scale")}  # fmt: skip
    path = tmp_path / "raw.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=1, dtype="float32", height=9, width=9,
        rpcs=RPC(**numbers, **scale),
    ) as file:  # fmt: skip
        file.write(ONES, 1)
    refused(path, plain, "RPC", "orthorectify it first", "gdalwarp -rpc")


def test_a_virtual_raster_names_the_source_that_it_misses(write_raster, tmp_path, plain):
    path = write_raster("part.tif", ONES)
    vrt = tmp_path / "in" / "whole.vrt"
    subprocess.run(["gdalbuildvrt", "-q", vrt, path], check=True)
    path.rename(tmp_path / "moved.tif")
    refused(vrt, plain, "part.tif does not exist")


@pytest.mark.parametrize("name", ['HDF5:"{}"://red', "HDF5:{}://red", 'NETCDF:"{}":a', "GPKG:{}:a"])
def test_a_part_of_a_file_that_is_missing_is_one_line(tmp_path, plain, name, capfd):
    path = tmp_path / "none.h5"
    with pytest.raises(InputError, match=rf"^{path} does not exist"):
        Scene({"plain": name.format(path)}, (plain,))
    assert capfd.readouterr().err == ""


def test_several_rasters_in_a_file_are_listed(tmp_path, plain):
    path = tmp_path / "two.h5"
    with h5py.File(path, "w") as file:
        file["red"] = file["nir"] = ONES
        file["single/blue"] = ONES
    refused(path, plain, "holds 3 rasters", "://red", "://single/blue")
    with pytest.raises(InputError, match="no coordinate reference system"):  # it is understood
        Scene({"plain": f"HDF5:{path}://red"}, (plain,))
    path = tmp_path / "none.h5"
    with h5py.File(path, "w") as file:
        file.create_group("empty")
    refused(path, plain)
    path = tmp_path / "two.gpkg"
    for name in ("first", "second"):
        with rasterio.open(
            path, "w", driver="GPKG", count=1, dtype="uint8", height=9, width=9, crs="EPSG:32645",
            transform=UTM, RASTER_TABLE=name, APPEND_SUBDATASET="YES",
        ) as file:  # fmt: skip
            file.write(ONES.astype(np.uint8), 1)
    refused(path, plain, "holds 2 rasters", "first", "second")


def test_the_first_of_several_pages_is_read_with_a_word(tmp_path, plain):
    path = tmp_path / "pages.tif"
    for number in (1, 2):
        with rasterio.open(
            path, "w", driver="GTiff", count=1, dtype="float32", height=9, width=9,
            crs="EPSG:32645", transform=UTM, APPEND_SUBDATASET=number > 1,
        ) as file:  # fmt: skip
            file.write(number * ONES, 1)
    with (
        pytest.warns(UserWarning, match=r"pages\.tif holds 2 rasters, and the first is read"),
        Scene({"plain": path}, (plain,)) as scene,
    ):
        assert (scene.read_group(plain, scene.bounds) == 1).all()
    with Scene({"plain": f"GTIFF_DIR:2:{path}"}, (plain,)) as scene:
        assert (scene.read_group(plain, scene.bounds) == 2).all()
