import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger, WandbLogger
from PIL import Image
from torch.utils.data import DataLoader

from glavitu import __version__
from glavitu.callbacks import RegionReport, WorstTiles
from glavitu.metrics import TileConfusion
from glavitu.report.region_figure import draw_regions, spread

from .echo import Echo, data_module, write_tile

ROOT = Path(__file__).parents[2]
QUIET = {"accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False}


@pytest.fixture
def world(tmp_path) -> Path:
    root = tmp_path / "world"
    write_tile(root, "a", (10, 2, 3, 25), "HMA", "HMA1")
    write_tile(root, "b", (4, 0, 4, 32), "HMA", "HMA2")
    write_tile(root, "c", (0, 0, 0, 40), "HMA", "HMA1")
    write_tile(root, "d", (9, 1, 0, 30), "SC")
    write_tile(root, "e", (0, 0, 0, 40), "AN", "AN1")
    return root


def report_of(output, *callbacks, logger=False, **data) -> dict:
    trainer = Trainer(logger=logger, callbacks=[*callbacks, RegionReport(str(output))], **QUIET)
    trainer.test(Echo(), **data, verbose=False)
    return json.loads((output / "report.json").read_text())


def test_counts_of_tiles_are_pooled_to_subregions_and_regions(world, tmp_path):
    report = report_of(tmp_path / "out", datamodule=data_module(world))
    tiles = {row["tile"]: row for row in report["tiles"]}
    assert [tiles["a"][key] for key in ("region", "subregion", "tp", "fp", "fn", "tn")] == [
        *("HMA", "HMA1", 10, 2, 3, 25)
    ]
    assert tiles["a"]["iou"] == pytest.approx(10 / 15)
    assert (tiles["c"]["iou"], tiles["c"]["recall"], tiles["c"]["accuracy"]) == (None, None, 1)
    # Tiles without a subregion are in none.
    subregions = {row["subregion"]: row for row in report["subregions"]}
    assert {name: row["tiles"] for name, row in subregions.items()} == {
        **{"AN1": 1, "HMA1": 2, "HMA2": 1}
    }
    assert subregions["HMA1"]["pixels"] == 80
    assert subregions["HMA1"]["iou"] == pytest.approx(10 / 15)
    regions = {row["region"]: row for row in report["regions"]}
    assert list(regions) == ["AN", "HMA", "SC"]
    assert regions["HMA"]["iou"] == pytest.approx(14 / 23)
    assert regions["AN"]["iou"] is None
    assert regions["AN"]["glacier_share"] == 0


def test_mean_and_sample_deviation_are_over_the_regions_that_have_a_score(world, tmp_path):
    report = report_of(tmp_path / "out", datamodule=data_module(world))
    one, other = 14 / 23, 9 / 10
    assert report["mean"]["iou"] == pytest.approx((one + other) / 2)
    assert report["std"]["iou"] == pytest.approx(abs(one - other) / math.sqrt(2))
    assert report["mean"]["accuracy"] == pytest.approx((1 + 111 / 120 + 39 / 40) / 3)


def test_the_csv_has_the_regions_and_the_json_tells_what_was_tested(world, tmp_path):
    report = report_of(tmp_path / "out", datamodule=data_module(world))
    table = pd.read_csv(tmp_path / "out/report.csv")
    columns = "region pixels glacier_share iou precision recall f1 accuracy tp fp fn tn"
    assert list(table.columns) == columns.split()
    pd.testing.assert_frame_equal(table, pd.DataFrame(report["regions"]))
    assert report["glavitu"] == __version__
    assert report["checkpoint"] is None
    assert report["options"]["data"] == str(world)
    assert Image.open(tmp_path / "out/report.png").size[0] > 400


def test_batches_that_tell_no_tile_are_reported_by_region(tmp_path):
    image = torch.tensor([[[0.9, 0.9, 0.1, 0.1]]])
    sample = {"image": image, "mask": torch.tensor([[1, 0, 0, 0]]), "region": torch.tensor(9)}
    loader = DataLoader([sample, sample | {"region": torch.tensor(0)}], batch_size=2)
    report = report_of(tmp_path, WorstTiles(output=str(tmp_path)), dataloaders=loader)
    assert [(row["region"], row["iou"]) for row in report["regions"]] == [("ALP", 0.5), ("SC", 0.5)]
    assert report["subregions"] == report["tiles"] == []
    assert not (tmp_path / "samples").exists()


def test_tiles_that_were_not_tested_are_not_in_the_report(world, tmp_path):
    trainer = Trainer(
        logger=False, callbacks=RegionReport(str(tmp_path)), limit_test_batches=2, **QUIET
    )
    trainer.test(Echo(), data_module(world), verbose=False)
    report = json.loads((tmp_path / "report.json").read_text())
    assert [row["tile"] for row in report["tiles"]] == ["a", "b"]
    assert [row["region"] for row in report["regions"]] == ["HMA"]


def test_wandb_has_the_regions_as_a_table_and_the_figure(world, tmp_path):
    loggers = [WandbLogger(project="glavitu", save_dir=tmp_path), CSVLogger(tmp_path / "csv")]
    report_of(tmp_path, logger=loggers, datamodule=data_module(world))
    loggers[0].experiment.finish()
    (media,) = tmp_path.glob("wandb/offline-run-*/files/media")
    (path,) = media.glob("table/test/*.json")
    table = json.loads(path.read_text())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert [row["region"] for row in rows] == ["AN", "HMA", "SC"]
    assert rows[1]["iou"] == pytest.approx(14 / 23)
    assert rows[0]["iou"] is None or math.isnan(rows[0]["iou"])
    assert len(list(media.glob("images/test_regions*.png"))) == 1


SCRIPT = """
import sys
from pathlib import Path
from lightning.pytorch import Trainer
from glavitu.callbacks import RegionReport, WorstTiles
from tests.callbacks.echo import Echo, data_module

world, output = sys.argv[1:]
trainer = Trainer(
    accelerator="cpu", strategy="ddp", devices=2, logger=False, enable_progress_bar=False,
    callbacks=[RegionReport(output), WorstTiles(2, output)],
)
trainer.test(Echo(), data_module(Path(world)), verbose=False)
"""


@pytest.mark.slow
def test_two_processes_with_unevenly_many_tiles_report_what_one_does(world, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py", str(world), str(two)],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    expected = report_of(one, WorstTiles(2, str(one)), datamodule=data_module(world))
    report = json.loads((two / "report.json").read_text())
    assert len(report["tiles"]) == 5
    for key in ("mean", "std", "regions", "subregions", "tiles"):
        assert report[key] == expected[key]
    # The two worst are in one process (a, c, e) and the other (b, d).
    for folder in (one, two):
        assert sorted(path.name for path in folder.glob("samples/*")) == ["a.png", "b.png"]


def test_the_figure_has_a_bar_for_each_region_and_a_point_for_each_tile_with_an_iou(world):
    dataset = data_module(world)
    dataset.setup("test")
    metric = TileConfusion(dataset.test_dataset.tiles)
    for number in range(5):
        mask = torch.zeros(1, 4, 10, dtype=torch.long)
        mask[0, 0, : number % 3] = 1
        metric.update(torch.ones_like(mask) * (number % 3 > 0), mask, torch.tensor([number]))
    tiles = metric.table()
    regions = tiles.groupby("region", as_index=False)[["iou"]].mean()
    (axes,) = draw_regions(regions, tiles).axes
    heights = [bar.get_height() for bar in axes.patches]
    assert heights == pytest.approx(regions["iou"].fillna(0).tolist())
    points = [y for group in axes.collections for _, y in group.get_offsets()]
    assert sorted(points) == pytest.approx(sorted(tiles["iou"].dropna()))


def test_points_are_spread_apart_within_their_bar():
    assert spread(1).tolist() == [0]
    many = spread(100)
    assert abs(many).max() <= 0.4
    assert len(set(many.round(6))) == 100


def test_an_unknown_region_is_in_the_table_and_not_in_the_mean(tmp_path):
    root = tmp_path / "world"
    for name, counts, region in (
        ("a", (10, 10, 0, 20), "HMA"),
        ("b", (10, 0, 0, 30), "SC"),
        ("c", (1, 9, 0, 30), "unknown"),
    ):
        write_tile(root, name, counts, region)
    report = report_of(tmp_path, datamodule=data_module(root))
    assert report["mean"]["iou"] == 0.75
    assert report["std"]["iou"] == pytest.approx(0.5 / 2**0.5)
    assert [row["iou"] for row in report["regions"]] == [0.5, 1.0, 0.1]
    legend = draw_regions(pd.DataFrame(report["regions"])).legends[0]
    assert any("mean 0.750" in text.get_text() for text in legend.get_texts())
