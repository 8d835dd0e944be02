"""Two processes see each window and tile once, and say what one process says."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from lightning.pytorch import Callback, Trainer

from glavitu.cli import main
from glavitu.confidence.training_values import TrainingValues
from glavitu.confidence.window_measures import WindowHistograms
from glavitu.datamodules import GlacierDataModule
from glavitu.datasets import GlacierRasters, RandomWindows, SyntheticGlaciers
from glavitu.tasks import GlaViTUTask

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
MODEL = {"width": 8, "depth": 1, "heads": 2}
CPU = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
DATA = ["--data.patch_size", "32", "--data.batch_size", "2", "--data.location", "region"]
TWO = ["--trainer.strategy", "ddp", "--trainer.devices", "2"]


class SeenImages(Callback):
    """Keeps the images that a process trains on."""

    def __init__(self):
        self.images = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.images.extend(batch["image"])

    def on_train_end(self, trainer, pl_module):
        torch.save(torch.stack(self.images), f"seen_{trainer.global_rank}.pt")


@pytest.fixture(autouse=True)
def one_thread():
    """Calculate in this process as the others do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def python(folder, *arguments) -> str:
    """Run Python in a folder; a run that hangs fails."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def metrics(folder) -> dict[str, float]:
    return pd.read_csv(folder / "glavitu/version_0/metrics.csv").iloc[-1].to_dict()


@pytest.fixture(scope="module")
def three(tmp_path_factory) -> Path:
    """Three tiles for each part: 27 windows, and neither number is even."""
    world = SyntheticGlaciers(("SC", "HMA", "NZ"), tiles=(1, 1, 1), size=64, seed=0)
    return world.write_geotiffs(tmp_path_factory.mktemp("three"), progress=False)


@pytest.fixture(scope="module")
def run(three, tmp_path_factory) -> Path:
    """The folder of a run of one epoch by two processes."""
    folder = tmp_path_factory.mktemp("ddp")
    steps = ["--data.steps_per_epoch", "5", "--trainer.max_epochs", "1"]
    steps += ["--model.model_args", json.dumps(MODEL)]
    for name in ("vertical_flip", "horizontal_flip", "rotation", "crop"):
        steps += [f"--data.augmentation.{name}", "0"]
    for name in ("contrast", "occlusion", "shift", "noise"):
        steps += [f"--data.augmentation.{name}", "0"]
    seen = ["--trainer.callbacks+", "tests.test_ddp.SeenImages"]
    command = ["-m", "glavitu", "fit", "--data.root", str(three)]
    python(folder, *command, *CPU, *DATA, *TWO, *steps, *seen)
    return folder


def test_each_process_trains_on_its_own_windows(three, run):
    dataset = GlacierRasters(three / "train")
    # Five steps are two for each process, of two windows.
    windows = list(RandomWindows(dataset.extents, 32, 8, seed=0, inside=True))
    for rank in range(2):
        seen = torch.load(run / f"seen_{rank}.pt", weights_only=True)
        expected = torch.stack([dataset[window]["image"] for window in windows[rank::2]])
        torch.testing.assert_close(seen, expected)
    assert len(set(windows)) == 8


def test_a_checkpoint_tells_of_the_windows_of_both_processes(run):
    path = run / "runs/glavitu/version_0/checkpoints/last.ckpt"
    task = GlaViTUTask.from_checkpoint(path)
    histograms = WindowHistograms(task.features)
    for rank in range(2):  # nothing was augmented
        histograms.add(torch.load(run / f"seen_{rank}.pt", weights_only=True))
    expected = TrainingValues.counted(histograms)
    assert task.training_values.windows == expected.windows == 8
    torch.testing.assert_close(task.training_values.low, expected.low)
    torch.testing.assert_close(task.training_values.high, expected.high)


def test_validation_says_what_one_process_says(three, run, tmp_path):
    command = ["validate", "--data.root", str(three), *CPU, *DATA]
    command += ["--checkpoint", str(run / "runs/glavitu/version_0/checkpoints/last.ckpt")]
    assert main([*command, "--trainer.logger.init_args.save_dir", str(tmp_path / "one")]) == 0
    python(tmp_path, "-m", "glavitu", *command, *TWO)
    one, two = metrics(tmp_path / "one"), metrics(tmp_path / "runs")
    fitted = metrics(run / "runs")
    for key in ("val/loss", "val/iou"):
        assert one[key] > 0
        assert two[key] == pytest.approx(one[key], rel=1e-6)
        assert fitted[key] == pytest.approx(one[key], rel=1e-6)


def test_testing_says_what_one_process_says(three, run, tmp_path):
    command = ["test", "--data.root", str(three), *CPU, *DATA]
    command += ["--checkpoint", str(run / "runs/glavitu/version_0/checkpoints/last.ckpt")]
    assert main([*command, "--trainer.logger.init_args.save_dir", str(tmp_path / "one")]) == 0
    output = python(tmp_path, "-m", "glavitu", *command, *TWO)
    one, two = (
        (tmp_path / name / "glavitu/version_0/report.csv").read_text() for name in ("one", "runs")
    )
    assert two == one
    assert (
        pd.read_csv(tmp_path / "runs/glavitu/version_0/report.csv")["pixels"].tolist()
        == [64 * 64] * 3
    )
    assert output.count("Glacier class, pixels pooled per region") == 1
    one, two = (
        json.loads((tmp_path / name / "glavitu/version_0/report.json").read_text())["calibration"]
        for name in ("one", "runs")
    )
    assert two == one


def test_calibration_says_what_one_process_says(run, tmp_path):
    fitted = run / "runs/glavitu/version_0"
    shutil.copy(fitted / "checkpoints/best_iou.ckpt", tmp_path / "copy.ckpt")
    command = ["calibrate", "--checkpoint", "copy.ckpt", "--output", str(tmp_path)]
    command += ["--device", "cpu", "--config", str(fitted / "config.yaml")]
    assert main(command) == 0
    one, two = (
        json.loads((folder / "calibration.json").read_text()) for folder in (tmp_path, fitted)
    )
    assert sum(one["bins"]["pixels"]) == 3 * 64 * 64
    assert one | {"checkpoint": two["checkpoint"]} == two


SCRIPT = f"""
import json
from lightning.pytorch import Trainer, seed_everything
from glavitu import GlaViTUTask, GlacierDataModule
from glavitu.callbacks import EpochSeeds, PredictionWriter, RegionReport

