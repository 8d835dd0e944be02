"""Polygons as labels: layers, places on either side of the 180th meridian, long edges, rock."""

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin
from shapely import MultiPolygon, Point, box

from glavitu.cli import main
from glavitu.datasets import GlacierRasters
from glavitu.datasets.labels import VectorOutlines
from glavitu.errors import InputError
from glavitu.features import FeatureGroup
from glavitu.outlines.placing import moved
from glavitu.rasters.grid import Grid
from glavitu.windows import Window

from ..raster_files import write_raster

RGB = FeatureGroup("rgb", ("red", "green", "blue"), (0, 0, 0), (255, 255, 255))
SHAPE = (40, 60)
CRS = "EPSG:32645"
GLACIER = box(500_300, 3_099_400, 500_900, 3_099_700)  # 10 x 20 pixels
STUDY_AREA = box(500_000, 3_098_800, 501_800, 3_100_000)


def frame(*shapes, crs=CRS, **columns):
    return geopandas.GeoDataFrame(columns or None, geometry=list(shapes), crs=crs)


@pytest.fixture
def tile(tmp_path):
    folder = tmp_path / "tiles" / "tile"
    write_raster(folder / "rgb.tif", np.full((3, *SHAPE), 9, np.uint8), region="HMA")
    return folder


def glacier_pixels(dataset):
    return [int(tile.outlines.read(tile.extent).sum()) for tile in dataset.tiles]


class TestLayers:
    @pytest.fixture
    def outlines(self, tile):
        path = tile / "outlines.gpkg"
        frame(STUDY_AREA).to_file(path, layer="study_area")
        frame(Point(500_300, 3_099_400)).to_file(path, layer="snouts", mode="a")
        frame(GLACIER).to_file(path, layer="glaciers", mode="a")
        return path

    def test_several_are_an_error_and_one_is_named(self, tile, outlines):
        with pytest.raises(InputError, match=r"study_area \(Polygon\), glaciers \(Polygon\)"):
            GlacierRasters(tile, [RGB])
        assert glacier_pixels(GlacierRasters(tile, [RGB], layer="glaciers")) == [200]

    def test_in_a_manifest_each_scene_may_name_its_own(self, tile, outlines):
        manifest = tile.parent / "scenes.csv"
        manifest.write_text(
            "name,scene,outlines,layer\na,tile,tile/outlines.gpkg,study_area\n"
            "b,tile,tile/outlines.gpkg,\n"
        )
        dataset = GlacierRasters(manifest, [RGB], layer="glaciers")
        assert glacier_pixels(dataset) == [40 * 60, 200]

    @pytest.mark.parametrize("check", [[], ["--check"]])
    def test_info_takes_it_too(self, tile, outlines, capsys, check):
        root = str(tile.parent)
        assert main(["info", root, *check]) == 1
        assert "several of its layers hold polygons" in "".join(capsys.readouterr())
        assert main(["info", root, "--layer", "glaciers", *check]) == 0
        assert "8.3" in capsys.readouterr().out  # 200 of 2400 pixels in percent


def test_info_of_an_inventory_that_serves_a_scene_without_glaciers(tile, capsys):
    other = from_origin(600_000, 3_100_000, 30, 30)
    empty = tile.parent / "empty" / "rgb.tif"
    write_raster(empty, np.full((3, *SHAPE), 9, np.uint8), transform=other, region="HMA")
    frame(GLACIER).to_file(tile.parent / "rgi.gpkg")
    manifest = tile.parent / "scenes.csv"
    manifest.write_text("scene,outlines\ntile,rgi.gpkg\nempty,rgi.gpkg\n")
    assert main(["info", str(manifest), "--check"]) == 0
    assert "no fault in 2 tiles" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("name", ["outlines.parquet", "outlines.fgb"])
def test_all_formats_of_a_map_are_labels(tile, name):
    path = tile / name
    made = frame(GLACIER)
    made.to_parquet(path) if path.suffix == ".parquet" else made.to_file(path)
    assert glacier_pixels(GlacierRasters(tile, [RGB])) == [200]


def test_rock_of_glims_is_no_glacier(tile):
    rock = box(500_600, 3_099_400, 500_900, 3_099_700)
    kinds = ["glac_bound", "intrnl_rock"]
    frame(GLACIER, rock, line_type=kinds).to_file(tile / "outlines.gpkg")
    with pytest.warns(UserWarning, match="rock"):
        assert glacier_pixels(GlacierRasters(tile, [RGB])) == [100]


def test_latitude_and_longitude_swapped(tile):
    degrees = frame(GLACIER).to_crs("EPSG:4326").geometry[0]
    swapped = shapely.transform(degrees, lambda xy: xy[:, ::-1])
    frame(swapped, crs="EPSG:4326").to_file(tile / "outlines.gpkg")
    with pytest.raises(InputError, match=r"none of its 1 outlines overlaps.* swapped"):
        GlacierRasters(tile, [RGB])


