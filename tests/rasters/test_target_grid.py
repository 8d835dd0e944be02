import zipfile

import geopandas
import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.transform import array_bounds, from_origin
from rasterio.warp import transform_bounds

from glavitu.errors import InputError
from glavitu.rasters.scene import Scene
from glavitu.rasters.target_grid import target_grid

from ..raster_files import UTM

RNG = np.random.default_rng(0)
ONES = np.ones((40, 50), dtype=np.float32)
ROTATED = Affine.translation(500_000, 3_100_000) @ Affine.rotation(20) @ Affine.scale(30, -30)


@pytest.fixture
def reference(write_raster):
    """50 x 40 pixels of 30 m: x 500000 to 501500, y 3098800 to 3100000."""
    return write_raster("optical.tif", ONES)


def bounds(grid):
    return array_bounds(*grid.shape, grid.transform)


def test_by_default_it_is_the_references_own(reference):
    grid = target_grid(reference)
    with rasterio.open(reference) as file:
        assert grid == (file.crs, file.transform, file.shape)


def test_a_south_up_reference_is_turned(write_raster, plain):
    path = write_raster("up.tif", ONES, transform=Affine(30, 0, 500_000, 0, 30, 3_098_800))
    assert target_grid(path)[1:] == (UTM, (40, 50))


def test_a_mosaic_is_covered_on_the_lattice_of_its_first_file(write_raster, tmp_path):
    write_raster("tiles/a.tif", ONES)
    write_raster("tiles/b.tif", ONES, transform=from_origin(501_500, 3_099_985, 30, 30))
    grid = target_grid(tmp_path / "in" / "tiles")
    assert grid.transform == UTM
    assert grid.shape == (41, 100)


def test_a_mosaic_of_two_zones_takes_the_first_ones_crs(write_raster, reference):
    box = transform_bounds("EPSG:32645", "EPSG:32644", 501_500, 3_098_800, 503_000, 3_100_000)
    there = from_origin(round(box[0]), round(box[3]), 30, 30)
    other = write_raster("b.tif", ONES, "EPSG:32644", there)
    grid = target_grid([reference, other])
    assert grid.crs.to_epsg() == 32645
    assert (grid.transform.c % 30, grid.transform.f % 30) == (500_000 % 30, 3_100_000 % 30)
    assert grid.width == pytest.approx(100, abs=5)


def test_another_resolution_is_a_lattice_of_its_multiples(reference):
    grid = target_grid(reference, resolution=70)
    assert grid.transform == from_origin(7142 * 70, 44286 * 70, 70, 70)
    west, south, east, north = bounds(grid)
    assert west <= 500_000 < west + 70
    assert east - 70 < 501_500 <= east
    assert south <= 3_098_800 < south + 70
    assert north - 70 < 3_100_000 <= north


@pytest.mark.parametrize(("crs", "pixel"), [("EPSG:32644", 30), ("EPSG:4326", 0.00029)])
def test_another_crs_has_pixels_as_large_on_the_ground(reference, crs, pixel):
    grid = target_grid(reference, crs=crs)
    assert grid.crs.to_string() == crs
    assert grid.transform.a == -grid.transform.e == pytest.approx(pixel, rel=0.03)
    assert grid.transform.b == grid.transform.d == 0
    covered = transform_bounds("EPSG:32645", crs, 500_000, 3_098_800, 501_500, 3_100_000, 99)
    west, south, east, north = bounds(grid)
    for edge, inner in zip(
        (west, south, -east, -north), np.multiply(covered, (1, 1, -1, -1)), strict=True
    ):
        assert edge <= inner + 0.01 * pixel
        assert edge > inner - 1.01 * pixel


def test_bounds_are_widened_to_whole_pixels(reference):
    grid = target_grid(reference, bounds=(500_031, 3_099_011, 500_095, 3_099_971))
    assert bounds(grid) == (500_030, 3_099_010, 500_120, 3_100_000)


def test_bounds_on_the_lattice_are_kept_and_may_go_beyond_the_rasters(reference, plain):
    wanted = (499_970, 3_098_800, 500_300, 3_100_030)
    grid = target_grid(reference, bounds=wanted)
    assert bounds(grid) == wanted
    with Scene({"plain": reference}, (plain,), grid=grid) as scene:
        valid = scene.read(scene.bounds)[1]
    assert valid[1:, 1:].all()
    assert not valid[0].any()
    assert not valid[:, 0].any()


