"""What a command takes from its checkpoint, and what it refuses to take."""

import pytest
import yaml

from glavitu.cli import main

MODEL = '{"width": 2, "depth": 1, "heads": 1}'
RUN = "runs/glavitu/version_0"


def fit(world, *options) -> int:
    return main(
        [
            *("fit", "--data.root", str(world), "--trainer.accelerator", "cpu"),
            *("--trainer.enable_progress_bar", "false", "--data.patch_size", "32"),
            *("--data.batch_size", "2", "--data.steps_per_epoch", "2"),
            *("--trainer.max_epochs", "1", "--confidence_calibration.method", "none"),
            *options,
        ]
    )


@pytest.fixture
def run(world):
    """A run of an epoch in the current folder, with options that are not the defaults."""
    assert fit(world, "--model.model_args", MODEL, "--model.gamma", "3", "--model.lr", "1e-3") == 0


def test_a_resumed_finetuning_keeps_what_it_started_from(world, run):
    again = ("--config", f"{RUN}/config.yaml", "--model.initial_weights", "start.ckpt")
    with open(f"{RUN}/checkpoints/last.ckpt", "rb") as last, open("start.ckpt", "wb") as start:
        start.write(last.read())
    assert fit(world, *again) == 0
    written = "runs/glavitu/version_1/config.yaml"
    for epochs in ("2", "3"):
        resumed = ("--config", written, "--checkpoint", "last", "--trainer.max_epochs", epochs)
        assert fit(world, *resumed) == 0
        with open(written) as file:
            assert yaml.safe_load(file)["model"]["initial_weights"] == "start.ckpt"


@pytest.mark.parametrize(
    "options",
    [
        ["--model.gamma", "5"],
        ["--model.lr=0.0005"],  # the default, but asked for
        ["--model.cycle_epochs", "3"],
        ["--model.model_args", '{"width": 4, "depth": 1, "heads": 1}'],
        ["--model.model_args.width", "4"],
        ["--model.loss", "dice"],
        ["--config", "other.yaml"],
    ],
)
def test_what_a_checkpoint_decides_is_not_replaced_without_a_word(world, run, capsys, options):
    with open("other.yaml", "w") as file:
        file.write("model: {label_smoothing: 0.2}")
    capsys.readouterr()
    assert fit(world, "--checkpoint", "last", *options, "--trainer.max_epochs", "2") == 1
    error = capsys.readouterr().err
    assert f"glavitu: error: {RUN}/checkpoints/last.ckpt: was trained with --model." in error
    assert "leave it out to go on as it was trained" in error


def test_what_is_as_it_was_trained_may_be_given(world, run):
    for options in (["--config", f"{RUN}/config.yaml"], ["--model.gamma", "3", "--model.lr=0.001"]):
        assert fit(world, *options, "--checkpoint", "last", "--trainer.max_epochs", "2") == 0


def test_a_test_refuses_another_model_and_does_not_mind_how_it_was_trained(world, run, capsys):
    test = ["test", "--data.root", str(world), "--checkpoint", "last"]
    assert main([*test, "--model.gamma", "5"]) == 0
    assert main([*test, "--model.model_args", '{"width": 4}']) == 1
    assert "was trained with --model.model_args {'width': 2" in capsys.readouterr().err
