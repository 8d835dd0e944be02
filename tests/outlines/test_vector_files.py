import json
import resource
import sys

import geopandas
import numpy as np
import pyogrio
import pytest
import shapely
from rasterio.transform import from_origin

from glavitu.errors import InputError
from glavitu.mapping import outlines_from_raster
from glavitu.outlines import vector_files
from glavitu.outlines.attributes import Strip
from glavitu.outlines.vector_files import (
    FORMATS,
    SHAPEFILE_NAMES,
    check_vector_path,
    write_vectors,
)

UTM = from_origin(500_000, 3_100_000, 30, 30)

SUFFIXES = list(FORMATS)


def outlines(seed=0, size=60, grid=UTM, crs="EPSG:32645", simplification=1.0, density=0.55):
    rng = np.random.default_rng(seed)

    def read_strip(row, rows):
        return Strip(*rng.random((4, rows, size), dtype=np.float32))

    return outlines_from_raster(
        (rng.random((size, size)) < density).astype(np.uint8),
        grid,
        crs,
        read_strip=read_strip,
        area_interval=True,
        simplification=simplification,
    )


def read(path):
    return geopandas.read_parquet(path) if path.suffix == ".parquet" else geopandas.read_file(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("simplification", [0, 1])
def test_what_is_read_is_what_was_written(tmp_path, suffix, simplification):
    frame = outlines(simplification=simplification)
    path = tmp_path / f"new folder/outlines{suffix}"
    files = write_vectors(frame, path, "outlines")
    found = read(path)
    assert files[-1] == path
    assert sorted(files) == sorted(path.parent.iterdir())
    assert found.geometry.is_valid.all()
    names = SHAPEFILE_NAMES if suffix == ".shp" else {}
    assert found.columns.tolist() == frame.rename(columns=names).columns.tolist()
    for name in frame.columns.drop("geometry"):
        read_values = found[names.get(name, name)]
        np.testing.assert_allclose(read_values, frame[name], rtol=1e-12, atol=1e-12)
        assert read_values.dtype.kind == frame[name].dtype.kind or suffix == ".geojson"
    if suffix == ".geojson":
        assert found.crs.to_epsg() == 4326
        metres = found.to_crs(frame.crs).geometry
        assert (metres.symmetric_difference(frame.geometry).area / metres.area).max() < 1e-4
        rings = shapely.get_exterior_ring(found.geometry)
        assert shapely.is_ccw(rings).all()
    else:
        assert found.crs == frame.crs
        assert found.geometry.geom_equals(frame.geometry).all()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_polygon_still_has_columns_and_crs(tmp_path, suffix):
    frame = outlines(density=0)
    path = tmp_path / f"outlines{suffix}"
    write_vectors(frame, path, "outlines")
    found = read(path)
    assert len(found) == 0
    assert found.crs is not None
    if suffix != ".geojson":
        names = SHAPEFILE_NAMES if suffix == ".shp" else {}
        assert set(found.columns) == set(frame.rename(columns=names).columns)


def test_a_geopackage_is_one_layer_of_polygons(tmp_path):
    path = tmp_path / "outlines.gpkg"
    write_vectors(outlines(), path, "glaciers")
    assert [name for name, _ in pyogrio.list_layers(path)] == ["glaciers"]
    assert pyogrio.read_info(path)["geometry_type"] == "Polygon"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_older_file_is_replaced_with_what_belongs_to_it(tmp_path, suffix):
    path = tmp_path / f"outlines{suffix}"
    write_vectors(outlines(seed=1), path, "outlines")
    stale = {".gpkg": ".gpkg-wal", ".shp": ".qix"}.get(suffix)
    if stale:
        path.with_suffix(stale).write_text("of the older file")
    frame = outlines(seed=2)
    files = write_vectors(frame, path, "outlines")
    assert len(read(path)) == len(frame)
    assert sorted(files) == sorted(tmp_path.iterdir())


def test_every_long_name_of_outlines_has_a_short_one_in_a_shapefile(tmp_path):
    frame = outlines().rename(columns={"zmean_m": "mean_elevation"})
    with pytest.raises(InputError, match="at most 10 characters.*mean_elevation;"):
        write_vectors(frame, tmp_path / "outlines.shp", "outlines")
    assert list(tmp_path.iterdir()) == []


def test_a_shapefile_beyond_its_limit_is_an_error_before_it_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(vector_files, "SHAPEFILE_BYTES", 1000)
    with pytest.raises(InputError, match="more than the 2 GB"):
        write_vectors(outlines(), tmp_path / "outlines.shp", "outlines")
    assert list(tmp_path.iterdir()) == []


def test_geojson_is_cut_at_the_antimeridian(tmp_path):
    # UTM zone 1: its western edge is the antimeridian, at x of about 166,000.
    grid = from_origin(160_000, 1000, 200, 200)
    path = tmp_path / "outlines.geojson"
    frame = outlines(grid=grid, crs="EPSG:32601", density=1)
    write_vectors(frame, path, "outlines")
    (feature,) = json.loads(path.read_text())["features"]
    assert feature["geometry"]["type"] == "MultiPolygon"
    found = read(path)
    assert found.geometry.is_valid.all()
    west, _, east, _ = found.geometry.explode().bounds.T.to_numpy()
    assert (east - west < 1).all()
    assert {round(west.min()), round(east.max())} == {-180, 180}
    kept = found.to_crs("ESRI:54034").geometry.area.sum() / 1e6
    assert kept == pytest.approx(frame["area_km2"].sum(), rel=1e-4)


@pytest.mark.parametrize("name", ["outlines.kml", "outlines"])
def test_an_unknown_suffix_names_those_that_are_known(tmp_path, name):
    for attempt in (check_vector_path, lambda path: write_vectors(outlines(), path, "o")):
        with pytest.raises(InputError, match=r"\.gpkg.*\.parquet.*\.shp.*\.geojson"):
            attempt(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_suffixes_may_be_in_capitals(tmp_path):
    (written,) = write_vectors(outlines(), tmp_path / "OUTLINES.GPKG", "outlines")
    assert written.name == "OUTLINES.GPKG"
    assert len(read(written)) == len(outlines())


def test_geoparquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as if it were not installed
    with pytest.raises(InputError, match="pip install pyarrow"):
        check_vector_path(tmp_path / "outlines.parquet")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("room", [100, 30_000, 60_000])
def test_a_full_disk_is_an_error_that_leaves_the_older_file(tmp_path, suffix, room):
    frame = outlines(size=120)
    path = tmp_path / f"outlines{suffix}"
    before = write_vectors(outlines(), path, "outlines")
    contents = [file.read_bytes() for file in before]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(InputError, match="disk has room"):
            write_vectors(frame, path, "outlines")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [file.read_bytes() for file in before] == contents
    assert sorted(tmp_path.iterdir()) == sorted(before)


def test_a_folder_that_cannot_be_written_to_is_an_error(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match="cannot be written"):
        write_vectors(outlines(), tmp_path / "file/outlines.gpkg", "outlines")


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="can be written to"):
        write_vectors(outlines(), tmp_path / "file" / "outlines.gpkg", "outlines")