def area(path, *box, crs="EPSG:4326"):
    geometry = [shapely.box(*box)] if box else []
    geopandas.GeoDataFrame(geometry=geometry, crs=crs).to_file(path)
    return path


def test_an_area_of_interest_in_any_crs(reference, tmp_path):
    box = transform_bounds("EPSG:32645", "EPSG:4326", 500_305, 3_099_105, 500_695, 3_099_395)
    grid = target_grid(reference, aoi=area(tmp_path / "aoi.gpkg", *box))
    np.testing.assert_allclose(bounds(grid), (500_300, 3_099_100, 500_720, 3_099_400), atol=30)
    assert bounds(grid)[0] <= 500_305
    assert bounds(grid)[3] >= 3_099_395
    with zipfile.ZipFile(tmp_path / "aoi.zip", "w") as archive:
        archive.write(tmp_path / "aoi.gpkg", "aoi.gpkg")
    assert target_grid(reference, aoi=f"/vsizip/{tmp_path}/aoi.zip/aoi.gpkg") == grid


def test_an_area_of_interest_ends_where_the_rasters_end(reference, tmp_path):
    aoi = area(tmp_path / "range.geojson", 80, 20, 87.007, 30)
    grid = target_grid(reference, aoi=aoi)
    assert bounds(grid)[0] == 500_000
    assert grid.height == 40
    assert grid.width < 30


@pytest.mark.parametrize("options", [{"resolution": 30}, {"crs": "EPSG:32644"}])
def test_a_rotated_reference_is_warped(write_raster, plain, options):
    path = write_raster("rotated.tif", ONES, transform=ROTATED)
    grid = target_grid(path, **options)
    assert grid.transform.a == 30
    with Scene({"plain": path}, (plain,), grid=grid) as scene:
        valid = scene.read(scene.bounds)[1]
    assert valid.sum() == pytest.approx(40 * 50, rel=0.02)
    assert not valid.all()


class TestBadInput:
    def raises(self, reference, *parts, **options):
        with pytest.raises(InputError) as caught:
            target_grid(reference, **options)
        for part in parts:
            assert part in str(caught.value)

    def test_unknown_crs(self, reference):
        self.raises(reference, "'EPSG:1'", "unknown", "EPSG:32645", crs="EPSG:1")
        self.raises(reference, "'moon river'", "unknown", crs="moon river")

    @pytest.mark.parametrize("resolution", [0, -30, float("nan"), float("inf")])
    def test_resolution(self, reference, resolution):
        self.raises(reference, f"resolution is {resolution}", "above 0", resolution=resolution)

    def test_resolution_in_another_unit(self, reference):
        self.raises(reference, "30 x 30 degrees", "smaller", crs="EPSG:4326", resolution=30)
        for tiny, written in ((0.0003, "0.0003"), (1e-300, "1e-300"), (5e-324, "e-324")):
            self.raises(reference, written, "larger", resolution=tiny)
            self.raises(reference, written, "larger", resolution=tiny, crs="EPSG:32644")
        for huge in (1e9, 1e300):
            self.raises(reference, "smaller", resolution=huge)
            self.raises(reference, "smaller", resolution=huge, crs="EPSG:32644")

    def test_bounds_beyond_everything(self, reference):
        self.raises(reference, "larger", bounds=(-1e300, -1e300, 1e300, 1e300))
        self.raises(reference, "larger", bounds=(-1.7e308, 0, 1.7e308, 1e9))

    @pytest.mark.parametrize("box", [(1, 2, 3), (5, 0, 4, 9), (0, 0, 1, float("nan"))])
    def test_bounds(self, reference, box):
        self.raises(reference, str(list(box)), "xmin < xmax", bounds=box)

    def test_no_overlap(self, reference, tmp_path):
        self.raises(reference, "bounds: no overlap", "x 500000 to 501500", bounds=(0, 0, 900, 900))
        aoi = area(tmp_path / "alps.gpkg", 7, 45, 8, 46)
        self.raises(reference, "alps.gpkg: no overlap", "same place", aoi=aoi)

    def test_bounds_and_area(self, reference):
        self.raises(reference, "give one of them", bounds=(0, 0, 1, 1), aoi="a.gpkg")

    def test_area_of_interest(self, reference, tmp_path):
        self.raises(reference, "no.gpkg", "does not exist", aoi=tmp_path / "no.gpkg")
        self.raises(reference, "empty.gpkg", "no polygon", aoi=area(tmp_path / "empty.gpkg"))
        shapefile = area(tmp_path / "nowhere.shp", 86, 27, 87, 28, crs=None)
        self.raises(reference, "nowhere.shp", "coordinate reference system", aoi=shapefile)

    @pytest.mark.parametrize(
        "transform", [ROTATED, Affine(30, 2, 500_000, 0, -30, 3_100_000)], ids=["rotated", "skewed"]
    )
    def test_rotated_as_default(self, write_raster, transform):
        path = write_raster("rotated.tif", ONES, transform=transform)
        self.raises(path, "rotated.tif is rotated or skewed", "--resolution", "--crs")

    def test_no_crs(self, write_raster):
        path = write_raster("a.tif", ONES, crs=None)
        self.raises(path, "a.tif has no coordinate", "rio edit-info")

    def test_ground_control_points(self, write_raster, plain):
        path = write_raster("a.tif", ONES, crs=None, transform=Affine.identity())
        points = [
            GroundControlPoint(r, c, 86 + c / 99, 28 - r / 99)
            for r, c in ((0, 0), (0, 50), (40, 0), (40, 50))
        ]
        with rasterio.open(path, "r+") as file:
            file.gcps = points, rasterio.CRS.from_epsg(4326)
        self.raises(path, "a.tif has ground control points", "gdalwarp -tps")
        with pytest.raises(InputError, match="gdalwarp -tps"):
            Scene({"plain": path}, (plain,))

    def test_a_crs_of_another_place(self, reference):
        self.raises(reference, "no place in", "region", crs="+proj=gnom +lat_0=-28 +lon_0=-93")


