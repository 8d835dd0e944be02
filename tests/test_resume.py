"""A run that is killed and resumed is the run that was never interrupted."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch
from jsonargparse import Namespace
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader

from glavitu.callbacks import EpochSeeds
from glavitu.callbacks.run_folder import continue_metrics
from glavitu.cli import main
from glavitu.cli.resuming import find_last
from glavitu.errors import InputError
from glavitu.tasks.checkpoints import CompleteCheckpoints

FIT = [
    *("fit", "--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"),
    *("--trainer.max_epochs", "3", "--trainer.log_every_n_steps", "1"),
    *("--model.model_args", json.dumps({"width": 8, "depth": 1, "heads": 2, "dropout": 0.1})),
    *("--data.patch_size", "32", "--data.batch_size", "2", "--data.steps_per_epoch", "12"),
    *("--data.location", "region", "--model.lr", "0.01", "--model.cycle_epochs", "2"),
]
RUN = "runs/glavitu/version_0"


def start(folder, *options) -> subprocess.Popen:
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "glavitu", *FIT, *options],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen) -> str:
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return output


def same(one, other) -> bool:
    """Whether nested values are equal, tensors to the bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        # The one thing that Lightning does not restore, and only shows: the latest score saved.
        keys = one.keys() - {"current_score"}
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in keys)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def load(folder, name: str) -> dict:
    return torch.load(folder / RUN / "checkpoints" / f"{name}.ckpt", weights_only=True)


@pytest.fixture(scope="module")
def uninterrupted(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    finish(start(folder, "--data.root", str(world)))
    return folder


@pytest.fixture(scope="module")
def killed(world, tmp_path_factory):
    """A run that was killed in the midst of an epoch, after the first."""
    folder = tmp_path_factory.mktemp("killed")
    process = start(folder, "--data.root", str(world))
    metrics = folder / RUN / "metrics.csv"
    while not (metrics.exists() and "\n1," in metrics.read_text()):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert load(folder, "last")["global_step"] < 36
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_run_reaches_the_same_weights(world, uninterrupted, killed, tmp_path, workers):
    resumed = tmp_path / "resumed"
    shutil.copytree(killed, resumed)
    options = ["--checkpoint", "last", "--data.num_workers", str(workers)]
    steps = load(resumed, "last")["global_step"]
    output = finish(start(resumed, "--data.root", str(world), *options))
    assert f"Resuming {RUN}/checkpoints/last.ckpt after {steps} steps" in output
    assert [path.name for path in (resumed / "runs/glavitu").iterdir()] == ["version_0"]
    for name in ("last", "best_iou", "best_loss"):
        expected, found = load(uninterrupted, name), load(resumed, name)
        for key in ("state_dict", "optimizer_states", "lr_schedulers", "callbacks", "epoch"):
            assert same(expected[key], found[key]), (name, key)
    expected, found = (pd.read_csv(f / RUN / "metrics.csv") for f in (uninterrupted, resumed))
    pd.testing.assert_frame_equal(expected, found)
    assert found.dropna(subset="val/iou")["epoch"].tolist() == [0, 1, 2]
    assert found["train/loss"].count() == 36
    # What the run keeps of its configuration would start it anew.
    config = (resumed / RUN / "config.yaml").read_text()
    assert "checkpoint: null" in config
    assert "version: null" in config
    assert not list((resumed / RUN).glob("metrics_before*"))


def test_what_a_killed_run_logged_after_its_checkpoint_comes_again(tmp_path):
    folder = tmp_path / "name/version_0"
    folder.mkdir(parents=True)
    lines = ["epoch,step,train/loss,val/loss", "0,0,0.5,", "0,1,,0.25", "1,2,0.125,", "1,"]
    (folder / "metrics.csv").write_text("\n".join(lines))
    logger = CSVLogger(tmp_path, "name", "version_0")
    continue_metrics(logger, steps=2)
    kept = "epoch,step,train/loss,val/loss\r\n0,0,0.5,\r\n0,1,,0.25\r\n"
    assert (folder / "metrics.csv").read_bytes().decode() == kept
    logger.log_metrics({"epoch": 1, "val/iou": 0.75}, step=2)
    logger.save()
    table = pd.read_csv(folder / "metrics.csv")
    assert table["step"].tolist() == [0, 1, 2]
    assert table["val/iou"].dropna().tolist() == [0.75]
    assert table["val/loss"].dropna().tolist() == [0.25]


def options(**logger) -> Namespace:
    init_args = Namespace(**({"save_dir": "runs", "name": "a", "version": None} | logger))
    chosen = Namespace(class_path="lightning.pytorch.loggers.CSVLogger", init_args=init_args)
    return Namespace(
        trainer=Namespace(default_root_dir="runs", logger=chosen),
        checkpoint_last=Namespace(dirpath=None, filename="last"),
    )


def test_last_is_that_of_the_highest_version_whatever_the_clock_said(tmp_path):
    names = ("a/version_2", "a/version_10", "a/version_1", "a/mine", "b/version_0", ".")
    for age, name in enumerate(names):
        path = tmp_path / "runs" / name / "checkpoints" / "last.ckpt"
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path, ns=(0, 10**20 - age))  # in a thousand years
    assert str(find_last(options())) == "runs/a/version_10/checkpoints/last.ckpt"
    assert str(find_last(options(version=1))) == "runs/a/version_1/checkpoints/last.ckpt"
    assert str(find_last(options(name="b"))) == "runs/b/version_0/checkpoints/last.ckpt"
    several = options()
    several.trainer.logger = [several.trainer.logger, options(name="b").trainer.logger]
    assert find_last(several) == find_last(options())
    without = options()
    without.trainer.logger = False
    assert str(find_last(without)) == "runs/checkpoints/last.ckpt"
    elsewhere = options()
    elsewhere.checkpoint_last.dirpath = str(tmp_path / "runs/a/version_10/checkpoints")
    assert find_last(elsewhere).parents[1].name == "version_10"


