"""What is read of vector files, and what is said where something in them cannot be used."""

import os
import sqlite3
import struct
import warnings

import geopandas
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from shapely import GeometryCollection, LineString, MultiPolygon, Point, Polygon, box

from glavitu.errors import InputError
from glavitu.outlines import vector_source
from glavitu.outlines.layers import BATCH
from glavitu.outlines.read_polygons import PolygonFile, read_polygons

UTM = "EPSG:32632"
A = box(400_000, 5_200_000, 401_000, 5_201_000)
B = box(402_000, 5_200_000, 403_000, 5_201_000)
NAN, INFINITE = float("nan"), float("inf")


def frame(*shapes, crs=UTM, **columns):
    return geopandas.GeoDataFrame(
        columns or {"n": range(len(shapes))}, geometry=list(shapes), crs=crs
    )


@pytest.fixture
def write(tmp_path):
    def write(name, /, *shapes, crs=UTM, **columns):
        path = tmp_path / name
        made = frame(*shapes, crs=crs, **columns)
        made.to_parquet(path) if path.suffix == ".parquet" else made.to_file(path)
        return path

    return write


def ring(*points):
    """A polygon as well-known binary, whether it is one or not."""
    return struct.pack("<bIII", 1, 3, 1, len(points)) + b"".join(
        struct.pack("<dd", *point) for point in points
    )


SQUARE = [tuple(point) for point in A.exterior.coords]


@pytest.fixture
def stored(tmp_path):
    """A GeoPackage of these bytes as geometries."""

    def store(*blobs):
        path = tmp_path / "stored.gpkg"
        frame(*[A] * len(blobs)).to_file(path, layer="x", SPATIAL_INDEX="NO")
        with sqlite3.connect(path) as base:
            kinds = "select name from sqlite_master where type = 'trigger'"
            for (name,) in base.execute(kinds).fetchall():
                base.execute(f'drop trigger "{name}"')
            head = b"GP\x00\x01" + struct.pack("<i", 32632)
            for number, blob in enumerate(blobs, 1):
                value = None if blob is None else head + blob
                base.execute("update x set geom = ? where fid = ?", (value, number))
        base.close()
        return path

    return store


def area(path, **options):
    return read_polygons(path, **options).geometry.area.sum() / 1e6


