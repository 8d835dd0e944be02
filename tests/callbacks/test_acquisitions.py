"""Reports of tests that have several years and sensors."""

import json

import numpy as np
import pandas as pd
import pytest
from lightning.pytorch import Trainer
from PIL import Image

from glavitu.callbacks import CalibrationReport, RegionReport
from glavitu.report import write_report

from ..raster_files import UTM, write_raster
from .echo import Echo, data_module, write_tile

QUIET = {"accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False}


@pytest.fixture
def manifest(tmp_path):
    """Five scenes with TP, FP, FN and TN of their own."""
    root = tmp_path / "world"
    scenes = {
        "a": ((10, 2, 3, 25), "HMA", "2000-08-01", "TM"),
        "b": ((4, 0, 4, 32), "HMA", "2000-09-01", "TM"),
        "c": ((6, 6, 6, 22), "HMA", "2020", "OLI"),
        "d": ((9, 1, 0, 30), "SC", "2020", "TM"),
        "e": ((0, 0, 0, 40), "SC", "", "OLI"),
    }
    lines = ["scene,region,date,sensor"]
    for name, (counts, region, date, sensor) in scenes.items():
        write_tile(root, name, counts, region)
        lines.append(f"test/{name},{region},{date},{sensor}")
    (root / "scenes.csv").write_text("\n".join(lines))
    return root / "scenes.csv"


@pytest.fixture
def folder(manifest, tmp_path):
    output = tmp_path / "out"
    callbacks = [CalibrationReport(str(output)), RegionReport(str(output))]
    trainer = Trainer(logger=False, callbacks=callbacks, **QUIET)
    trainer.test(Echo(), data_module(manifest), verbose=False)
    return output


def test_pixels_are_pooled_by_year_sensor_and_region(folder):
    report = json.loads((folder / "report.json").read_text())
    years = {row["year"]: row for row in report["years"]}
    assert {year: row["tiles"] for year, row in years.items()} == {
        **{"2000": 2, "2020": 2, "unknown": 1}
    }
    assert years["2000"]["iou"] == pytest.approx(14 / 23)
    assert years["2020"]["iou"] == pytest.approx(15 / 28)
    assert years["unknown"]["iou"] is None
    sensors = {row["sensor"]: row for row in report["sensors"]}
    assert sensors["TM"]["iou"] == pytest.approx(23 / 33)
    assert sensors["OLI"]["pixels"] == 80
    groups = {(row["region"], row["year"], row["sensor"]): row for row in report["groups"]}
    assert set(groups) == {
        ("HMA", "2000", "TM"),
        ("HMA", "2020", "OLI"),
        ("SC", "2020", "TM"),
        ("SC", "unknown", "OLI"),
    }
    assert groups["HMA", "2020", "OLI"]["iou"] == pytest.approx(6 / 18)
    assert [row["date"] for row in report["tiles"]] == [
        "2000-08-01",
        "2000-09-01",
        "2020",
        "2020",
        "",
    ]


def test_each_group_has_the_error_of_its_confidence(folder):
    report = json.loads((folder / "report.json").read_text())
    # Echo is 0.9 or 0.1 sure of all: one bin, of confidence 1 - H.
    raw = 1 + 0.9 * np.log2(0.9) + 0.1 * np.log2(0.1)
    groups = {(row["region"], row["year"]): row for row in report["groups"]}
    assert groups["HMA", "2000"]["ece_raw"] == pytest.approx(71 / 80 - raw, abs=1e-6)
    assert groups["SC", "2020"]["ece_raw"] == pytest.approx(39 / 40 - raw, abs=1e-6)
    (year,) = (row for row in report["years"] if row["year"] == "2020")
    assert year["ece_raw"] == pytest.approx((28 + 39) / 80 - raw, abs=1e-6)
    assert year["brier"] == pytest.approx((67 * 0.01 + 13 * 0.81) / 80, abs=1e-6)
    assert "ece_calibrated" not in year


def test_the_groups_are_a_table_and_a_figure(folder):
    table = pd.read_csv(folder / "groups.csv")
    assert list(table.columns[:5]) == ["region", "year", "sensor", "tiles", "pixels"]
    assert len(table) == 4
    assert Image.open(folder / "groups.png").size[0] > 400


def test_the_page_has_tables_of_years_sensors_and_both(folder, tmp_path):
    page = write_report([folder], tmp_path / "report.html").read_text()
    for caption in ("Years", "Sensors", "Regions by year and sensor"):
        assert caption in page


def test_tests_that_tell_neither_year_nor_sensor_have_no_groups(tmp_path):
    write_tile(tmp_path / "world", "a", (10, 2, 3, 25), "HMA")
    output = tmp_path / "out"
    trainer = Trainer(logger=False, callbacks=RegionReport(str(output)), **QUIET)
    trainer.test(Echo(), data_module(tmp_path / "world"), verbose=False)
    report = json.loads((output / "report.json").read_text())
    assert not {"years", "sensors", "groups"} & set(report)
    assert not (output / "groups.csv").exists()
    page = write_report([output], tmp_path / "report.html").read_text()
    assert "Years" not in page


def test_sensors_alone_make_groups_too(tmp_path):
    for name, sensor in (("a", "TM"), ("b", "OLI")):
        write_tile(tmp_path / "world", name, (10, 2, 3, 25), "HMA")
        path = tmp_path / "world/test" / name / "plain.tif"
        prediction = np.repeat([0.9, 0.9, 0.1, 0.1], (10, 2, 3, 25)).astype(np.float32)
        write_raster(
            path, prediction.reshape(4, 10), "EPSG:32645", UTM, None, region="HMA", sensor=sensor
        )
    output = tmp_path / "out"
    callbacks = [CalibrationReport(str(output)), RegionReport(str(output))]
    trainer = Trainer(logger=False, callbacks=callbacks, **QUIET)
    trainer.test(Echo(), data_module(tmp_path / "world"), verbose=False)
    report = json.loads((output / "report.json").read_text())
    assert "years" not in report
    assert [(row["region"], row["sensor"]) for row in report["groups"]] == [
        *(("HMA", "OLI"), ("HMA", "TM"))
    ]
    page = write_report([output], tmp_path / "report.html").read_text()
    assert "Regions by year and sensor" in page


def test_a_single_scene_is_a_group(manifest, tmp_path):
    manifest.write_text("scene,date\ntest/a,2000\n")
    callbacks = [CalibrationReport(str(tmp_path)), RegionReport(str(tmp_path))]
    trainer = Trainer(logger=False, callbacks=callbacks, **QUIET)
    trainer.test(Echo(), data_module(manifest), verbose=False)
    (group,) = json.loads((tmp_path / "report.json").read_text())["groups"]
    assert group["brier"] == pytest.approx((35 * 0.01 + 5 * 0.81) / 40, abs=1e-6)
