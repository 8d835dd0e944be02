import argparse

import pytest

from glavitu.cli import main
from glavitu.cli import map as map_cli
from glavitu.errors import InputError


def parse(*arguments):
    parser = argparse.ArgumentParser()
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


def test_what_is_not_given_is_left_to_map_scene():
    assert set(vars(parse())) == {
        *("checkpoint", "output", "feature", "device", "inference", "run")
    }  # fmt: skip


def test_all_that_is_passed_can_be_given():
    options = parse(
        *("--region", "HMA", "--batch-size", "2", "--overlap", "0.25", "--probability"),
        *("--smoothing", "5", "--overwrite", "--crs", "EPSG:32645", "--resolution", "10"),
        *("--bounds", "0", "1", "2", "3", "--scale", "optical=1e-4", "--decibels"),
        *("--optimise-region", "--slope-percent", "--min-area", "0.01", "--format", "shp"),
    )
    assert set(vars(options)) >= {*map_cli.PASSED} - {"aoi"}
    assert parse("--aoi", "a.gpkg").aoi == "a.gpkg"
    assert options.bounds == [0, 1, 2, 3]


def test_scales():
    assert map_cli._scale("optical=0.0001") == ("optical", (0.0001, 0.0))
    assert map_cli._scale("optical=1e-4,-0.1") == ("optical", (1e-4, -0.1))
    for given in ("optical", "=1", "optical=", "optical=1,a", "optical=1;2"):
        with pytest.raises(InputError, match=r"--scale .*: expected GROUP=SCALE or GROUP=SCALE,"):
            map_cli._scale(given)


def test_a_device_that_is_not_there(capsys):
    assert main(["map", "--checkpoint", "a", "--output", "out", "--device", "cuda:9"]) == 1
    assert "device 'cuda:9' is not available; here there are" in capsys.readouterr().err
