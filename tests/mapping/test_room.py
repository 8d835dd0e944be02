"""What a header declares is refused in a line where there is no room for it."""

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from glavitu.errors import InputError
from glavitu.files.memory import available_bytes
from glavitu.mapping import map_scene
from glavitu.mapping.prediction import Layout
from glavitu.mapping.room import check_room
from glavitu.windows import centred_padding


def sparse(path, rows, cols):
    """Declare pixels without writing them."""
    with rasterio.open(
        path, "w", driver="GTiff", count=1, dtype="float32", height=rows, width=cols, tiled=True,
        crs="EPSG:32645", transform=from_origin(500_000, 3_100_000, 0.01, 0.01), SPARSE_OK=True,
        BIGTIFF="YES", compress="deflate", blockxsize=4096, blockysize=4096,
    ):  # fmt: skip
        return path


def test_a_map_larger_than_the_disk_is_refused_at_once(tmp_path, tiny_model, plain):
    path = sparse(tmp_path / "huge.tif", 1_900_000, 1_900_000)
    with pytest.raises(InputError, match=r"GiB.*--bounds or --aoi"):
        map_scene(tiny_model((plain,)), {"plain": path}, tmp_path / "out", progress=False)
    assert not list((tmp_path / "out").iterdir())


def test_rows_of_windows_larger_than_memory_are_refused(tmp_path):
    width = available_bytes() // (4 * 384 * 10)
    layout = Layout(384, 192, centred_padding(500, 384), centred_padding(width, 384))
    with pytest.raises(InputError, match=r"GiB of memory for a row of windows.*--resolution"):
        check_room(tmp_path, layout, channels=8, classes=2, rows=0)
    small = layout._replace(horizontal=centred_padding(500, 384))
    check_room(tmp_path, small, channels=8, classes=2, rows=2**20)
    with pytest.raises(InputError, match="free on the disk"):
        check_room(tmp_path, small, channels=8, classes=2, rows=2**60)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(
    ("crs", "origin"),
    [
        (
            "+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=18 +lon_0=-37.5 "
            "+to_meter=0.0174532925199433 +datum=WGS84",
            (5, 5),
        ),
        ("+proj=nsper +h=3000000 +lat_0=80 +lon_0=-40 +datum=WGS84", (1000, 1000)),
    ],
)
def test_a_system_that_cannot_be_written_is_told_before_the_prediction(
    tmp_path, write_raster, tiny_model, plain, crs, origin
):
    pixel = 3e-4 if origin[0] == 5 else 30
    values = np.ones((40, 40), dtype=np.float32)
    path = write_raster("a.tif", values, crs, from_origin(*origin, pixel, pixel))
    with pytest.raises(InputError, match=r"GeoTIFF cannot hold .*--crs"):
        map_scene(tiny_model((plain,)), {"plain": path}, tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("vector_format", ["gpkg", "geojson"])
@pytest.mark.parametrize(
    ("crs", "expected"),
    [("EPSG:32645+5773", 32645), ("EPSG:2056+5728", 2056), ("EPSG:8857", 8857)],
)
def test_all_files_have_the_system_that_places_the_pixels(
    tmp_path, write_raster, tiny_model, plain, crs, expected, vector_format
):
    import geopandas

    values = np.ones((40, 40), dtype=np.float32)
    there = from_origin(2_600_000, 1_200_000, 30, 30)
    if expected == 32645:
        there = from_origin(500_000, 3_100_000, 30, 30)
    path = write_raster("a.tif", values, crs, there)
    result = map_scene(
        tiny_model((plain,)), {"plain": path}, tmp_path / "out",
        vector_format=vector_format, progress=False,
    )  # fmt: skip
    for raster in (result.classes, result.confidence):
        with rasterio.open(raster) as file:
            assert file.crs.to_epsg() == expected
            assert file.transform == there
    assert not list((tmp_path / "out").glob("*.aux.xml"))
    if vector_format == "gpkg":
        assert geopandas.read_file(result.outlines).crs.to_epsg() == expected
