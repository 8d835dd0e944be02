import zipfile

import geopandas
import numpy as np
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
        self.raises(reference, "0.0003", "larger", resolution=0.0003)

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

    def test_across_the_180th_meridian(self, write_raster):
        there = from_origin(377_000, 7_900_000, 500, 500)
        path = write_raster("wrangel.tif", ONES, "EPSG:32601", there)
        self.raises(path, "wrangel.tif lies across the 180th meridian", crs="EPSG:4326")


def test_a_layer_is_that_of_an_area(write_raster):
    raster = write_raster("a.tif", np.ones((4, 4), np.float32))
    with pytest.raises(InputError, match="layer 'range' is given, but no area of interest"):
        target_grid(raster, layer="range")