class TestPolygons:
    @pytest.mark.parametrize(
        ("shape", "square_kilometres"),
        [
            (GeometryCollection([A, LineString([(0, 0), (1, 1)]), GeometryCollection([B])]), 2),
            (MultiPolygon([A, B]), 2),
            (shapely.force_3d(A, 3000.0), 1),
        ],
    )
    @pytest.mark.parametrize("name", ["a.gpkg", "a.geojson", "a.parquet", "a.fgb"])
    def test_of_any_geometry(self, write, name, shape, square_kilometres):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            path = write(name, shape)
            assert area(path) == pytest.approx(square_kilometres)
            assert not read_polygons(path).has_z.any()

    def test_with_measures(self, tmp_path):
        (tmp_path / "m.csv").write_text(
            'WKT,a\n"POLYGON ZM ((0 0 1 1,10 0 1 1,10 10 1 1,0 10 1 1,0 0 1 1))",1\n'
        )
        meta, _, wkb, _ = pyogrio.raw.read(tmp_path / "m.csv")
        pyogrio.raw.write(
            tmp_path / "m.gpkg",
            wkb,
            field_data=[],
            fields=[],
            crs="EPSG:4326",
            geometry_type=meta["geometry_type"],
        )
        assert read_polygons(tmp_path / "m.gpkg").geometry.area.tolist() == [100]

    def test_with_arcs(self, tmp_path):
        arc = "<gml:Circle><gml:posList>0 1000 1000 0 0 -1000</gml:posList></gml:Circle>"
        (tmp_path / "c.gml").write_text(
            '<?xml version="1.0"?><ogr:FeatureCollection xmlns:ogr="http://ogr.maptools.org/" '
            'xmlns:gml="http://www.opengis.net/gml"><gml:featureMember><ogr:a fid="1">'
            '<ogr:geometryProperty><gml:Polygon srsName="EPSG:32632"><gml:exterior><gml:Ring>'
            f"<gml:curveMember><gml:Curve><gml:segments>{arc}</gml:segments></gml:Curve>"
            "</gml:curveMember></gml:Ring></gml:exterior></gml:Polygon></ogr:geometryProperty>"
            "</ogr:a></gml:featureMember></ogr:FeatureCollection>"
        )
        assert area(tmp_path / "c.gml") == pytest.approx(np.pi, rel=0.01)

    @pytest.mark.parametrize("name", ["many.gpkg", "many.shp", "many.geojson"])
    def test_of_more_features_than_are_read_at_once(self, write, name, monkeypatch):
        monkeypatch.setattr(vector_source, "PART_BYTES", 1)
        count = 2 * BATCH + 1
        shapes = [box(i / 1000, 0, i / 1000 + 0.0005, 1) for i in range(count)]
        path = write(name, *shapes, crs="EPSG:4326")
        file = PolygonFile.open(path, columns=("n",))
        assert file.read()["n"].tolist() == list(range(count))
        found = file.read(np.array([[1.0, 0.2, 1.0001, 0.3], [2.0, 0, 2, 1]]))
        assert found["n"].tolist() == [1000, 2000]
        assert file.read(np.array([[-10.0, 0, -9, 1]])).empty

    def test_of_no_feature(self, tmp_path):
        nothing = geopandas.GeoDataFrame({"n": []}, geometry=geopandas.GeoSeries([], crs=UTM))
        nothing.to_file(tmp_path / "none.gpkg")
        assert read_polygons(tmp_path / "none.gpkg").empty

    def test_open_rings_are_closed(self, stored):
        assert area(stored(ring(*SQUARE[:4]))) == pytest.approx(1)


class TestRock:
    def test_is_a_hole_of_glims(self, write):
        hole = box(400_200, 5_200_200, 400_600, 5_200_600)
        lake = box(400_900, 5_200_900, 401_100, 5_201_100)
        kinds = ["glac_bound", "intrnl_rock", None, "pro_lake", "centerline"]
        line = LineString([(400_000, 5_200_000), (401_000, 5_201_000)])
        path = write("glims.gpkg", A, hole, B, lake, line, line_type=kinds)
        with pytest.warns(UserWarning, match=r"1 of 5 features are rock.* 2 are debris"):
            found = read_polygons(path, columns=("line_type",))
        assert found.geometry.area.tolist() == [840_000, 1_000_000]
        assert found["line_type"].fillna("").tolist() == ["glac_bound", ""]

    def test_may_reach_over_several_glaciers_and_be_all_of_one(self, write):
        rock = box(400_500, 5_199_000, 404_000, 5_202_000)
        path = write("a.geojson", A, B, rock, crs=UTM, line_type=["", "", "intrnl_rock"])
        with pytest.warns(UserWarning, match="rock"):
            assert read_polygons(path).geometry.area.tolist() == pytest.approx([5e5])


