"""An option of a map is told once; nobody can forget one of its places."""

import inspect
from typing import get_type_hints

import geopandas
import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.transform import from_origin
from shapely.geometry import box

from glavitu.errors import InputError
from glavitu.mapping import MapOptions, map_scene
from glavitu.mapping.options import Decides, map_options
from glavitu.mapping.provenance import FINGERPRINT, provenance
from glavitu.rasters.grid import Grid
from glavitu.rasters.target_grid import target_grid

NAMES = [option.name for option in map_options()]

#: Another value of each option than the default.
OTHER = {
    "scales": {"plain": (0.5, 0.0)},
    "nodata": {"plain": -1.0},
    "decibels": True,
    "slope_percent": True,
    "crs": "EPSG:32644",
    "resolution": 60.0,
    "bounds": (500000, 3099700, 500300, 3100000),
    "aoi": "aoi.gpkg",
    "layer": "aoi",
    "region": "HMA",
    "optimise_region": True,
    "batch_size": 3,
    "overlap": 0.25,
    "probability": True,
    "smoothing": 5,
    "min_area_km2": 0.02,
    "vector_format": "shp",
    "overwrite": True,
    "progress": False,
}

GRID = Grid(CRS.from_epsg(32645), from_origin(500000, 3100000, 30, 30), (40, 40))


@pytest.fixture
def raster(write_raster):
    square = geopandas.GeoSeries([box(500000, 3099700, 500300, 3100000)], crs="EPSG:32645")
    square.to_file(OTHER["aoi"])
    values = np.ones((40, 40), dtype=np.float32)
    return write_raster("a.tif", values, transform=GRID.transform)


@pytest.mark.parametrize("option", map_options(), ids=NAMES)
def test_every_option_is_told_of(option):
    assert option.option.help
    # Cleaned, since Python 3.13 takes the indentation out by itself.
    assert f"\n    {option.name}: " in inspect.cleandoc(MapOptions.__doc__)


@pytest.mark.parametrize("option", map_options(), ids=NAMES)
def test_what_differs_makes_another_fingerprint_unless_it_is_said_to_change_nothing(
    option, raster, tiny_model, plain
):
    def fingerprint(**options):
        chosen = MapOptions(**options)
        grid = target_grid(raster, **chosen.deciding(Decides.GRID))
        return provenance(tiny_model((plain,)), {"plain": [raster]}, chosen.facts(grid))[
            FINGERPRINT
        ]

    # A layer is that of the area of interest.
    beside = {"aoi": OTHER["aoi"]} if option.name == "layer" else {}
    same = fingerprint(**{option.name: OTHER[option.name]}, **beside) == fingerprint()
    assert same == (option.name in {"overwrite", "progress"})
    assert fingerprint(**{option.name: option.default}) == fingerprint()


def test_they_are_the_keywords_of_map_scene():
    parameters = inspect.signature(map_scene).parameters
    assert list(parameters) == ["model", "files", "output", *NAMES]
    kinds = get_type_hints(MapOptions)
    for option in map_options():
        keyword = parameters[option.name]
        assert keyword.kind is keyword.KEYWORD_ONLY
        assert (keyword.default, keyword.annotation) == (option.default, kinds[option.name])


def test_an_option_that_there_is_not(tmp_path, raster, tiny_model, plain):
    with pytest.raises(TypeError, match="unexpected keyword argument 'overlp'"):
        map_scene(tiny_model((plain,)), {"plain": raster}, tmp_path / "out", overlp=0.5)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0; give 1 or more"),
        ({"smoothing": 4}, "smoothing is 4; give the side .* an odd number"),
        ({"smoothing": -1}, "smoothing is -1"),
        ({"min_area_km2": float("nan")}, "the smallest area is nan km2; give 0 or more"),
        ({"region": "HMA", "optimise_region": True}, "region 'HMA' is given, so there is none"),
        ({"vector_format": "dxf"}, "vector_format is 'dxf'; give one of gpkg, parquet, shp"),
    ],
)
def test_what_cannot_be_used(options, message):
    with pytest.raises(InputError, match=message):
        MapOptions(**options)


def test_they_come_back_from_facts():
    decided = [o.name for o in map_options() if o.option.decides is Decides.CONTENTS]
    given = {name: OTHER[name] for name in decided if name != "optimise_region"}
    assert MapOptions.from_facts(MapOptions(**given).facts(GRID)) == MapOptions(**given)