seed_everything(0)
data = GlacierDataModule("one", patch_size=64, batch_size=2, steps_per_epoch=4)
task = GlaViTUTask(model_args={MODEL}, image_size=64)
trainer = Trainer(
    accelerator="cpu", strategy="ddp", devices=2, max_epochs=2, logger=False,
    callbacks=[EpochSeeds(), PredictionWriter("predicted"), RegionReport("tested")],
    enable_progress_bar=False, enable_checkpointing=False,
)
(metrics,) = trainer.validate(task, datamodule=data)
trainer.fit(task, datamodule=data)
trainer.test(task, datamodule=data)
trainer.predict(task, datamodule=data, return_predictions=False)
if trainer.is_global_zero:
    print("metrics", json.dumps(metrics))
"""


def test_fewer_tiles_than_processes_are_no_trouble(tmp_path):
    # A tile smaller than a window: one window to validate, one tile to test and to predict.
    world = SyntheticGlaciers(("SC",), tiles=(1, 1, 1), size=32, seed=0)
    world.write_geotiffs(tmp_path / "one", progress=False)
    (tmp_path / "script.py").write_text(SCRIPT)
    output = python(tmp_path, "script.py")
    assert pd.read_csv(tmp_path / "tested/report.csv")["pixels"].tolist() == [32 * 32]
    assert [path.name for path in (tmp_path / "predicted").iterdir()] == ["SC_test_000.tif"]
    (found,) = [line for line in output.splitlines() if line.startswith("metrics")]
    torch.manual_seed(0)
    task = GlaViTUTask(model_args=MODEL, image_size=64)
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    data = GlacierDataModule(str(tmp_path / "one"), patch_size=64, batch_size=2)
    (expected,) = trainer.validate(task, data, verbose=False)
    assert json.loads(found.removeprefix("metrics")) == pytest.approx(expected, rel=1e-6)