class TestUnusable:
    def test_some_are_counted_and_left_out(self, stored):
        path = stored(
            ring(*SQUARE),
            b"no geometry",
            None,
            ring(*[(NAN, NAN)] * 5),
            ring(*SQUARE[:2], (NAN, 0), *SQUARE[3:]),
            ring((INFINITE, 0), *SQUARE[1:]),
            ring(*[SQUARE[0]] * 5),
            ring((-1e9, -1e9), (1e9, -1e9), (1e9, 1e9), (-1e9, 1e9), (-1e9, -1e9)),
        )
        with pytest.warns(UserWarning, match="cannot be used") as said:
            found = read_polygons(path)
        assert found.geometry.area.tolist() == [1e6]
        (text,) = {str(one.message) for one in said}
        assert "stored.gpkg: 7 of 8 outlines cannot be used" in text
        assert "3 with no geometry" in text
        assert "2 with coordinates that are no finite numbers" in text
        assert "1 with coordinates that are none in the file's CRS" in text
        assert "1 with no area" in text
        assert "as if there were no glacier" in text

    @pytest.mark.parametrize(
        "blob",
        [b"no geometry", None, ring(*[(NAN, 0)] * 5), ring((INFINITE, 0), *SQUARE[1:])],
    )
    def test_all_are_an_error(self, stored, blob):
        with pytest.raises(InputError, match=r"stored\.gpkg: 2 of 2 outlines cannot be used"):
            read_polygons(stored(blob, blob))

    @pytest.mark.parametrize(
        ("shape", "crs", "words"),
        [
            (A, "EPSG:4326", "in degrees; they seem to be metres"),
            (box(86, 27, 87, 28), UTM, "look like degrees"),
            (box(27, 96, 28, 97), "EPSG:4326", "latitude and longitude are swapped"),
            (box(-1e9, -1e9, 1e9, 1e9), UTM, "no place on the Earth"),
            (A, "EPSG:5773", "no known place"),
            (A, "EPSG:4978", "no known place"),
            (A, 'LOCAL_CS["here",UNIT["metre",1]]', "no known place"),
        ],
    )
    def test_coordinates_that_the_crs_does_not_have(self, write, shape, crs, words):
        with pytest.raises(InputError, match=rf"wrong\.gpkg.*{words}"):
            read_polygons(write("wrong.gpkg", shape, crs=crs))

    @pytest.mark.parametrize("crs", ["EPSG:32632+5773", "EPSG:4979", "EPSG:2264", "EPSG:4807"])
    def test_any_crs_of_places_is_fine(self, write, crs):
        path = write(
            "fine.gpkg",
            box(30, 30, 10_000, 10_000) if ":32" in crs or ":22" in crs else box(3, 50, 4, 51),
            crs=crs,
        )
        found = read_polygons(path)
        assert len(found.crs.axis_info) == 2

    @pytest.mark.parametrize("name", ["a.gpkg", "a.shp"])
    @pytest.mark.filterwarnings("ignore:'crs' was not provided")
    def test_no_crs(self, write, name):
        with pytest.raises(InputError, match="coordinate reference system.*a_srs"):
            read_polygons(write(name, A, crs=None))

    @pytest.mark.parametrize("shape", [Point(0, 0), GeometryCollection([Point(0, 0)])])
    def test_what_is_no_polygon(self, write, shape):
        with pytest.raises(InputError, match=f"{shape.geom_type} geometries.*polygons"):
            read_polygons(write("mixed.gpkg", A, shape))


