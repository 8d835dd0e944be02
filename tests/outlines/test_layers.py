"""Which layer of a file is taken, where several stand in it."""

import geopandas
import pandas as pd
import pyogrio
import pytest
from shapely import GeometryCollection, LineString, Point, box

from glavitu.errors import InputError
from glavitu.outlines.read_polygons import read_polygons

STYLES = pd.DataFrame({"styleName": ["glaciers"]})


def frame(*shapes):
    return geopandas.GeoDataFrame({"n": range(len(shapes))}, geometry=list(shapes), crs="EPSG:4326")


GLACIERS = frame(box(0, 0, 1, 1), box(2, 0, 3, 1))
STUDY_AREA = frame(box(0, 0, 5, 5))
SNOUTS = frame(Point(0, 0))
LINES = frame(LineString([(0, 0), (1, 1)]))
ANYTHING = frame(Point(0, 0), LineString([(0, 0), (1, 1)]))
COLLECTIONS = frame(GeometryCollection([box(0, 0, 1, 1), Point(0, 0)]))
NOTHING = geopandas.GeoDataFrame({"n": []}, geometry=geopandas.GeoSeries([], crs="EPSG:4326"))


@pytest.fixture
def layers(tmp_path):
    def write(**frames):
        path = tmp_path / "layers.gpkg"
        for number, (name, one) in enumerate(frames.items()):
            kind = {"geometry_type": "Polygon"} if one is NOTHING else {}
            pyogrio.write_dataframe(one, path, layer=name, append=number > 0, **kind)
        return path

    return write


@pytest.mark.parametrize("other", [STYLES, SNOUTS, LINES, ANYTHING, NOTHING])
@pytest.mark.parametrize("first", [True, False])
def test_the_only_layer_with_polygons_is_taken_wherever_it_stands(layers, other, first):
    frames = {"other": other, "glaciers": GLACIERS}
    path = layers(**(frames if first else dict(reversed(frames.items()))))
    assert len(read_polygons(path)) == 2


def test_a_layer_of_anything_may_hold_the_polygons(layers):
    path = layers(snouts=SNOUTS, drawn=COLLECTIONS)
    assert read_polygons(path).geometry.area.tolist() == [1]


def test_several_are_an_error_that_lists_them_and_one_can_be_named(layers):
    path = layers(study_area=STUDY_AREA, styles=STYLES, glaciers=GLACIERS)
    with pytest.raises(InputError) as error:
        read_polygons(path)
    for text in ("layers.gpkg", "study_area (Polygon)", "glaciers (Polygon)", "--layer"):
        assert text in str(error.value)
    assert "styles" not in str(error.value)
    assert len(read_polygons(path, "glaciers")) == 2
    assert len(read_polygons(path, ["outlines", "glaciers"])) == 2
    assert len(read_polygons(path, "study_area")) == 1


def test_several_of_which_none_is_called_so(layers):
    path = layers(study_area=STUDY_AREA, glaciers=GLACIERS)
    with pytest.raises(InputError, match=r"none is called 'rgi'; name one of them"):
        read_polygons(path, ["rgi"])


def test_a_layer_that_is_not_there(layers):
    with pytest.raises(InputError, match=r"no layer 'rgi'; it has glaciers \(Polygon\)"):
        read_polygons(layers(glaciers=GLACIERS), "rgi")


def test_no_layer_with_polygons(layers):
    with pytest.raises(InputError, match=r"none of its layers.*snouts \(Point\), lines"):
        read_polygons(layers(snouts=SNOUTS, lines=LINES))
