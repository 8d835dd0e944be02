import geopandas
import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from rasterio.transform import Affine, from_origin
from scipy import ndimage
from shapely import affinity

from glavitu.errors import InputError
from glavitu.mapping import outlines_from_raster
from glavitu.outlines import attributes
from glavitu.outlines.attributes import Strip
from glavitu.outlines.polygons import made_valid, polygons_of

UTM = from_origin(500_000, 3_100_000, 30, 30)
CRS = "EPSG:32645"


def raster(*rows):
    return np.array([[int(pixel) for pixel in row] for row in rows], dtype=np.uint8)


def random_raster(seed):
    """Noise, blobs, and extremes of both; some pixels are nodata."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 50, 2)
    noise = rng.random((height, width))
    if seed % 2:
        noise = ndimage.gaussian_filter(noise, 1.5, mode="wrap")
    classes = (noise < np.quantile(noise, rng.random())).astype(np.uint8)
    classes[rng.random(classes.shape) < 0.02] = 255
    return classes


def labels_of(outlines, shape, transform=UTM):
    if outlines.empty:
        return np.zeros(shape, np.int32)
    return rasterio.features.rasterize(
        zip(outlines.geometry, outlines["glacier_id"], strict=True),
        out_shape=shape,
        transform=transform,
        dtype=np.int32,
    )


def rectangle(west, south, east, north):
    """Area of a rectangle of longitudes and latitudes, km2, integrated over the ellipsoid."""
    geod = pyproj.Geod(ellps="WGS84")
    e2 = geod.es
    latitude = np.radians(np.linspace(south, north, 20_001))
    middle = (latitude[1:] + latitude[:-1]) / 2
    strips = np.cos(middle) / (1 - e2 * np.sin(middle) ** 2) ** 2 * np.diff(latitude)
    return geod.a**2 * (1 - e2) * np.radians(east - west) * strips.sum() / 1e6


class TestPolygons:
    def test_largest_first_with_holes_and_edges_as_neighbours(self):
        classes = raster("1000", "0111", "0121", "0111")
        classes[2, 2] = 255
        confidence = np.full(classes.shape, 0.5, dtype=np.float32)
        confidence[0, 0] = 0.25
        confidence[1, 1:] = 0.9
        found = outlines_from_raster(classes, UTM, CRS, confidence)
        assert found["glacier_id"].tolist() == [1, 2]
        assert found.geometry.area.tolist() == [8 * 900, 900]
        assert len(found.geometry[0].interiors) == 1
        np.testing.assert_allclose(found["mean_confidence"], [(3 * 0.9 + 5 * 0.5) / 8, 0.25])
        assert found.crs.to_epsg() == 32645

    @pytest.mark.parametrize("grid", [UTM, UTM @ Affine.rotation(30), Affine.scale(1, 1)])
    @pytest.mark.parametrize("seed", range(8))
    def test_any_raster_gives_valid_polygons_that_give_it_back(self, seed, grid):
        classes = random_raster(seed)
        found = outlines_from_raster(classes, grid, CRS)
        assert found.geometry.is_valid.all()
        assert set(found.geometry.geom_type) <= {"Polygon"}
        labels = labels_of(found, classes.shape, grid)
        np.testing.assert_array_equal(labels > 0, classes == 1)
        assert len(found) == ndimage.label(classes == 1)[1]
        pixels = found.geometry.area.sum() / abs(grid.determinant)
        assert pixels == pytest.approx((classes == 1).sum())

    @pytest.mark.parametrize("simplification", [0.5, 1, 1.5, 3, 20])
    def test_simplified_polygons_are_valid_none_is_lost_none_overlap(self, simplification):
        for seed in range(12):
            classes = random_raster(seed)
            before = outlines_from_raster(classes, UTM, CRS)
            after = outlines_from_raster(classes, UTM, CRS, simplification=simplification)
            assert after.geometry.is_valid.all()
            assert len(after) == len(before)
            assert set(after.geometry.geom_type) <= {"Polygon"}
            holes = [frame.geometry.count_interior_rings().sum() for frame in (before, after)]
            assert holes[0] == holes[1]
            together = shapely.union_all(after.geometry).area
            assert together == pytest.approx(after.geometry.area.sum())

    def test_simplification_makes_a_line_of_stairs(self):
        classes = np.tri(100, dtype=np.uint8)
        (stairs,) = outlines_from_raster(classes, UTM, CRS).geometry
        simple = outlines_from_raster(classes, UTM, CRS, simplification=1)
        assert shapely.get_num_coordinates(stairs) > 200
        assert shapely.get_num_coordinates(simple.geometry[0]) < 10
        assert simple.geometry[0].area == pytest.approx(stairs.area, rel=0.02)
        assert simple["perimeter_km"][0] == pytest.approx((2 + 2**0.5) * 3, rel=0.01)

    def test_areas_and_attributes_are_those_of_the_simplified_polygon(self):
        classes = random_raster(5)
        values = np.random.default_rng(0).random(classes.shape, dtype=np.float32)
        found = outlines_from_raster(classes, UTM, CRS, values, simplification=2)
        kept = outlines_from_raster(classes, UTM, CRS, values)
        assert (found["area_km2"] != kept["area_km2"]).any()
        np.testing.assert_allclose(
            found["area_km2"] * 1e6, found.geometry.area / 0.9996**2, rtol=1e-4
        )
        labels = labels_of(found, classes.shape)
        large = found[found.geometry.area > 5 * 900]
        for glacier, mean in zip(large["glacier_id"], large["mean_confidence"], strict=True):
            assert mean == pytest.approx(values[labels == glacier].mean(), abs=0.02)

    def test_small_glaciers_are_left_out_but_small_holes_stay(self):
        classes = raster("1111101", "1011101", "1111100")
        found = outlines_from_raster(classes, UTM, CRS, min_area_km2=0.002)
        assert found.geometry.area.tolist() == [14 * 900]
        assert len(found.geometry[0].interiors) == 1
        assert len(outlines_from_raster(classes, UTM, CRS, min_area_km2=0.0017)) == 2
        assert outlines_from_raster(classes, UTM, CRS, min_area_km2=1).empty

    def test_what_is_left_out_changes_nothing_of_the_others(self):
        """Uncertain pixels beside a small glacier are shared with it, be it kept or not."""
        classes = raster("1111000", "1111000", "1111001", "1111000")
        confidence = np.ones(classes.shape, np.float32)
        confidence[2, 3:6] = 0.5
        confidence[2, 3] = 1
        every = outlines_from_raster(classes, UTM, CRS, confidence, area_interval=True)
        kept = outlines_from_raster(
            classes, UTM, CRS, confidence, area_interval=True, min_area_km2=0.002
        )
        assert (len(every), len(kept)) == (2, 1)
        assert every["area_max_km2"][0] > every["area_km2"][0]
        for column in every.columns.drop("geometry"):
            assert kept[column][0] == every[column][0]

    @pytest.mark.parametrize("seed", range(8))
    def test_straightened_outlines_stay_within_a_pixel_and_their_area(self, seed):
        classes = random_raster(seed)
        before, after = (
            polygons_of(classes, 1, Affine.identity(), simplification)
            for simplification in (0, 0.75)
        )
        for stairs, simple in zip(before, after, strict=True):
            assert shapely.hausdorff_distance(stairs, simple, densify=0.05) <= 1 + 1e-9
            assert simple.area == pytest.approx(stairs.area, rel=0.02)
        assert shapely.union_all(after).area == pytest.approx(shapely.area(after).sum())

    def test_straightened_blobs_have_fewer_vertices(self):
        noise = ndimage.gaussian_filter(np.random.default_rng(0).random((200, 200)), 8, mode="wrap")
        classes = (noise < np.median(noise)).astype(np.uint8)
        before, after = (
            shapely.get_num_coordinates(polygons_of(classes, 1, UTM, simplification)).sum()
            for simplification in (0, 0.75)
        )
        assert after < 0.7 * before

    def test_polygons_may_meet_at_corners(self):
        classes = raster("110", "110", "001")
        for simplification in (0, 1):
            found = outlines_from_raster(classes, UTM, CRS, simplification=simplification)
            one, two = found.geometry
            assert one.touches(two)
            assert one.intersection(two).geom_type == "Point"

    @pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (7, 9)])
    @pytest.mark.parametrize("simplification", [0, 1])
    def test_the_whole_raster_may_be_glacier(self, shape, simplification):
        classes = np.ones(shape, np.uint8)
        found = outlines_from_raster(classes, UTM, CRS, simplification=simplification)
        assert len(found) == 1
        if simplification == 0:
            assert found.geometry[0].area == classes.size * 900

    @pytest.mark.parametrize("value", [0, 255])
    def test_no_glacier_is_an_empty_table_with_its_columns(self, value):
        def read_strip(row, rows):
            return Strip(*np.zeros((4, rows, 5), np.float32))

        classes = np.full((5, 5), value, np.uint8)
        options = {"read_strip": read_strip, "area_interval": True}
        found = outlines_from_raster(classes, UTM, CRS, **options)
        some = outlines_from_raster(np.ones_like(classes), UTM, CRS, **options)
        assert len(found) == 0
        assert found.columns.tolist() == some.columns.tolist()
        assert found.dtypes.tolist() == some.dtypes.tolist()
        assert found.crs.to_epsg() == 32645

    def test_polygons_that_touch_themselves_are_cut(self):
        bow_tie = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2), (0, 0), (-1, 0), (0, 0)])
        square = shapely.box(5, 5, 6, 6)
        parts = made_valid(np.array([bow_tie, square], dtype=object))
        assert shapely.is_valid(parts).all()
        assert shapely.area(parts).tolist() == [1, 1, 1]
        assert {part.geom_type for part in parts} == {"Polygon"}

    @pytest.mark.parametrize("simplification", [0, 1])
    def test_a_band_of_a_file_is_as_good_as_an_array(self, write_raster, simplification):
        rng = np.random.default_rng(1)
        classes = (rng.random((40, 30)) < 0.5).astype(np.uint8)
        classes[:, :4] = 255
        confidence = rng.random(classes.shape, dtype=np.float32)
        options = {"simplification": simplification}
        expected = outlines_from_raster(classes, UTM, CRS, confidence, **options)
        paths = (write_raster("c.tif", classes, nodata=255), write_raster("s.tif", confidence))
        with rasterio.open(paths[0]) as one, rasterio.open(paths[1]) as two:
            bands = rasterio.band(one, 1), rasterio.band(two, 1)
            found = outlines_from_raster(bands[0], UTM, CRS, bands[1], **options)
        assert shapely.union_all(found.geometry).equals(shapely.union_all(expected.geometry))
        np.testing.assert_allclose(found["area_km2"], expected["area_km2"])
        assert found["mean_confidence"].mean() == pytest.approx(expected["mean_confidence"].mean())


class TestMeasures:
    def test_area_in_utm_is_that_on_the_ground(self):
        classes = np.zeros((120, 220), dtype=np.uint8)
        classes[10:110, 10:210] = 1
        found = outlines_from_raster(classes, UTM, CRS)
        # On the central meridian the projection shrinks lengths by 0.9996.
        assert found["area_km2"][0] == pytest.approx(100 * 200 * 0.0009 / 0.9996**2, rel=1e-5)
        assert found["area_km2"][0] == pytest.approx(18, rel=1e-3)
        assert found["perimeter_km"][0] == pytest.approx(18 / 0.9996, rel=0.005)

    @pytest.mark.parametrize("latitude", [-79.0, 0.0, 28.0, 79.0])
    @pytest.mark.parametrize("west", [10.0, 179.0, -181.0])
    def test_area_in_degrees_also_across_the_antimeridian(self, latitude, west):
        # 2 degrees wide: the parallels at its top and bottom are far from straight.
        classes = np.zeros((60, 420), dtype=np.uint8)
        classes[10:50, 10:410] = 1
        found = outlines_from_raster(
            classes, from_origin(west, latitude, 0.005, 0.005), "OGC:CRS84"
        )
        expected = rectangle(0, latitude - 0.25, 2, latitude - 0.05)
        assert found["area_km2"][0] == pytest.approx(expected, rel=1e-5)
        middle = (west + 1.05 + 180) % 360 - 180
        assert found["cenlon"][0] == pytest.approx(middle, abs=0.01)
        assert found["cenlat"][0] == pytest.approx(latitude - 0.15, abs=0.01)
        assert found["utm_zone"][0] == (middle + 180) // 6 + 1

    @pytest.mark.parametrize(("crs", "sign"), [("EPSG:3413", 1), ("EPSG:3031", -1)])
    def test_area_around_a_pole(self, crs, sign):
        classes = np.ones((100, 100), np.uint8)
        found = outlines_from_raster(classes, from_origin(-50_000, 50_000, 1000, 1000), crs)
        # The scale is true at 70 or 71 degrees, and less than 0.975 at the pole.
        assert found["area_km2"][0] == pytest.approx(100**2 / 0.97**2, rel=0.01)
        assert sign * found["cenlat"][0] > 89

    def test_area_of_a_cap_in_degrees(self):
        found = outlines_from_raster(
            np.ones((4, 360), np.uint8), from_origin(-180, 90, 1, 0.25), "EPSG:4326"
        )
        assert found["area_km2"][0] == pytest.approx(rectangle(0, 89, 360, 90), rel=0.01)

    def test_coordinates_without_a_place_are_an_error(self):
        classes = np.ones((4, 4), np.uint8)
        with pytest.raises(InputError, match="no longitude and latitude"):
            outlines_from_raster(classes, from_origin(0, 93, 1, 0.5), "EPSG:4326")

    @pytest.mark.parametrize("angle", [0, 11, 27, 45, 63])
    @pytest.mark.parametrize(
        ("shape", "tolerance"),
        [
            (shapely.Point(0, 0).buffer(6, quad_segs=99), 0.03),
            (shapely.Point(0, 0).buffer(20, quad_segs=99), 0.02),
            (shapely.box(-20, -20, 20, 20), 0.03),
            (shapely.box(-65, -65, 65, 65), 0.02),
            (shapely.box(-90, -20, 90, 20), 0.02),
            (shapely.Point(0, 0).buffer(80, quad_segs=99) - shapely.box(-30, -30, 30, 30), 0.02),
        ],
    )
    @pytest.mark.parametrize("simplification", [0, 0.75])
    def test_perimeters_do_not_follow_the_stairs(self, shape, tolerance, angle, simplification):
        drawn = affinity.rotate(shape, angle, origin=(0, 0))
        grid = from_origin(500_000, 3_100_000, 10, 10)
        ground = affinity.affine_transform(drawn, (10, 0, 0, -10, 501_003, 3_098_996))
        classes = rasterio.features.rasterize(
            [ground], out_shape=(200, 200), transform=grid, dtype=np.uint8
        )
        (found,) = outlines_from_raster(classes, grid, CRS, simplification=simplification)[
            "perimeter_km"
        ]
        assert found * 1000 == pytest.approx(ground.length / 0.9996, rel=tolerance)

    @pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 2), (1, 30)])
    def test_perimeters_of_a_few_pixels(self, shape):
        found = outlines_from_raster(np.ones(shape, np.uint8), UTM, CRS).iloc[0]
        around = 2 * sum(shape) * 0.03
        least = 2 * np.sqrt(np.pi * found["area_km2"])
        assert least * (1 - 1e-9) <= found["perimeter_km"] <= around * 1.001

    def test_holes_are_not_area_but_have_a_perimeter(self):
        classes = np.ones((20, 20), dtype=np.uint8)
        full = outlines_from_raster(classes, UTM, CRS).iloc[0]
        classes[5:15, 5:15] = 0
        holed = outlines_from_raster(classes, UTM, CRS).iloc[0]
        assert holed["area_km2"] == pytest.approx(0.75 * full["area_km2"], rel=1e-5)
        assert holed["perimeter_km"] == pytest.approx(1.5 * full["perimeter_km"], rel=0.02)

    @pytest.mark.parametrize("seed", range(4))
    def test_the_centre_lies_on_the_glacier(self, seed):
        found = outlines_from_raster(random_raster(seed), UTM, CRS)
        points = geopandas.points_from_xy(found["cenlon"], found["cenlat"], crs="EPSG:4326")
        assert found.geometry.contains(geopandas.GeoSeries(points.to_crs(CRS))).all()
        assert set(found["utm_zone"]) <= {45}


@pytest.mark.slow
class TestEverest:
    """Outlines of the RGI, rasterised at 10 m."""

    GRID_SIZE = 10

    @pytest.fixture(scope="class")
    def inventory(self, everest):
        (path,) = everest.glob("*outlines.gpkg")
        return geopandas.read_file(path).to_crs(CRS)

    def outlines(self, geometries, simplification):
        west, south, east, north = shapely.total_bounds(geometries)
        size = self.GRID_SIZE
        grid = from_origin(west // size * size, north // size * size + size, size, size)
        shape = int((grid.f - south) // size) + 1, int((east - grid.c) // size) + 1
        classes = rasterio.features.rasterize(
            geometries, out_shape=shape, transform=grid, dtype=np.uint8
        )
        return outlines_from_raster(classes, grid, CRS, simplification=simplification)

    @pytest.mark.parametrize("simplification", [0, 1])
    def test_the_total_area_is_kept(self, inventory, simplification):
        found = self.outlines(np.asarray(inventory.geometry), simplification)
        assert found["area_km2"].sum() == pytest.approx(inventory["Area"].sum(), rel=0.002)

    @pytest.mark.parametrize("simplification", [0, 1])
    def test_the_area_of_each_glacier_is_kept(self, inventory, simplification):
        large = inventory[inventory["Area"] > 0.1]
        assert len(large) == 66
        for geometry, area in zip(large.geometry, large["Area"], strict=True):
            found = self.outlines(np.array([geometry]), simplification)
            assert found["area_km2"].sum() == pytest.approx(area, rel=0.02)


def test_strips_of_any_height_give_the_same(monkeypatch):
    classes = random_raster(7)
    confidence = np.random.default_rng(0).random(classes.shape, dtype=np.float32)
    confidence[:, 3] = np.nan
    options = {"area_interval": True, "simplification": 1}
    whole = outlines_from_raster(classes, UTM, CRS, confidence, **options)
    monkeypatch.setattr(attributes, "STRIP_PIXELS", 3 * classes.shape[1])
    strips = outlines_from_raster(classes, UTM, CRS, confidence, **options)
    for column in whole.columns.drop("geometry"):
        np.testing.assert_allclose(strips[column], whole[column], err_msg=column)
