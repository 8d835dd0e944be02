"""A run's folder is its own, and what is written there is whole."""

import csv
import json
import resource
import subprocess
import tempfile
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger

from glavitu.callbacks.run_folder import continue_metrics, metrics_file, run_folder
from glavitu.cli import main
from glavitu.files import opened
from glavitu.tasks import import_keras
from glavitu.tasks.checkpoints import CompleteCheckpoints, write_checkpoint
from tests.models.keras_files import layout, write_weights

QUIET = [
    *("--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"),
    *("--trainer.enable_model_summary", "false"),
]
FIT = [
    *("fit", *QUIET, "--trainer.max_epochs", "1", "--confidence_calibration.method", "none"),
    *("--model.model_args", json.dumps({"width": 8, "depth": 1, "heads": 2})),
    *("--data.patch_size", "32", "--data.batch_size", "2", "--data.steps_per_epoch", "1"),
]
RUN = Path("runs/glavitu/version_0")


def trainer(logger) -> Trainer:
    return Trainer(logger=logger, accelerator="cpu", enable_checkpointing=False)


def test_two_runs_that_start_at_once_have_folders_of_their_own():
    loggers = [CSVLogger("runs", name="a") for _ in range(3)]
    folders = [run_folder(trainer(logger)) for logger in loggers]
    assert [folder.name for folder in folders] == ["version_0", "version_1", "version_2"]
    assert [logger.version for logger in loggers] == [0, 1, 2]
    given = CSVLogger("runs", name="a", version=1)
    assert run_folder(trainer(given)) == folders[1]


class TestMetrics:
    def rows(self):
        with Path("runs/a/version_0/metrics.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    @pytest.fixture
    def logger(self):
        logger = CSVLogger("runs", name="a", version=0)
        metrics_file(logger)
        logger.log_metrics({"loss": 1.0}, 0)
        logger.save()
        return logger

    def test_have_all_rows_when_a_column_is_new(self, logger):
        logger.log_metrics({"iou": 0.5}, 1)
        logger.save()
        assert self.rows() == [
            {"iou": "", "loss": "1.0", "step": "0"},
            {"iou": "0.5", "loss": "", "step": "1"},
        ]

    @pytest.mark.parametrize("size", [0, 10])
    def test_keep_the_epochs_before_where_they_cannot_be_written(self, logger, size):
        logger.log_metrics({"iou": 0.5}, 1)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            with pytest.raises(OSError, match="File too large"):
                logger.save()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert self.rows() == [{"loss": "1.0", "step": "0"}]

    def test_stay_until_those_of_the_resumed_run_are_there(self, logger):
        resumed = CSVLogger("runs", name="a", version=0)
        metrics_file(resumed)
        assert self.rows() == [{"loss": "1.0", "step": "0"}]
        continue_metrics(resumed, steps=1)
        resumed.log_metrics({"iou": 0.5}, 1)
        resumed.save()
        assert [row["step"] for row in self.rows()] == ["0", "1"]


class TestFit:
    @pytest.fixture
    def run(self, world):
        assert main([*FIT, "--data.root", str(world)]) == 0
        return RUN

    def test_a_run_is_resumed_by_one_process(self, run, world, capsys):
        config = ["--config", str(run / "config.yaml"), "--checkpoint", "last"]
        before = (run / "metrics.csv").read_bytes()
        with opened(run):
            assert main(["fit", *config, "--trainer.max_epochs", "2"]) == 1
        assert "version_0: another process is writing" in capsys.readouterr().err
        assert (run / "metrics.csv").read_bytes() == before
        assert main(["fit", *config, "--trainer.max_epochs", "2"]) == 0

    @pytest.mark.slow
    def test_predictions_and_reports_of_two_are_kept_apart(self, run, world, capsys):
        options = [*QUIET, "--checkpoint", str(run / "checkpoints/best_iou.ckpt")]
        options += ["--data.root", str(world)]
        for command, writer in (("predict", "prediction_writer"), ("test", "region_report")):
            arguments = [command, *options, f"--{writer}.output", "out"]
            with opened(Path("out")):
                assert main(arguments) == 1
            assert "out: another process is writing" in capsys.readouterr().err
            assert main(arguments) == 0

    @pytest.mark.slow
    def test_predictions_on_a_full_disk_are_an_error(self, run, world, capsys):
        arguments = ["predict", *QUIET, "--checkpoint", str(run / "checkpoints/best_iou.ckpt")]
        arguments += ["--data.root", str(world), "--prediction_writer.output", "out"]
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (7_000, before[1]))
        try:
            assert main(arguments) == 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        said = capsys.readouterr().err
        assert "could not be written whole" in said
        assert "Traceback" not in said
        assert list(Path("out").iterdir()) == []


def test_imported_weights_go_through_no_other_folder(tmp_path, monkeypatch):
    weights = write_weights(tmp_path / "a.h5", layout("global_optical_dem"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    import_keras(weights, ("optical", "dem"), tmp_path / "out" / "a.ckpt")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.ckpt"]


def test_a_path_in_a_checkpoint_removes_nothing_outside_of_the_run(tmp_path):
    inside, mine = tmp_path / "run" / "a.ckpt", tmp_path / "mine"
    for path in (inside, mine):
        path.parent.mkdir(exist_ok=True)
        path.write_text("it")
    files = CompleteCheckpoints()
    files.remove_checkpoint(tmp_path / "run" / ".." / "mine")
    files.remove_checkpoint(inside)
    assert mine.exists()
    assert not inside.exists()


def test_a_checkpoint_on_a_full_disk_is_an_error_that_names_it(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user may not mount")
    try:
        with pytest.raises(OSError, match=r"No space left on device: .*a\.ckpt"):
            write_checkpoint({"state_dict": {"a": torch.zeros(100_000)}}, disk / "a.ckpt")
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)
