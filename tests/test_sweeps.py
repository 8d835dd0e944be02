import os
from pathlib import Path

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from glavitu.cli import main

SWEEPS = sorted((Path(__file__).parents[1] / "sweeps").glob("*.yaml"))

TINY = [
    "--model.model_args.width=8",
    "--model.model_args.depth=1",
    "--model.model_args.heads=2",
    "--data.patch_size=32",
    "--data.batch_size=2",
    "--data.steps_per_epoch=1",
    "--trainer.max_epochs=1",
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
]


def draw(parameter: dict) -> float:
    """Draw a value, as the server does for an agent."""
    if "values" in parameter:
        return parameter["values"][-1]
    return (parameter["min"] + parameter["max"]) / 2


def test_there_are_sweeps():
    assert {path.stem for path in SWEEPS} == {"learning_rate", "loss", "augmentation", "dropout"}


@pytest.mark.slow
@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_the_command_of_an_agent_runs_in_any_folder(path, tmp_path, benchmark, monkeypatch):
    monkeypatch.setenv("GLAVITU_DATA", str(benchmark))
    sweep = yaml.safe_load(path.read_text())
    drawn = {name: draw(parameter) for name, parameter in sweep["parameters"].items()}
    args = create_sweep_command_args({"args": {k: {"value": v} for k, v in drawn.items()}})
    words: list[str] = []
    for word in create_sweep_command(sweep["command"]):
        words += args["args"] if word == "${args}" else [word]
    assert (sweep["program"], words[:3]) == ("glavitu", ["${env}", "${program}", "fit"])
    assert main([*words[2:], *TINY]) == 0
    # What the agent set is what was trained with.
    (config,) = tmp_path.glob("runs/glavitu/*/config.yaml")
    options = yaml.safe_load(config.read_text())
    for name, value in drawn.items():
        found = options
        for key in name.split("."):
            found = found[key]
        assert found == pytest.approx(value)
    assert os.environ["WANDB_MODE"] == "offline"
    assert list((tmp_path / "runs" / "wandb").glob("offline-run-*"))


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_sweeps_say_what_they_look_for(path):
    sweep = yaml.safe_load(path.read_text())
    assert sweep["metric"] == {"name": "val/iou", "goal": "maximize"}
    assert sweep["method"] in ("bayes", "random", "grid")
    if sweep["method"] == "grid":
        assert all("values" in parameter for parameter in sweep["parameters"].values())