#: CRS of the map, box in degrees, pixel.
BOXES = {
    "Alps": ("EPSG:32632", (8.5, 46.5, 9.5, 47.0), 10),
    "Svalbard": ("EPSG:32633", (14, 78.5, 16, 79), 30),
    "Greenland": ("EPSG:3413", (-50, 70, -40, 72), 100),
    "Patagonia": ("EPSG:32718", (-74, -49.5, -73, -49), 10),
    "across the 180th meridian": ("EPSG:32601", (178, 70, 182, 72), 100),
    "around the pole": ("EPSG:3413", (-180, 80, 180, 90), 1000),
    "a quarter of the north": ("EPSG:3413", (-100, 70, -10, 90), 1000),
    "Antarctica": ("EPSG:3031", (-180, -90, 180, -70), 1000),
}


class TestBentEdges:
    """An area's edges are straight in its own system: the map reaches all of them."""

    @pytest.mark.parametrize("place", BOXES)
    def test_an_area_in_degrees(self, tmp_path, place):
        crs, box, pixel = BOXES[place]
        dense = shapely.segmentize(shapely.box(*box), (box[2] - box[0]) / 20_000)
        way = pyproj.Transformer.from_crs(4326, crs, always_xy=True)
        points = np.column_stack(way.transform(*shapely.get_coordinates(dense).T))
        low, high = points.min(axis=0), points.max(axis=0)
        width, height = np.ceil((high - low) / pixel).astype(int) + 40
        path = sparse(
            tmp_path, crs, (low[0] - 20 * pixel, high[1] + 20 * pixel), pixel, (height, width)
        )
        west, south, east, north = bounds(target_grid(path, aoi=area(tmp_path / "a.gpkg", *box)))
        reached = np.array([low[0] - west, low[1] - south, east - high[0], north - high[1]])
        assert (reached > -0.02 * pixel).all(), reached
        assert (reached < 1.02 * pixel).all(), reached

    def test_many_polygons(self, tmp_path):
        places = np.random.default_rng(0).uniform((-55, 68), (-35, 78), (500, 2))
        boxes = [shapely.box(x, y, x + 1, y + 0.5) for x, y in places]
        geopandas.GeoDataFrame(geometry=boxes, crs=4326).to_file(tmp_path / "a.gpkg")
        way = pyproj.Transformer.from_crs(4326, 3413, always_xy=True)
        dense = shapely.get_coordinates(shapely.segmentize(boxes, 0.001))
        x, y = way.transform(*dense.T)
        path = sparse(tmp_path, "EPSG:3413", (-1_500_000, 0), 1000, (4000, 4000))
        west, south, east, north = bounds(target_grid(path, aoi=tmp_path / "a.gpkg"))
        np.testing.assert_allclose(
            (west, south, east, north), (x.min(), y.min(), x.max(), y.max()), atol=1001
        )
        assert west <= x.min() + 10
        assert east >= x.max() - 10
        assert south <= y.min() + 10
        assert north >= y.max() - 10

    def test_a_raster_around_the_pole_in_degrees(self, tmp_path):
        path = sparse(tmp_path, "EPSG:3413", (-500_000, 500_000), 1000, (1000, 1000))
        west, south, east, north = bounds(target_grid(path, crs="EPSG:4326", resolution=0.1))
        assert (west, east, north) == pytest.approx((-180, 180, 90))
        assert south == pytest.approx(83.4, abs=0.15)

    def test_a_raster_in_degrees_around_the_pole(self, tmp_path):
        path = sparse(tmp_path, "EPSG:4326", (-180, 90), 0.1, (100, 3600))
        west, south, east, north = bounds(target_grid(path, crs="EPSG:3413", resolution=1000))
        radius = pyproj.Transformer.from_crs(4326, 3413, always_xy=True).transform(45, 80)[0]
        for edge in (-west, -south, east, north):
            assert radius <= edge + 10
            assert edge < radius + 1010