def test_only_what_is_around_the_image_is_kept(tile):
    far = [shapely.affinity.translate(GLACIER, 30_000 * n) for n in range(50)]
    path = tile / "outlines.gpkg"
    frame(*far).to_crs("EPSG:4326").to_file(path)
    (found,) = GlacierRasters(tile, [RGB]).tiles
    assert len(found.outlines.geometries) == 1
    assert int(found.outlines.read(found.extent).sum()) == 200


class TestAntimeridian:
    """An image over 180 degrees east and west; a glacier across it."""

    WEST, EAST = box(179.95, 70.01, 180, 70.03), box(180, 70.01, 180.05, 70.03)
    WHOLE = box(179.95, 70.01, 180.05, 70.03)

    def labels(self):
        """The same glacier in every way that files write it."""
        naive = shapely.transform(
            self.WHOLE, lambda xy: np.column_stack([(xy[:, 0] + 180) % 360 - 180, xy[:, 1]])
        )
        utm = geopandas.GeoSeries([shapely.segmentize(self.WHOLE, 0.001)], crs="EPSG:4326")
        return {
            "from 0 to 360": frame(self.WHOLE, crs="EPSG:4326"),
            "cut": frame(MultiPolygon([self.WEST, moved(self.EAST, -360)]), crs="EPSG:4326"),
            "in halves": frame(self.WEST, moved(self.EAST, -360), crs="EPSG:4326"),
            "jumping": frame(naive, crs="EPSG:4326"),
            "from -360": frame(moved(self.WHOLE, -360), crs="EPSG:4326"),
            "in UTM": frame(utm.to_crs("EPSG:32601")[0], crs="EPSG:32601"),
            "in a polar system": frame(utm.to_crs("EPSG:3413")[0], crs="EPSG:3413"),
        }

    @pytest.mark.parametrize(
        "name",
        [
            "from 0 to 360",
            "cut",
            "in halves",
            "jumping",
            "from -360",
            "in UTM",
            "in a polar system",
        ],
    )
    @pytest.mark.parametrize("west", [179.9, -180.1])
    def test_a_place_is_the_same_whatever_its_longitude(self, tmp_path, name, west):
        self.labels()[name].to_file(tmp_path / "a.gpkg")
        image = Grid(
            rasterio.CRS.from_epsg(4326), from_origin(west, 70.04, 0.002, 0.001), (40, 100)
        )
        mask = VectorOutlines(tmp_path / "a.gpkg", image).read(Window(0, 0, 40, 100))
        expected = np.zeros((40, 100), np.uint8)
        expected[10:30, 25:75] = 1
        assert np.count_nonzero(mask != expected) <= 0.02 * expected.sum()

    @pytest.mark.parametrize("name", ["from 0 to 360", "cut", "jumping", "from -360", "in UTM"])
    def test_in_a_projected_image(self, tmp_path, name):
        self.labels()[name].to_file(tmp_path / "a.gpkg")
        x, y = rasterio.warp.transform("EPSG:4326", "EPSG:32601", [180], [70.02])
        image = Grid(
            rasterio.CRS.from_epsg(32601),
            from_origin(x[0] - 5000, y[0] + 5000, 50, 50),
            (200, 200),
        )
        mask = VectorOutlines(tmp_path / "a.gpkg", image).read(Window(0, 0, 200, 200))
        expected = geopandas.GeoSeries([self.WHOLE], crs="EPSG:4326").to_crs("EPSG:6931").area[0]
        assert mask.sum() * 2500 == pytest.approx(expected, rel=0.01)

    def test_of_a_place_elsewhere_is_elsewhere(self, tmp_path):
        self.labels()["jumping"].to_file(tmp_path / "a.gpkg")
        image = Grid(rasterio.CRS.from_epsg(4326), from_origin(10, 70.04, 0.002, 0.001), (40, 100))
        with pytest.raises(InputError, match="none of its 1 outlines"):
            VectorOutlines(tmp_path / "a.gpkg", image)


def test_long_edges_bend(tmp_path):
    """A parallel is no straight line in a polar system, be it drawn with two points only."""
    coarse = box(-50, 70, -40, 75)
    frame(coarse, crs="EPSG:4326").to_file(tmp_path / "coarse.gpkg")
    dense = shapely.segmentize(coarse, 0.01)
    frame(dense, crs="EPSG:4326").to_crs("EPSG:3413").to_file(tmp_path / "dense.gpkg")
    image = Grid(
        rasterio.CRS.from_epsg(3413), from_origin(-200_000, -1_550_000, 1000, 1000), (700, 400)
    )
    masks = [
        VectorOutlines(tmp_path / f"{name}.gpkg", image).read(Window(0, 0, 700, 400))
        for name in ("coarse", "dense")
    ]
    assert 100_000 < masks[1].sum() < 280_000
    assert np.count_nonzero(masks[0] != masks[1]) < 20
