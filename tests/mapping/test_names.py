"""A raster is a name as GDAL takes it, from the command line to run.json."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from glavitu.errors import InputError
from glavitu.mapping import map_scene
from glavitu.rasters.names import files_behind, is_local, label, without_secrets
from glavitu.rasters.scene import Scene

SERVER = Path(__file__).parents[1] / "file_server.py"


@pytest.fixture
def values():
    y, x = np.mgrid[:40, :50]
    return (np.sin(x / 7) + np.cos(y / 9)).astype(np.float32)


@pytest.fixture
def raster(write_raster, values):
    return write_raster("a.tif", values, transform=from_origin(500000, 3100000, 30, 30))


@pytest.fixture
def archive(tmp_path, raster):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.write(raster, "inner/b.tif")
    return tmp_path / "a.zip"


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Address of this test's folder; what is not answered in seconds fails."""
    monkeypatch.setenv("GDAL_HTTP_TIMEOUT", "10")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    command = [sys.executable, str(SERVER), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.terminate()


def check_mapped(name, output, values, model):
    """Map by a name; return what is noted of it."""
    result = map_scene(model, {"plain": name}, output, progress=False)
    with rasterio.open(result.classes) as file:
        np.testing.assert_array_equal(file.read(1), values > 0)
    (noted,) = json.loads(result.run.read_text())["inputs"]
    return noted


@pytest.mark.parametrize("form", ["/vsizip/{}/inner/b.tif", "zip://{}!/inner/b.tif"])
def test_a_file_of_an_archive(tmp_path, archive, values, tiny_model, plain, form):
    name = form.format(archive)
    noted = check_mapped(name, tmp_path / "out", values, tiny_model((plain,)))
    (file,) = noted["files"]
    assert (noted["path"], file["path"]) == (name, str(archive))
    assert file["bytes"] == archive.stat().st_size
    os.utime(archive, ns=(1, 1))
    with pytest.raises(InputError, match=r"differs in .*b\.tif \(written again since\)"):
        map_scene(tiny_model((plain,)), {"plain": name}, tmp_path / "out", progress=False)


def test_an_array_of_an_hdf5_file(tmp_path, values, tiny_model, plain):
    with h5py.File("f.h5", "w") as file:
        file["a"] = values
    name = 'HDF5:"f.h5"://a'
    with pytest.raises(InputError, match='HDF5:"f.h5"://a has no coordinate reference system'):
        map_scene(tiny_model((plain,)), {"plain": name}, tmp_path / "out", progress=False)
    # GDAL takes from a name too what the array does not say of its place.
    place = "a_srs=EPSG:32645&a_ullr=500000,3100000,501500,3098800"
    name = f"vrt://{name}?{place}"
    noted = check_mapped(name, tmp_path / "out", values, tiny_model((plain,)))
    assert noted["path"] == name
    assert [file["path"] for file in noted["files"]] == [str(tmp_path / "f.h5")]


def test_a_page_of_a_tiff(tmp_path, raster, values, tiny_model, plain):
    name = f"GTIFF_DIR:1:{raster}"
    noted = check_mapped(name, tmp_path / "out", values, tiny_model((plain,)))
    assert [file["path"] for file in noted["files"]] == [str(raster)]


def test_a_file_on_a_server(tmp_path, raster, values, server, tiny_model, plain):
    name = f"{server}/{raster.relative_to(tmp_path).as_posix()}"
    noted = check_mapped(name, tmp_path / "out", values, tiny_model((plain,)))
    assert noted["path"] == name
    (file,) = noted["files"]
    assert file["content-length"] == str(raster.stat().st_size)
    assert "last-modified" in file
    os.utime(raster, ns=(1, 1))
    with pytest.raises(InputError, match=r"a\.tif \(written again since\)"):
        map_scene(tiny_model((plain,)), {"plain": name}, tmp_path / "out", progress=False)


def test_what_is_not_there(tmp_path, archive, server, tiny_model, plain):
    for name in (f"/vsizip/{archive}/none.tif", f"{server}/none.tif", 'HDF5:"none.h5"://a'):
        with pytest.raises(InputError) as error:
            map_scene(tiny_model((plain,)), {"plain": name}, tmp_path / "out", progress=False)
        assert str(error.value).startswith(f"{name} cannot be read as a raster")
        assert "check the name, and that what it names can be reached" in str(error.value)
    assert not (tmp_path / "out").exists()


def test_an_input_that_would_be_overwritten_by_another_name(
    write_raster, values, tiny_model, plain
):
    path = write_raster("outlines.tif", values)
    name = f"GTIFF_DIR:1:{path}"
    with pytest.raises(InputError, match=r"GTIFF_DIR:1:.*outlines\.tif would be overwritten"):
        map_scene(tiny_model((plain,)), {"plain": name}, path.parent, progress=False)


def test_names_of_this_machine():
    Path("b:c.tif").touch()
    for name in ("a.tif", "/data/a.tif", "b:c.tif", "C:/a.tif", Path("a.tif")):
        assert is_local(name)
    for name in (
        "https://a/b.tif",
        "s3://a/b.tif",
        "/vsizip/a.zip",
        "/vsicurl?url=a",
        "HDF5:a://b",
    ):
        assert not is_local(name)
        assert not is_local(name + "x" * 5000)
    assert files_behind("a.tif") == ["a.tif"]


def test_a_scene_knows_its_files_by_their_names(raster, archive, plain):
    inside = f"/vsizip/{archive}/inner/b.tif"
    with Scene({"plain": [raster, inside]}, (plain,)) as scene:
        assert scene.inputs == {"plain": (str(raster), inside)}


@pytest.mark.parametrize(
    ("name", "noted"),
    [
        ("https://me:word@host/a.tif", "https://host/a.tif"),
        ("https://host/a.tif?X-Amz-Date=1&X-Amz-Signature=ab", "https://host/a.tif"),
        ("/vsicurl/https://host/a.tif?st=1&sig=ab", "/vsicurl/https://host/a.tif"),
        ("https://host/get?file=a.tif", "https://host/get?file=a.tif"),
        ("s3://bucket/a@b.tif", "s3://bucket/a@b.tif"),
    ],
)
def test_what_is_secret_is_not_noted(name, noted):
    assert without_secrets(name) == noted


def test_labels():
    assert label("https://host/d/a.tif?sig=1") == "a.tif"
    assert label("d/a.tif") == "a.tif"
