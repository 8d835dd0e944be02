"""Configurations and sweeps that come with glavitu are found by name and copied."""

from pathlib import Path

import pytest
import yaml

from glavitu.cli import main
from glavitu.cli.shipped import find_config, shipped_files
from glavitu.errors import InputError

INSAR = "configs/tracks/insar.yaml"


def test_every_file_has_a_name_and_says_in_a_line_what_it_is_for(capsys):
    root = Path(__file__).parents[2]
    expected = [*root.glob("configs/**/*.yaml"), *root.glob("sweeps/*.yaml")]
    assert shipped_files().keys() == {path.relative_to(root).as_posix() for path in expected}
    assert main(["configs"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines.keys() == shipped_files().keys()
    for text in lines.values():
        assert text[0].isupper()
        assert text[-1] == "."


def test_a_shipped_configuration_is_taken_by_its_name_from_any_folder(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["fit", "--config", INSAR, "-c", "data: {patch_size: 96}", "--print_config"])
    assert ended.value.code == 0
    output = capsys.readouterr()
    data = yaml.safe_load(output.out)["data"]
    assert data["features"] == ["optical", "dem", "co_pol_sar", "cross_pol_sar", "in_sar"]
    assert data["patch_size"] == 96
    assert f"--config {INSAR}: taking {shipped_files()[INSAR]}" in output.err


def test_a_file_of_ones_own_comes_first(tmp_path, capsys):
    own = tmp_path / INSAR
    own.parent.mkdir(parents=True)
    own.write_text("data: {features: [dem]}")
    assert find_config(INSAR) == INSAR
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("given", ["-", "data: {features: [dem]}", "s3://bucket/config.yaml"])
def test_what_is_no_path_is_left_alone(given):
    assert find_config(given) == given


@pytest.mark.parametrize("name", ["insar.yaml", "sweeps/loss.yaml", "runs/none/config.yaml"])
def test_an_unknown_configuration_ends_with_those_that_there_are(name, capsys):
    assert main(["fit", "--config", name]) == 1
    error = capsys.readouterr().err
    assert f"--config {name}: there is no such file" in error
    assert INSAR in error
    assert "sweeps/" not in error.replace(name, "")


def test_calibrate_takes_them_too():
    with pytest.raises(InputError, match="none.yaml: there is no such file.*everest.yaml"):
        main_calibrate("none.yaml")
    with pytest.raises(InputError, match="none.ckpt"):  # the configuration was found
        main_calibrate("configs/everest.yaml")


def main_calibrate(config: str) -> None:
    from glavitu.cli import calibrate as calibrate_cli

    calibrate_cli.run(["--checkpoint", "none.ckpt", "--config", config])


def test_a_file_is_printed_or_copied_and_none_is_overwritten(tmp_path, capsys):
    text = shipped_files()[INSAR].read_text()
    assert main(["configs", INSAR]) == 0
    assert capsys.readouterr().out == text
    arguments = ["configs", INSAR, "--output", "own"]
    assert main(arguments) == 0
    assert "glavitu fit --config own/insar.yaml" in capsys.readouterr().out
    copy = tmp_path / "own" / "insar.yaml"
    assert copy.read_text() == text
    copy.write_text("changed")
    assert main(arguments) == 1
    assert "own/insar.yaml: is there already" in capsys.readouterr().err
    assert copy.read_text() == "changed"
    assert list(copy.parent.iterdir()) == [copy]


def test_a_sweep_is_copied_for_wandb(capsys):
    assert main(["configs", "sweeps/loss.yaml", "--output", "."]) == 0
    assert "wandb sweep loss.yaml" in capsys.readouterr().out


def test_configs_says_what_is_wrong(capsys):
    assert main(["configs", "insar.yaml"]) == 1
    assert INSAR in capsys.readouterr().err
    assert main(["configs", "--output", "."]) == 1
    assert "name the file to copy" in capsys.readouterr().err
