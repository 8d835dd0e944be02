"""One thing has one name; other names are understood, and what is none is answered with what is."""

import re

import pytest
import yaml

from glavitu.cli import GROUPS, MainParser, main
from glavitu.cli.parsers import did_you_mean


def said(capsys, *arguments) -> str:
    """Run a command that fails, and return what it says."""
    try:
        status = main(arguments)
    except SystemExit as ended:
        status = ended.code
    assert status in (1, 2)
    said = capsys.readouterr()
    assert said.out == ""
    return said.err


CHECKPOINT = "glavitu: --ckpt_path is understood, and called --checkpoint here\n"


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict", "calibrate", "map"])
@pytest.mark.parametrize("name", ["--checkpoint", "--ckpt_path"])
@pytest.mark.parametrize("form", ["{}=none.ckpt", "{} none.ckpt"])
def test_a_checkpoint_has_one_name_and_lightnings_is_understood(capsys, command, name, form):
    where = ["--output", "out"] if command == "map" else ["--data.root", "data"]
    error = said(capsys, command, *form.format(name).split(), *where)
    assert "none.ckpt: no such checkpoint" in error
    assert error.count(CHECKPOINT) == (name == "--ckpt_path")


@pytest.mark.parametrize("key", ["checkpoint", "ckpt_path"])
def test_in_yaml_too(capsys, tmp_path, key):
    (tmp_path / "a.yaml").write_text(yaml.safe_dump({key: "none.ckpt", "data": {"root": "data"}}))
    error = said(capsys, "test", "--config", "a.yaml")
    assert "none.ckpt: no such checkpoint" in error
    expected = key == "ckpt_path"
    assert ("ckpt_path is understood, and called checkpoint here" in error) == expected
    # What is said on the command line comes before what a configuration of 0.1 says.
    error = said(capsys, "test", "--config", "a.yaml", "--checkpoint", "other.ckpt")
    assert "other.ckpt: no such checkpoint" in error


def test_elevation_is_the_feature_group_dem(capsys):
    arguments = ["map", "--checkpoint", "none.ckpt", "--output", "out", "--elevation", "a.tif"]
    first, second = said(capsys, *arguments).splitlines()
    assert first == "glavitu: --elevation is understood, and called --dem here"
    assert "none.ckpt" in second


def test_of_several_processes_the_first_says_it(capsys, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert "understood" not in said(capsys, "map", "--ckpt_path", "none.ckpt", "--output", "out")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("fti", "fit"),
        ("maps", "map"),
        ("import_keras", "import-keras"),
        ("map --chekpoint a.ckpt", "--checkpoint"),
        ("map --checkpoint a.ckpt --output out --optcal=a.tif", "--optical"),
        ("map --min_area 1", "--min-area"),
        ("compare --expert-files a.gpkg", "--experts"),
        ("info --chek data", "--check"),
        ("calibrate --chekpoint a.ckpt", "--checkpoint"),
        ("calibrate --checkpoint a.ckpt --data.rot data", "--data.root"),
        ("fit --data.rot data", "--data.root"),
        ("fit --root data", "--data.root"),
        ("fit --data.root data --batch-size 2", "--data.batch_size"),
        ("test --data.root data --trainr.devices 2", "--trainer.devices"),
        ("fit --data.root data --model.learning_rate 1e-3", "--model.lr"),
        ("fit --data.root data --epochs 3", "--trainer.max_epochs"),
    ],
)
def test_what_was_meant_by_an_unknown_command_or_option(capsys, given, meant):
    (line,) = said(capsys, *given.split()).splitlines()
    assert re.match(r"glavitu: error: .*; did you mean (\S+)\? `glavitu", line)[1] == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"data": {"rot": "data"}}, "data.root"),
        ({"trainr": {"max_epochs": 1}}, "trainer.max_epochs"),
    ],
)
def test_what_was_meant_by_an_unknown_key(capsys, tmp_path, written, meant):
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(written))
    (line,) = said(capsys, "fit", "--config", "a.yaml").splitlines()
    assert f"did you mean {meant}?" in line


@pytest.mark.parametrize("given", ["--model.lr=nan", "--data.nodata=-9999", "--data.batch_size=a"])
def test_a_name_that_is_right_is_not_proposed(capsys, given):
    (line,) = said(capsys, "fit", "--data.root", "data", given).splitlines()
    assert given.partition("=")[0].lstrip("-") in line
    assert "did you mean" not in line


def test_nothing_alike_is_nothing_meant(capsys):
    assert did_you_mean("xyzzy", ["fit", "map"]) == ""
    assert said(capsys, "xyzzy") == (
        "glavitu: error: there is no command 'xyzzy'; `glavitu --help` lists all options\n"
    )
    assert "mean" not in said(capsys, "map", "--xyzzy", "1")


def test_abbreviations_and_values_that_look_like_options_are_let_be(capsys):
    assert "a.gpkg" in said(capsys, "compare", "a.gpkg", "b.gpkg", "--out", "c")
    assert "no option" not in said(capsys, "compare", "--", "--a.gpkg", "--b.gpkg")


def test_every_command_is_in_one_group():
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(MainParser().commands.choices)
