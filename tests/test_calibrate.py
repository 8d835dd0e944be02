import json
import shutil

import numpy as np
import pandas as pd
import pytest
import rasterio
import torch

from glavitu.cli import main
from glavitu.confidence.calibration import (
    RAW_NOTICE,
    Calibration,
    fit_calibration,
)
from glavitu.confidence.curves import ConfidenceCurve
from glavitu.datasets import GlacierRasters, TileWindow
from glavitu.errors import InputError
from glavitu.metrics import ReliabilityHistogram
from glavitu.models.entropy import confidence
from glavitu.regions import UNKNOWN, region_index
from glavitu.tasks import GlaViTUTask
from glavitu.tasks.calibrate import put_calibration

TINY = [
    *("--model.model_args", json.dumps({"width": 8, "depth": 1, "heads": 2})),
    *("--data.patch_size", "32", "--data.batch_size", "2", "--data.steps_per_epoch", "2"),
    *("--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"),
]
PIXELS = 64 * 64  # of a tile of the world
HMA = region_index("HMA")
LOW = ConfidenceCurve([0, 1], [0.2, 0.5], "isotonic")
HIGH = ConfidenceCurve([0, 1], [0.6, 0.9], "isotonic")


@pytest.fixture(scope="module")
def run(world, tmp_path_factory):
    """A run of `glavitu fit`, made once."""
    folder = tmp_path_factory.mktemp("run")
    arguments = ["fit", *TINY, "--data.root", str(world), "--trainer.max_epochs", "1"]
    arguments += ["--trainer.logger.init_args.save_dir", str(folder)]
    assert main(arguments) == 0
    return folder / "glavitu" / "version_0"


@pytest.fixture
def copy(run, tmp_path):
    """A copy of the run that a test may change."""
    return shutil.copytree(run, tmp_path / "copy")


def load(run, name):
    return torch.load(run / f"checkpoints/{name}.ckpt", weights_only=True)


