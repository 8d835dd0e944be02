import geopandas
import numpy as np
import pyogrio
import pyproj
import pytest
import rasterio
import shapely
from rasterio.transform import Affine, from_origin

from glavitu.mapping import outlines, outlines_from_raster, write_outlines

UTM = from_origin(500_000, 3_100_000, 30, 30)


def raster(*rows):
    return np.array([[int(pixel) for pixel in row] for row in rows], dtype=np.uint8)


def test_largest_first_with_holes_and_edges_as_neighbours():
    classes = raster("1000", "0111", "0121", "0111")
    classes[2, 2] = 255
    confidence = np.full(classes.shape, 0.5, dtype=np.float32)
    confidence[0, 0] = 0.25
    confidence[1, 1:] = 0.9
    found = outlines_from_raster(classes, UTM, "EPSG:32645", confidence)
    assert list(found.columns) == ["glacier_id", "area_km2", "mean_confidence", "geometry"]
    assert found["glacier_id"].tolist() == [1, 2]
    assert found.geometry.area.tolist() == [8 * 900, 900]
    assert len(found.geometry[0].interiors) == 1
    np.testing.assert_allclose(found["mean_confidence"], [(3 * 0.9 + 5 * 0.5) / 8, 0.25])
    assert found.crs.to_epsg() == 32645


def test_no_glacier_is_an_empty_table(tmp_path):
    found = outlines_from_raster(np.zeros((5, 5), np.uint8), UTM, "EPSG:32645", np.ones((5, 5)))
    assert len(found) == 0
    write_outlines(found, tmp_path / "none.gpkg")
    read = geopandas.read_file(tmp_path / "none.gpkg")
    assert len(read) == 0
    assert {"glacier_id", "area_km2", "mean_confidence"} < set(read.columns)
    assert read.crs.to_epsg() == 32645


def test_without_confidence_its_mean_is_missing():
    found = outlines_from_raster(np.ones((3, 3), np.uint8), UTM, "EPSG:32645")
    assert np.isnan(found["mean_confidence"]).all()


def rectangle(west, south, east, north):
    """Area of a rectangle of longitudes and latitudes, km2, integrated over the ellipsoid."""
    geod = pyproj.Geod(ellps="WGS84")
    e2 = geod.es
    latitude = np.radians(np.linspace(south, north, 20_001))
    middle = (latitude[1:] + latitude[:-1]) / 2
    strips = np.cos(middle) / (1 - e2 * np.sin(middle) ** 2) ** 2 * np.diff(latitude)
    return geod.a**2 * (1 - e2) * np.radians(east - west) * strips.sum() / 1e6


def test_area_in_utm_is_that_on_the_ground():
    classes = np.zeros((120, 220), dtype=np.uint8)
    classes[10:110, 10:210] = 1
    found = outlines_from_raster(classes, UTM, "EPSG:32645")
    # On the central meridian the projection shrinks lengths by 0.9996.
    assert found["area_km2"][0] == pytest.approx(100 * 200 * 0.0009 / 0.9996**2, rel=1e-5)
    assert found["area_km2"][0] == pytest.approx(18, rel=1e-3)


@pytest.mark.parametrize("latitude", [0.0, 28.0, 79.0])
def test_area_in_degrees(latitude):
    # 2 degrees wide: the parallels at its top and bottom are far from straight.
    classes = np.zeros((60, 420), dtype=np.uint8)
    classes[10:50, 10:410] = 1
    grid = from_origin(10.0, latitude, 0.005, 0.005)
    found = outlines_from_raster(classes, grid, "EPSG:4326")
    expected = rectangle(10.05, latitude - 0.25, 12.05, latitude - 0.05)
    assert found["area_km2"][0] == pytest.approx(expected, rel=1e-3)


def test_holes_are_not_area():
    classes = np.ones((20, 20), dtype=np.uint8)
    full = outlines_from_raster(classes, UTM, "EPSG:32645")["area_km2"][0]
    classes[5:15, 5:15] = 0
    holed = outlines_from_raster(classes, UTM, "EPSG:32645")["area_km2"][0]
    assert holed == pytest.approx(0.75 * full, rel=1e-5)


@pytest.mark.parametrize("grid", [UTM, UTM @ Affine.rotation(30)])
def test_any_raster_gives_valid_polygons_that_give_it_back(monkeypatch, grid):
    monkeypatch.setattr(outlines, "STRIP_ROWS", 7)  # polygons reach over several strips
    rng = np.random.default_rng(0)
    classes = (rng.random((60, 50)) < 0.6).astype(np.uint8)
    classes[40:45, 10:20] = 255
    confidence = rng.random(classes.shape, dtype=np.float32)
    confidence[:, 3] = np.nan
    found = outlines_from_raster(classes, grid, "EPSG:32645", confidence)
    assert found.geometry.is_valid.all()
    assert set(found.geometry.geom_type) == {"Polygon"}
    labels = rasterio.features.rasterize(
        zip(found.geometry, found["glacier_id"], strict=True),
        out_shape=classes.shape,
        transform=grid,
        dtype=np.int32,
    )
    np.testing.assert_array_equal(labels > 0, classes == 1)
    for glacier, mean in zip(found["glacier_id"], found["mean_confidence"], strict=True):
        pixels = confidence[labels == glacier]
        np.testing.assert_allclose(
            mean, np.nanmean(pixels) if np.isfinite(pixels).any() else np.nan, rtol=1e-5
        )
    assert (np.diff(found["area_km2"]) <= 0).all()


def test_polygons_that_touch_themselves_are_cut():
    bow_tie = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2), (0, 0), (-1, 0), (0, 0)])
    square = shapely.box(5, 5, 6, 6)
    parts = outlines._made_valid(np.array([bow_tie, square], dtype=object))
    assert shapely.is_valid(parts).all()
    assert shapely.area(parts).tolist() == [1, 1, 1]
    assert {part.geom_type for part in parts} == {"Polygon"}


def test_a_band_of_a_file_is_as_good_as_an_array(tmp_path, write_raster):
    rng = np.random.default_rng(1)
    classes = (rng.random((40, 30)) < 0.5).astype(np.uint8)
    classes[:, :4] = 255
    confidence = rng.random(classes.shape, dtype=np.float32)
    expected = outlines_from_raster(classes, UTM, "EPSG:32645", confidence)
    paths = (write_raster("c.tif", classes, nodata=255), write_raster("s.tif", confidence))
    with rasterio.open(paths[0]) as one, rasterio.open(paths[1]) as two:
        found = outlines_from_raster(
            rasterio.band(one, 1), UTM, "EPSG:32645", rasterio.band(two, 1)
        )
    assert shapely.union_all(found.geometry).equals(shapely.union_all(expected.geometry))
    np.testing.assert_allclose(found["area_km2"], expected["area_km2"])
    assert found["mean_confidence"].mean() == pytest.approx(expected["mean_confidence"].mean())


def test_the_geopackage_is_one_layer_of_polygons(tmp_path):
    classes = raster("110", "010", "001")
    path = tmp_path / "outlines.gpkg"
    written = outlines_from_raster(classes, UTM, "EPSG:32645", np.full((3, 3), 0.5))
    write_outlines(written, path)
    assert [name for name, _ in pyogrio.list_layers(path)] == ["outlines"]
    assert pyogrio.read_info(path)["geometry_type"] == "Polygon"
    read = geopandas.read_file(path)
    np.testing.assert_allclose(read["area_km2"], written["area_km2"])
    assert read.geometry.geom_equals(written.geometry).all()
    assert [file.name for file in tmp_path.iterdir()] == ["outlines.gpkg"]