def sparse(folder, crs, origin, pixel, shape):
    """Write a raster that takes no room."""
    path = folder / "sparse.tif"
    place = {"crs": crs, "transform": from_origin(*origin, pixel, pixel)}
    with rasterio.open(
        path, "w", driver="GTiff", count=1, dtype="uint8", height=shape[0], width=shape[1],
        tiled=True, SPARSE_OK=True, compress="deflate", **place,
    ):  # fmt: skip
        return path


class TestLongitudes:
    """Places are the same after a full turn."""

    def tiles(self, tmp_path, *wests, pixel=0.01):
        paths = []
        for number, west in enumerate(wests):
            (tmp_path / str(number)).mkdir()
            paths.append(sparse(tmp_path / str(number), "EPSG:4326", (west, 70), pixel, (100, 100)))
        return paths

    @pytest.mark.parametrize(
        ("wests", "expected"),
        [
            ((179, -180), (179, 181)),
            ((-180, 179), (-181, -179)),
            ((185, -174), (185, 187)),
            ((178, 179, -180, -179), (178, 182)),
            ((-180, 178, -179, 179), (-182, -178)),
            ((179.5, 179), (179, 180.5)),
            ((10, 11), (10, 12)),
            ((10, 370), (10, 11)),
            ((-175, -172), (-175, -171)),
        ],
    )
    def test_tiles_on_both_sides_of_180_are_neighbours(self, tmp_path, plain, wests, expected):
        files = self.tiles(tmp_path, *wests)
        grid = target_grid(files)
        west, _, east, _ = bounds(grid)
        assert (west, east) == pytest.approx(expected)
        with Scene({"plain": files}, (plain,), grid=grid) as scene:
            assert len(scene.inputs["plain"]) == len(files)

    @pytest.mark.parametrize("turns", [-1, 0, 1])
    def test_bounds_may_be_on_another_turn(self, tmp_path, plain, turns):
        files = self.tiles(tmp_path, 179, -180)
        wanted = (179.5 + 360 * turns, 69.2, 180.5 + 360 * turns, 69.8)
        grid = target_grid(files, bounds=wanted)
        assert bounds(grid) == pytest.approx(wanted)
        with Scene({"plain": files}, (plain,), grid=grid) as scene:
            assert scene.read(scene.bounds)[1].all()

    @pytest.mark.parametrize("boxes", [[(179.5, 180.5)], [(-180.5, -179.5)],
                                       [(179.5, 180), (-180, -179.5)]])  # fmt: skip
    def test_an_area_may_be_on_another_turn_and_cut_at_180(self, tmp_path, boxes):
        polygons = [shapely.box(west, 69.2, east, 69.8) for west, east in boxes]
        aoi = tmp_path / "a.geojson"
        geopandas.GeoDataFrame(geometry=polygons, crs=4326).to_file(aoi)
        expected = (179.5, 69.2, 180.5, 69.8)
        files = self.tiles(tmp_path, 179, -180)
        assert bounds(target_grid(files, aoi=aoi)) == pytest.approx(expected)
        earth = sparse(tmp_path, "EPSG:4326", (-180, 90), 0.01, (9000, 36_000))
        there = bounds(target_grid(earth, aoi=aoi))
        assert (there[0] % 360, there[2] - there[0]) == pytest.approx((179.5, 1))

    def test_in_degrees_across_the_180th_meridian(self, write_raster, plain):
        there = from_origin(377_000, 7_900_000, 500, 500)
        path = write_raster("wrangel.tif", ONES, "EPSG:32601", there)
        grid = target_grid(path, crs="EPSG:4326")
        west, _, east, _ = bounds(grid)
        assert west < 180 < east
        assert east - west < 2
        with Scene({"plain": path}, (plain,), grid=grid) as scene:
            assert scene.read(scene.bounds)[1].mean() > 0.7