def equal(one, other) -> bool:
    """Whether nested values are equal, tensors to the bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return type(one) is type(other) and one == other


def test_fit_calibrates_the_checkpoint_of_the_best_iou_alone(run):
    stored = load(run, "best_iou")["calibration"]
    assert "calibration" not in load(run, "best_loss")
    assert "calibration" not in load(run, "last")
    written = json.loads((run / "calibration.json").read_text())
    assert {key: written[key] for key in stored} == stored
    assert (written["method"], written["split"]) == ("kernel_ridge", "val")
    assert stored["regions"] == {}
    assert (run / "reliability.png").stat().st_size > 10_000


def test_the_pixels_of_the_tiles_are_counted_without_their_padding(run):
    written = json.loads((run / "calibration.json").read_text())
    assert sum(written["bins"]["pixels"]) == 2 * PIXELS
    assert set(written["scores"]["regions"]) == {"HMA", "SC"}
    gaps = [
        n * abs(sure - accuracy)
        for n, sure, accuracy in zip(*written["bins"].values(), strict=True)
        if n
    ]
    assert written["scores"]["ece_raw"] == pytest.approx(sum(gaps) / (2 * PIXELS))
    assert written["scores"]["ece_calibrated"] < written["scores"]["ece_raw"]


def test_calibrating_afterwards_says_the_same_and_changes_nothing_else(run, copy, capsys):
    path = copy / "checkpoints/best_iou.ckpt"
    before = load(run, "best_iou")
    expected = before.pop("calibration")
    torch.save(before, path)
    (copy / "calibration.json").unlink()
    # The configuration of the run tells where the data is.
    assert main(["calibrate", "--checkpoint", str(path), "--device", "cpu"]) == 0
    after = load(copy, "best_iou")
    assert after.pop("calibration") == expected
    assert equal(before, after)
    files = [json.loads((folder / "calibration.json").read_text()) for folder in (run, copy)]
    assert [file.pop("checkpoint") for file in files][1] == str(path)
    assert files[0] == files[1]
    out = capsys.readouterr().out
    assert "ECE calibrated" in out
    assert [path.name for path in path.parent.iterdir() if path.name.startswith(".")] == []


def test_calibrating_takes_method_regions_data_and_output(world, copy, tmp_path):
    path = shutil.move(copy / "checkpoints/last.ckpt", tmp_path / "moved.ckpt")
    arguments = ["calibrate", "--checkpoint", str(path), "--data.root", str(world)]
    arguments += ["--data.regions", "[SC]", "--method", "temperature", "--per-region"]
    assert main([*arguments, "--split", "test", "--output", "out"]) == 0
    task = GlaViTUTask.from_checkpoint(path)
    assert task.calibration.method == "temperature"
    assert list(task.calibration.regions) == [region_index("SC")]
    written = json.loads((tmp_path / "out/calibration.json").read_text())
    assert written["split"] == "test"
    assert sum(written["bins"]["pixels"]) == PIXELS


@pytest.mark.slow
def test_training_on_from_a_calibrated_checkpoint_forgets_its_curve(world, run, tmp_path):
    arguments = ["fit", "--config", str(run / "config.yaml"), "--trainer.max_epochs", "2"]
    arguments += ["--checkpoint", str(run / "checkpoints/best_iou.ckpt")]
    arguments += ["--trainer.logger.init_args.save_dir", str(tmp_path)]
    assert main([*arguments, "--confidence_calibration.method", "none"]) == 0
    resumed = tmp_path / "glavitu/version_0"
    assert load(resumed, "last")["epoch"] == 1
    for path in (resumed / "checkpoints").iterdir():
        assert "calibration" not in torch.load(path, weights_only=True)
    assert not (resumed / "calibration.json").exists()


def test_a_calibrated_checkpoint_stays_so_when_it_is_saved_again(run, tmp_path):
    from lightning.pytorch import Trainer

    task = GlaViTUTask.from_checkpoint(run / "checkpoints/best_iou.ckpt")
    trainer = Trainer(logger=False, accelerator="cpu", enable_checkpointing=False)
    trainer.strategy.connect(task)
    trainer.save_checkpoint(tmp_path / "again.ckpt", weights_only=True)
    again = GlaViTUTask.load_from_checkpoint(tmp_path / "again.ckpt", weights_only=True)
    assert again.calibration.to_dict() == task.calibration.to_dict()


def errors_of(task, folder, calibrate) -> float:
    """The expected calibration error of whole tiles over 100 bins, worked out pixel by pixel."""
    dataset = GlacierRasters(folder)
    sure, right = [], []
    for number, extent in enumerate(dataset.extents):
        sample = dataset[TileWindow(number, extent)]
        with torch.inference_mode():
            probabilities = task.predict_tiles({"image": sample["image"][None]})[0]
        values = calibrate(confidence(probabilities, dim=0), dataset.tiles[number].region)
        sure.append(values.numpy().ravel())
        right.append((probabilities.argmax(0) == sample["mask"]).numpy().ravel())
    sure, right = np.concatenate(sure), np.concatenate(right)
    index = np.minimum((sure * 100).astype(int), 99)
    gaps = np.bincount(index, weights=sure, minlength=100) - np.bincount(index, right, 100)
    return np.abs(gaps).sum() / len(sure)


def test_testing_tells_the_error_before_and_after(world, copy, tmp_path, capsys):
    path = copy / "checkpoints/best_iou.ckpt"
    calibration = Calibration(LOW, {HMA: HIGH})
    put_calibration(path, calibration)
    arguments = ["test", "--checkpoint", str(path), "--data.root", str(world)]
    arguments += ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
    arguments += ["--trainer.logger.init_args.save_dir", str(tmp_path)]
    assert main(arguments) == 0
    folder = tmp_path / "glavitu/version_0"
    found = json.loads((folder / "report.json").read_text())["calibration"]
    task = GlaViTUTask.from_checkpoint(path)
    raw = errors_of(task, world / "test", lambda sure, region: sure)
    calibrated = errors_of(task, world / "test", calibration)
    assert found["ece_raw"] == pytest.approx(raw, abs=1e-6)
    assert found["ece_calibrated"] == pytest.approx(calibrated, abs=1e-3)
    assert set(found["regions"]) == {"HMA", "SC"}
    (metrics,) = pd.read_csv(folder / "metrics.csv").to_dict("records")
    for key in ("ece", "ece_calibrated", "brier"):
        expected = found["ece_raw" if key == "ece" else key]
        assert metrics[f"test/{key}"] == pytest.approx(expected, rel=1e-6)
    assert (folder / "reliability.png").stat().st_size > 10_000
    assert "raw and calibrated (isotonic)" in capsys.readouterr().out


def test_testing_a_raw_checkpoint_tells_the_raw_error_alone(world, run, tmp_path):
    arguments = ["test", "--checkpoint", str(run / "checkpoints/last.ckpt")]
    arguments += ["--data.root", str(world), "--trainer.logger", "false"]
    arguments += ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
    assert main([*arguments, "--region_report.output", str(tmp_path / "out")]) == 0
    found = json.loads((tmp_path / "out/report.json").read_text())["calibration"]
    assert found["ece_raw"] > 0
    assert (found["ece_calibrated"], found["mce_calibrated"]) == (None, None)
    assert (tmp_path / "out/reliability.png").exists()


def test_predictions_are_calibrated_by_the_curve_of_their_region(world, copy, tmp_path, caplog):
    path = copy / "checkpoints/best_iou.ckpt"
    put_calibration(path, Calibration(LOW, {HMA: HIGH}))
    for name in ("best_iou", "last"):
        assert RAW_NOTICE not in caplog.text
        arguments = ["predict", "--checkpoint", str(path.with_stem(name)), "--trainer.logger"]
        arguments += ["false", "--data.root", str(world), "--trainer.accelerator", "cpu"]
        assert main([*arguments, "--prediction_writer.output", str(tmp_path / name)]) == 0
    assert RAW_NOTICE in caplog.text
    for tile, curve in (("HMA_test_000", HIGH), ("SC_test_000", LOW)):
        with rasterio.open(tmp_path / f"best_iou/{tile}.tif") as file:
            glacier, sure = torch.from_numpy(file.read())
            assert file.tags()["confidence"] == "calibrated (isotonic)"
        expected = curve(confidence(torch.stack([1 - glacier, glacier]), dim=0))
        torch.testing.assert_close(sure, expected, atol=1e-5, rtol=0)
    with rasterio.open(tmp_path / "last/SC_test_000.tif") as file:
        assert file.tags()["confidence"] == "raw"


def test_a_curve_of_other_predictions_is_applied_with_a_warning(copy, recwarn):
    path = copy / "checkpoints/best_iou.ckpt"
    put_calibration(path, Calibration(LOW, inference="tta"))
    assert GlaViTUTask.from_checkpoint(path, "tta").calibration.inference == "tta"
    assert not [warning for warning in recwarn if "fitted" in str(warning.message)]
    with pytest.warns(UserWarning, match="fitted to tta predictions, but these are single"):
        assert GlaViTUTask.from_checkpoint(path).calibration is not None


def test_regions_take_their_own_curve_and_others_that_of_all():
    calibration = Calibration(LOW, {HMA: HIGH})
    raw = torch.rand(5, 7)
    assert torch.equal(calibration(raw, HMA), HIGH(raw))
    for region in (UNKNOWN, 0):
        assert torch.equal(calibration(raw, region), LOW(raw))
    again = Calibration.from_dict(json.loads(json.dumps(calibration.to_dict())))
    assert torch.equal(again(raw, HMA), HIGH(raw))
    assert torch.equal(again(raw), LOW(raw))


def test_curves_are_fitted_to_the_regions_that_have_enough_pixels():
    counts = torch.zeros(12, 100, dtype=torch.long)
    counts[0] = 10
    counts[1, 50] = 10  # too few bins for isotonic regression
    counts[UNKNOWN] = 30
    sums = counts * (torch.arange(100, dtype=torch.float64) + 0.5) / 100
    correct = counts.clone()
    correct[UNKNOWN] = 15
    histogram = ReliabilityHistogram(counts, sums, correct)
    assert fit_calibration("isotonic", histogram).regions == {}
    calibration = fit_calibration("isotonic", histogram, per_region=True)
    assert list(calibration.regions) == [0]
    raw = torch.rand(9, dtype=torch.float64)
    torch.testing.assert_close(calibration(raw, 0), torch.ones(9, dtype=torch.float64))
    assert (calibration(raw, UNKNOWN) < 1).all()
    recalibrated = calibration.recalibrated(histogram)
    assert torch.equal(recalibrated.counts.sum(1), counts.sum(1))
    assert recalibrated.counts[0, -1] == 1000


class TestErrors:
    """Bad input ends with one message and status 1, and leaves the checkpoint as it was."""

    def check(self, capsys, arguments, *expected):
        assert main(["calibrate", *arguments]) == 1
        error = capsys.readouterr().err
        assert error.splitlines()[-1].startswith("glavitu: error: ")
        for text in expected:
            assert text in error

    def test_no_checkpoint(self, world, capsys):
        self.check(capsys, ["--checkpoint", "none.ckpt"], "none.ckpt", "no such checkpoint")

    def test_a_device_that_is_not_there(self, capsys):
        arguments = ["--checkpoint", "none.ckpt", "--device", "cuda:99"]
        self.check(capsys, arguments, "device 'cuda:99' is not available; here there are")

    def test_text_as_checkpoint(self, world, tmp_path, capsys):
        (tmp_path / "a.ckpt").write_text("no")
        arguments = ["--checkpoint", "a.ckpt", "--data.root", str(world)]
        self.check(capsys, arguments, "a.ckpt: cannot be read as a checkpoint")
        with pytest.raises(InputError, match=r"a\.ckpt: cannot be read"):
            put_calibration("a.ckpt", Calibration(LOW))
        assert (tmp_path / "a.ckpt").read_text() == "no"

    def test_no_validation_tiles(self, run, tmp_path, capsys):
        path = run / "checkpoints/last.ckpt"
        arguments = ["--checkpoint", str(path), "--data.root", str(tmp_path)]
        self.check(capsys, arguments, str(tmp_path / "val"), "no such folder")
        assert "calibration" not in load(run, "last")

    def test_data_that_nothing_names(self, copy, capsys):
        (copy / "config.yaml").unlink()
        arguments = ["--checkpoint", str(copy / "checkpoints/last.ckpt")]
        self.check(capsys, arguments, "give --data.root", "--config")

    @pytest.mark.parametrize("text", ["data: 3", "a: [", "5", "trainer: {}"])
    def test_a_configuration_without_data(self, run, tmp_path, capsys, text):
        (tmp_path / "a.yaml").write_text(text)
        arguments = ["--checkpoint", str(run / "checkpoints/last.ckpt"), "--config", "a.yaml"]
        self.check(capsys, arguments, "a.yaml: is ")

    @pytest.mark.parametrize("stored", [{"curve": {}}, {"curve": 1, "regions": 2}, "text"])
    def test_a_stored_calibration_that_is_none(self, copy, capsys, stored):
        path = copy / "checkpoints/last.ckpt"
        torch.save(load(copy, "last") | {"calibration": stored}, path)
        with pytest.raises(InputError, match="stored"):
            GlaViTUTask.from_checkpoint(path)
