import math

import pytest

from glavitu.cli import main
from glavitu.cli import map as map_cli
from glavitu.cli.parsers import Parser
from glavitu.cli.values import read_nodata, read_scales
from glavitu.errors import InputError
from glavitu.mapping.options import MapOptions, map_options


def parse(*arguments):
    parser = Parser()
    map_cli.add_parser(parser.add_subparsers())
    return parser.parse_args(["map", "--checkpoint", "a.ckpt", "--output", "out", *arguments])


def test_a_group_has_one_file_or_several():
    options = parse(
        *("--optical", "a.tif", "b.tif", "--dem", "dem", "--feature", "rgb=c.tif", "d.tif"),
        *("--feature", "nir=e.tif"),
    )
    assert map_cli._files(options) == {
        "optical": ["a.tif", "b.tif"],
        "dem": "dem",
        "rgb": ["c.tif", "d.tif"],
        "nir": "e.tif",
    }


def test_names_are_left_as_gdal_takes_them():
    names = ("https://host/a.tif?b=1", "zip://a.zip!/b.tif", 'HDF5:"f.h5"://a')
    options = parse("--optical", *names, "--feature", f"rgb={names[0]}")
    assert map_cli._files(options) == {"optical": list(names), "rgb": names[0]}


def test_what_is_not_given_is_left_to_map_scene():
    assert set(vars(parse())) == {
        *("checkpoint", "output", "feature", "device", "inference", "run")
    }  # fmt: skip


#: How each option of a map is given.
GIVEN = {
    "scales": ("--scale", "optical=1e-4"),
    "nodata": ("--nodata", "dem=-9999"),
    "decibels": ("--decibels",),
    "slope_percent": ("--slope-percent",),
    "crs": ("--crs", "EPSG:32645"),
    "resolution": ("--resolution", "10"),
    "bounds": ("--bounds", "0", "1", "2", "3"),
    "aoi": ("--aoi", "a.gpkg"),
    "layer": ("--layer", "ranges"),
    "region": ("--region", "HMA"),
    "optimise_region": ("--optimise-region",),
    "batch_size": ("--batch-size", "2"),
    "overlap": ("--overlap", "0.25"),
    "probability": ("--probability",),
    "smoothing": ("--smoothing", "5"),
    "min_area_km2": ("--min-area", "0.02"),
    "vector_format": ("--format", "shp"),
    "overwrite": ("--overwrite",),
}

#: The options that only Python has.
PYTHON_ALONE = {"progress"}


@pytest.mark.parametrize("option", map_options(), ids=lambda option: option.name)
def test_every_option_of_a_map_can_be_given_or_is_of_python_alone(option):
    if option.name in PYTHON_ALONE:
        assert option.option.section is None
        return
    before, after = vars(parse()), vars(parse(*GIVEN[option.name]))
    assert set(after) - set(before) == {option.name}
    given = {name: value for name, value in after.items() if name == option.name}
    if option.name == "scales":
        given["scales"] = read_scales(given["scales"])
    if option.name == "nodata":
        given["nodata"] = read_nodata(given["nodata"])
    assert MapOptions(**given) != MapOptions()


def test_bounds_may_be_negative_however_they_are_written():
    given = ("-2.4e6", "-1.", "-.5E+3", "7e5")
    assert parse("--bounds", *given).bounds == [-2.4e6, -1, -500, 7e5]
    assert parse("--bounds", "-180", "-89.5", "-1E-3", "0").bounds == [-180, -89.5, -0.001, 0]
    with pytest.raises(SystemExit):
        parse("--bounds", "-2.4e6", "-x", "0", "1")
    assert math.isinf(parse("--resolution", "-inf").resolution)  # which is no resolution


def test_an_area_is_given_once():
    with pytest.raises(SystemExit):
        parse(*GIVEN["bounds"], *GIVEN["aoi"])


def test_scales():
    assert read_scales(["optical=0.0001"]) == {"optical": (0.0001, 0.0)}
    assert read_scales(["optical=1e-4,-0.1"]) == {"optical": (1e-4, -0.1)}
    for given in ("optical", "=1", "optical=", "optical=1,a", "optical=1;2"):
        with pytest.raises(InputError, match=r"--scale .*: expected GROUP=SCALE or GROUP=SCALE,"):
            read_scales([given])


def test_a_device_that_is_not_there(capsys):
    assert main(["map", "--checkpoint", "a", "--output", "out", "--device", "cuda:9"]) == 1
    assert "device 'cuda:9' is not available; here there are" in capsys.readouterr().err