class TestOwnPixels:
    """A resolution that is the raster's own, or a multiple or a part of it, cuts no pixel."""

    @pytest.mark.parametrize("origin", [(500_015, 3_100_015), (500_000, 3_100_000), (-7, -3)])
    @pytest.mark.parametrize("resolution", [30, 30.0005])
    def test_the_own_resolution_changes_nothing(self, write_raster, plain, origin, resolution):
        path = write_raster("o.tif", RNG.random((40, 50), dtype=np.float32),
                            transform=from_origin(*origin, 30, 30))  # fmt: skip
        grid = target_grid(path, resolution=resolution)
        assert grid == target_grid(path)
        assert grid == target_grid(path, resolution=resolution, crs="EPSG:32645")
        with Scene({"plain": path}, (plain,), grid=grid) as scene, rasterio.open(path) as file:
            np.testing.assert_array_equal(scene.read_group(plain, scene.bounds)[0], file.read(1))

    @pytest.mark.parametrize("resolution", [60, 90, 15, 10])
    def test_edges_are_the_rasters_own(self, write_raster, resolution):
        path = write_raster("o.tif", ONES, transform=from_origin(500_017, 3_100_023, 30, 30))
        grid = target_grid(path, resolution=resolution)
        step = min(resolution, 30)
        for edge, own in zip(bounds(grid), (500_017, 3_100_023) * 2, strict=True):
            assert (edge - own) % step == pytest.approx(0, abs=1e-6)

    def test_with_bounds_the_pixels_are_whole(self, write_raster):
        path = write_raster("o.tif", ONES, transform=from_origin(500_015, 3_100_015, 30, 30))
        box = (500_100, 3_099_000, 500_700, 3_099_500)
        assert target_grid(path, resolution=30, bounds=box) == target_grid(path, bounds=box)

    def test_degrees_written_with_few_digits(self, write_raster):
        own = 1 / 3600
        path = write_raster("o.tif", ONES, "EPSG:4326", from_origin(86.99986, 28, own, own))
        assert target_grid(path, resolution=0.00027778) == target_grid(path)


class TestWritable:
    """A map's CRS is one that a GeoTIFF holds, and this is known before anything is predicted."""

    def test_heights_are_left_out(self, write_raster):
        path = write_raster("o.tif", ONES, "EPSG:32645+5773")
        assert target_grid(path).crs.to_epsg() == 32645
        assert target_grid(path, crs="EPSG:4979").crs.to_epsg() == 4326

    def test_three_axes_count_as_two(self, reference):
        for crs in (pyproj.CRS("EPSG:32645").to_3d(), "EPSG:32645+5773"):
            assert target_grid(reference, crs=crs).crs.to_epsg() == 32645

    def test_what_cannot_be_written_is_refused(self, write_raster, reference):
        rotated = (
            "+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=18 +lon_0=-37.5 "
            "+to_meter=0.0174532925199433 +datum=WGS84"
        )
        with pytest.raises(InputError, match=r"GeoTIFF cannot hold .*--crs"):
            target_grid(reference, crs=rotated)
        path = write_raster("rotated_pole.tif", ONES, rotated, from_origin(5, 5, 3e-4, 3e-4))
        with pytest.raises(InputError, match=r"GeoTIFF cannot hold .*--crs"):
            target_grid(path)
        assert target_grid(path, crs="EPSG:3413").crs.to_epsg() == 3413

    @pytest.mark.parametrize("crs", ["EPSG:5773", "EPSG:4978"])
    def test_what_places_no_pixels_is_refused(self, reference, crs):
        with pytest.raises(InputError, match=f"{crs}' is unknown .*no known place"):
            target_grid(reference, crs=crs)


def test_a_layer_is_that_of_an_area(write_raster):
    raster = write_raster("a.tif", np.ones((4, 4), np.float32))
    with pytest.raises(InputError, match="layer 'range' is given, but no area of interest"):
        target_grid(raster, layer="range")
