"""On a CUDA GPU all commands run, and say nearly what they say on the CPU."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import rasterio
import torch

from glavitu.cli import main

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")

QUIET = ["--trainer.enable_progress_bar", "false"]


@pytest.fixture(scope="module")
def run(world, tmp_path_factory):
    """A run that was trained on the GPU, two workers reading ahead."""
    folder = tmp_path_factory.mktemp("gpu")
    arguments = ["fit", *QUIET, "--data.root", str(world), "--trainer.accelerator", "cuda"]
    arguments += ["--model.model_args", json.dumps({"width": 8, "depth": 1, "heads": 2})]
    arguments += ["--data.patch_size", "32", "--data.batch_size", "4", "--data.num_workers", "2"]
    arguments += ["--data.steps_per_epoch", "40", "--trainer.max_epochs", "2"]
    arguments += ["--data.location", "region", "--model.lr", "0.005"]
    arguments += ["--model.batch_norm_momentum", "0.1"]
    arguments += ["--trainer.logger.init_args.save_dir", str(folder)]
    assert main(arguments) == 0
    return folder / "glavitu" / "version_0"


def test_training_lowers_the_loss(run):
    losses = pd.read_csv(run / "metrics.csv")["train/loss"].dropna()
    assert losses.iloc[-1] < 0.9 * losses.iloc[0]


def test_a_run_goes_on_from_its_last_epoch_on_the_cpu(world, run, tmp_path):
    arguments = ["fit", *QUIET, "--config", str(run / "config.yaml"), "--trainer.max_epochs", "3"]
    arguments += ["--checkpoint", str(run / "checkpoints/last.ckpt")]
    arguments += ["--trainer.logger.init_args.save_dir", str(tmp_path)]
    assert main([*arguments, "--trainer.accelerator", "cpu"]) == 0
    metrics = pd.read_csv(tmp_path / "glavitu/version_0/metrics.csv")
    assert metrics.dropna(subset="val/loss")["epoch"].tolist() == [2]


def read(path):
    with rasterio.open(path) as file:
        return file.read(1)


@pytest.mark.parametrize("inference", ["[]", "tta"])
def test_testing_finds_the_same_regions_and_nearly_the_same_pixels(world, run, tmp_path, inference):
    reports = []
    for device in ("cpu", "cuda"):
        arguments = ["test", *QUIET, "--checkpoint", str(run / "checkpoints/last.ckpt")]
        arguments += ["--data.root", str(world), "--trainer.logger", "false"]
        arguments += ["--model.inference", inference, "--trainer.accelerator", device]
        assert main([*arguments, "--region_report.output", str(tmp_path / device)]) == 0
        reports.append(pd.read_csv(tmp_path / device / "report.csv").set_index("region"))
    here, there = reports
    assert here.index.tolist() == there.index.tolist() == ["HMA", "SC"]
    counts = ["tp", "fp", "fn"]
    assert (here[counts] - there[counts]).abs().to_numpy().max() < 0.01 * 64 * 64


def test_predictions_are_nearly_the_same(world, run, tmp_path):
    for device in ("cpu", "cuda"):
        arguments = ["predict", *QUIET, "--checkpoint", str(run / "checkpoints/last.ckpt")]
        arguments += ["--data.root", str(world), "--trainer.logger", "false"]
        arguments += ["--prediction_writer.output", str(tmp_path / device)]
        assert main([*arguments, "--trainer.accelerator", device]) == 0
    here, there = (read(tmp_path / device / "SC_test_000.tif") for device in ("cpu", "cuda"))
    np.testing.assert_allclose(there, here, atol=5e-3)  # TF32 keeps ten bits


@pytest.mark.parametrize("options", [[], ["--optimise-region"], ["--inference", "mc-dropout:2"]])
def test_maps_are_nearly_the_same(world, run, tmp_path, options):
    tile = world / "test/HMA_test_000"
    arguments = ["map", "--checkpoint", str(run / "checkpoints/last.ckpt"), "--probability"]
    arguments += ["--optical", str(tile / "optical.tif"), "--dem", str(tile / "dem.tif")]
    for device in ("cpu", "cuda"):
        output = ["--output", str(tmp_path / device), "--device", device]
        assert main([*arguments, *options, *output]) == 0
    told = json.loads((tmp_path / "cuda/run.json").read_text())
    assert (told["device"], told["precision"]) == ("cuda", "bfloat16")
    here, there = (read(tmp_path / device / "probability.tif") for device in ("cpu", "cuda"))
    # A GPU draws other numbers for what is dropped.
    largest = 0.5 if "--inference" in options else 0.05
    assert np.abs(there - here).max() < largest
    assert np.abs(there - here).mean() < largest / 5


def test_a_map_on_the_gpu_is_the_same_again(world, run, tmp_path):
    tile = world / "test/HMA_test_000"
    arguments = ["map", "--checkpoint", str(run / "checkpoints/last.ckpt"), "--device", "cuda"]
    arguments += ["--optical", str(tile / "optical.tif"), "--dem", str(tile / "dem.tif")]
    arguments += ["--inference", "mc-dropout:2"]
    maps = []
    for name in ("once", "again"):
        torch.manual_seed(len(maps))
        assert main([*arguments, "--output", name]) == 0
        maps.append(read(tmp_path / name / "confidence.tif"))
    np.testing.assert_allclose(*maps, atol=1e-6)


def test_calibrating_there_finds_nearly_the_same_errors(world, run, tmp_path):
    checkpoint, scores = shutil.copy(run / "checkpoints/last.ckpt", tmp_path), []
    for device in ("cpu", "cuda"):
        arguments = ["calibrate", "--checkpoint", str(checkpoint)]
        arguments += ["--data.root", str(world), "--data.num_workers", "1", "--device", device]
        assert main([*arguments, "--output", device]) == 0
        scores.append(json.loads((tmp_path / device / "calibration.json").read_text())["scores"])
    here, there = scores
    assert there["ece_raw"] == pytest.approx(here["ece_raw"], abs=5e-3)
