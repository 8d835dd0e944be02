"""The reports of a test share their folder, tiles and counts, in whatever order they come."""

import json
from itertools import permutations
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, Trainer

from glavitu.callbacks import CalibrationReport, RegionReport, WorstTiles
from glavitu.confidence.calibration import fit_calibration
from glavitu.metrics import Reliability

from .echo import Echo, data_module, write_tile

SCENES = {
    "a": ((10, 2, 3, 25), "HMA", "2000-08-01", "TM"),
    "b": ((4, 0, 4, 32), "HMA", "2020", "OLI"),
    "c": ((9, 1, 0, 30), "SC", "2020", "TM"),
    "d": ((0, 0, 0, 40), "SC", "", "OLI"),
}
KINDS = (CalibrationReport, RegionReport, WorstTiles)


@pytest.fixture
def manifest(tmp_path):
    lines = ["scene,region,date,sensor"]
    for name, (counts, region, date, sensor) in SCENES.items():
        write_tile(tmp_path / "world", name, counts, region)
        lines.append(f"test/{name},{region},{date},{sensor}")
    path = tmp_path / "world/scenes.csv"
    path.write_text("\n".join(lines))
    return path


def calibrated() -> Echo:
    torch.manual_seed(0)
    metric = Reliability()
    probabilities = torch.rand(1, 2, 64, 64).softmax(1)
    metric.update(probabilities, torch.randint(2, (1, 64, 64)), torch.tensor([0]))
    task = Echo()
    task.calibration = fit_calibration("isotonic", metric.histogram(per_region=True))
    return task


def trainer_of(callbacks, root) -> Trainer:
    return Trainer(
        accelerator="cpu",
        logger=False,
        callbacks=callbacks,
        default_root_dir=root,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def files(folder) -> dict[str, bytes]:
    """Return the bytes of all files, without the line that tells the time of the test."""
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    report = json.loads(found["report.json"])
    found["report.json"] = found["report.json"].replace(report["date"].encode(), b"")
    return found


def test_whatever_the_order_of_the_reports_the_files_are_the_same_to_the_byte(manifest, tmp_path):
    written = []
    for number, kinds in enumerate(permutations(KINDS)):
        folder = tmp_path / str(number)
        callbacks = [kind(**{"samples": 1} if kind is WorstTiles else {}) for kind in kinds]
        trainer_of(callbacks, folder).test(calibrated(), data_module(manifest), verbose=False)
        written.append(files(folder))
    first, *others = written
    assert set(first) == {
        *("report.csv", "report.json", "report.png", "groups.csv", "groups.png"),
        *("reliability.png", "samples/test_b.png"),
    }
    assert json.loads(first["report.json"])["calibration"]["ece_calibrated"] > 0
    assert others == [first] * 5


@pytest.mark.parametrize("given", KINDS)
def test_the_folder_that_one_report_is_given_is_that_of_all(tmp_path, given):
    for kinds in permutations(KINDS):
        callbacks = [kind(output="out" if kind is given else None) for kind in kinds]
        assert folders(callbacks, tmp_path) == dict.fromkeys(KINDS, Path("out"))


def test_reports_of_different_folders_leave_that_of_the_run_to_others(tmp_path):
    for callbacks in permutations([WorstTiles(), RegionReport("a"), CalibrationReport("b")]):
        assert folders(callbacks, tmp_path) == {
            **{WorstTiles: tmp_path, RegionReport: Path("a"), CalibrationReport: Path("b")}
        }


def folders(callbacks, root) -> dict[type, Path]:
    trainer = trainer_of(list(callbacks), root)
    for callback in callbacks:
        callback.setup(trainer, Echo(), "test")
    return {type(callback): callback.folder for callback in callbacks}


def test_reports_share_their_counts_and_each_test_starts_anew(manifest, tmp_path):
    reports = WorstTiles(1), RegionReport(), RegionReport()
    trainer = trainer_of([Callback(), *reports], tmp_path)
    results = []
    for _ in range(2):
        trainer.test(Echo(), data_module(manifest), verbose=False)
        assert all(report.results is reports[0].results for report in reports)
        # Counted twice, tiles would have twice the pixels.
        assert reports[0].results.table()["pixels"].tolist() == [40] * len(SCENES)
        results.append(reports[0].results)
    assert results[0] is not results[1]


def test_a_report_tells_no_confidence_of_an_earlier_test(manifest, tmp_path):
    task, data = calibrated(), data_module(manifest)
    trainer_of([CalibrationReport()], tmp_path).test(task, data, verbose=False)
    trainer_of([RegionReport()], tmp_path).test(task, data, verbose=False)
    assert "calibration" not in json.loads((tmp_path / "report.json").read_text())