class TestBroken:
    @pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
    @pytest.mark.parametrize("name", ["a.gpkg", "a.shp", "a.geojson", "a.fgb", "a.parquet"])
    def test_cut_off(self, write, name, share):
        path = write(name, *[A] * 300)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(InputError) as error:
            read_polygons(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize("part", [".shx", ".dbf"])
    def test_a_shapefile_without_a_part(self, write, part):
        path = write("a.shp", A)
        path.with_suffix(part).unlink()
        with pytest.raises(InputError, match=rf"a\.shp.*\{part} is missing"):
            read_polygons(path)

    @pytest.mark.parametrize("name", ["a;b.gpkg", "a!b.gpkg"])
    def test_a_name_that_is_taken_apart(self, tmp_path, name):
        geopandas.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)], crs=4326).to_file(
            tmp_path / "a.gpkg"
        )
        (tmp_path / "a.gpkg").rename(tmp_path / name)
        with pytest.raises(InputError, match="rename the file"):
            read_polygons(tmp_path / name)

    def test_no_file(self, tmp_path):
        os.mkfifo(tmp_path / "pipe.gpkg")
        (tmp_path / "folder.gpkg").mkdir()
        for name, words in (("pipe", "is a pipe"), ("folder", "is a folder"), ("x", "exist")):
            with pytest.raises(InputError, match=words):
                read_polygons(tmp_path / f"{name}.gpkg")
        for name in ("a\0b.gpkg", "a" * 5000 + ".gpkg"):
            with pytest.raises(InputError):
                read_polygons(tmp_path / name)

    @pytest.mark.parametrize("name", ["a.tif", "a.gpkg", "a.geojson"])
    @pytest.mark.parametrize("driver", ["GTiff", "GPKG"])
    def test_a_raster(self, tmp_path, name, driver):
        path = tmp_path / f"raster.{'gpkg' if driver == 'GPKG' else 'tif'}"
        profile = {"width": 4, "height": 4, "count": 1, "dtype": "uint8", "crs": "EPSG:4326"}
        place = rasterio.transform.from_origin(0, 0, 1, 1)
        with rasterio.open(path, "w", driver=driver, transform=place, **profile) as raster:
            raster.write(np.ones((1, 4, 4), np.uint8))
        path = path.rename(tmp_path / name)
        with pytest.raises(InputError, match="is a raster, but polygons are wanted"):
            read_polygons(path)

    @pytest.mark.parametrize("count", [50, 1])
    def test_a_number_of_features_that_is_not_so(self, write, count):
        path = write("lie.gpkg", A, B)
        with sqlite3.connect(path) as base:
            base.execute("update gpkg_ogr_contents set feature_count = ?", (count,))
        base.close()
        if count == 1 and pyogrio.__version__.startswith("0.9."):
            pytest.skip("pyogrio 0.9 reads no more features than a file says that it has")
        with pytest.raises(InputError, match=r"lie\.gpkg: says that it has"):
            read_polygons(path)

    def test_text_that_is_not_in_utf8(self, write):
        path = write("a.shp", A, name=["é"])
        path.with_suffix(".dbf").write_bytes(
            path.with_suffix(".dbf").read_bytes().replace("é".encode(), b"\xe9\xff")
        )
        assert len(read_polygons(path)) == 1
        with pytest.raises(InputError, match=r"a\.shp: cannot be read.*utf-8"):
            read_polygons(path, columns=("name",))

    def test_json_that_is_deep(self, tmp_path):
        path = tmp_path / "deep.geojson"
        path.write_text('{"type":"FeatureCollection","features":' + "[" * 100_000)
        with pytest.raises(InputError, match=r"deep\.geojson"):
            read_polygons(path)

    def test_a_column_that_is_not_there(self, write):
        with pytest.raises(InputError, match="no column 'id'; it has n"):
            read_polygons(write("a.gpkg", A), columns=("id",))

    def test_invalid_polygons_come_as_they_are(self, write):
        bow_tie = Polygon([(0, 0), (1000, 1000), (1000, 0), (0, 1000)])
        assert not read_polygons(write("a.gpkg", bow_tie)).is_valid.any()


@pytest.mark.parametrize("name", ["a.gpkg", "a.shp", "a.geojson", "a.fgb", "a.parquet"])
@pytest.mark.filterwarnings("ignore:.*outlines cannot be used", "ignore:.*line_type")
def test_any_damage_gives_polygons_or_one_line(write, name, capfd):
    """Bytes of a small file are changed at random; hundreds of seeds were tried by hand."""
    kinds = ["glac_bound", "intrnl_rock", ""] * 4
    path = write(
        name, *[shapely.affinity.translate(A, 900 * n) for n in range(12)], line_type=kinds
    )
    data = path.read_bytes()
    rng, said = np.random.default_rng(0), []
    for _ in range(30):
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), rng.integers(1, 20)):
            damaged[place] = rng.integers(0, 256)
        path.write_bytes(damaged)
        try:
            assert read_polygons(path).geom_type.isin({"Polygon", "MultiPolygon"}).all()
        except InputError as error:
            said.append(str(error))
    assert said
    assert all(str(path) in text and "\n" not in text for text in said)
    assert "Traceback" not in capfd.readouterr().err