def test_several_runs_without_a_version_are_told_apart_by_their_user(tmp_path):
    for name in ("x1", "k2"):
        path = tmp_path / "runs/a" / name / "checkpoints/last.ckpt"
        path.parent.mkdir(parents=True)
        path.touch()
    with pytest.raises(InputError, match="several runs without a version, .*give the path of one"):
        find_last(options())
    assert str(find_last(options(version="k2"))) == "runs/a/k2/checkpoints/last.ckpt"


def test_of_one_run_the_last_checkpoint_is_that_with_most_steps(tmp_path):
    folder = tmp_path / "runs/a/version_3/checkpoints"
    folder.mkdir(parents=True)
    for name, steps in (("9", 90), ("10", 100)):
        built = {"features": ["dem"], "model": "unet", "model_args": None, "num_classes": 2}
        built |= {"location": None, "image_size": 64}
        content = {"state_dict": {}, "hyper_parameters": built, "global_step": steps}
        torch.save(content, folder / f"{name}.ckpt")
    os.utime(folder / "9.ckpt", ns=(0, 10**20))
    named = options()
    named.checkpoint_last.filename = "{epoch}"
    assert find_last(named).name == "10.ckpt"


@pytest.mark.parametrize("command", ["fit", "test"])
def test_no_last_checkpoint_says_where_it_was_sought(world, capsys, command):
    assert main([command, "--data.root", str(world), "--checkpoint", "last"]) == 1
    error = capsys.readouterr().err
    assert "there is no runs/glavitu/*/checkpoints/last.ckpt" in error


def test_a_checkpoint_that_fails_leaves_the_one_before(tmp_path):
    path = tmp_path / "last.ckpt"
    CompleteCheckpoints().save_checkpoint({"a": torch.arange(3)}, path)
    # In the words of Python 3.11 and 3.13.
    with pytest.raises(Exception, match="pickle|local object"):
        CompleteCheckpoints().save_checkpoint({"a": torch.zeros(99), "b": lambda: 0}, path)
    assert torch.equal(CompleteCheckpoints().load_checkpoint(path)["a"], torch.arange(3))
    assert list(tmp_path.iterdir()) == [path]


class Draws(LightningModule):
    """Keeps what torch draws in each epoch's steps."""

    def __init__(self, restless: bool):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.restless = restless
        self.drawn: dict[int, list[float]] = {}

    def training_step(self, batch, batch_idx):
        self.drawn.setdefault(self.current_epoch, []).append(torch.rand(()).item())
        return self.weight * 0

    def validation_step(self, batch, batch_idx):
        if self.restless:
            torch.rand(5)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def draws(seed=0, restless=False, **trainer) -> dict[int, list[float]]:
    seed_everything(seed, verbose=False)
    module = Draws(restless)
    loader = DataLoader(range(3))
    Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        callbacks=[EpochSeeds()],
        **trainer,
    ).fit(module, loader, loader)
    return module.drawn


def test_draws_of_an_epoch_depend_on_seed_and_epoch_alone():
    expected = draws()
    assert len({value for epoch in expected.values() for value in epoch}) == 9
    assert draws(restless=True) == expected
    assert draws(limit_val_batches=0) == expected
    # An epoch that is shorter changes none of the others.
    assert draws(limit_train_batches=1) == {epoch: d[:1] for epoch, d in expected.items()}
    assert draws(seed=1) != expected
