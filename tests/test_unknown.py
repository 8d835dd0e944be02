"""Unknown labels through everything: what is written under them changes no bit of any figure."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch

from glavitu.cli import main
from glavitu.datasets import GlacierRasters, SyntheticGlaciers, TileWindow

from .test_ddp import CPU, DATA, MODEL, TWO, metrics, python

pytestmark = pytest.mark.slow

STEPS = ["--data.steps_per_epoch", "4", "--trainer.max_epochs", "2"]
STEPS += ["--model.model_args", json.dumps(MODEL)]

#: Columns of each test tile whose labels are known, of 64.
KNOWN = {"SC": 40, "HMA": 25, "NZ": 0}


def write_labels(root: Path, below: int) -> Path:
    """Make the labels rasters whose mask leaves columns out, with some value below it."""
    for split in ("train", "val", "test"):
        dataset = GlacierRasters(root / split)
        for number, tile in enumerate(dataset.tiles):
            mask = dataset[TileWindow(number, tile.extent)]["mask"].numpy().astype(np.uint8)
            columns = KNOWN[tile.name[: tile.name.index("_")]] if split == "test" else 50
            known = np.zeros(mask.shape, bool)
            known[:, :columns] = True
            mask[~known] = below
            folder = Path(tile.filepath).parent
            (folder / "outlines.gpkg").unlink()
            profile = {"crs": tile.crs, "transform": tile.transform, "dtype": "uint8", "count": 1}
            with (
                rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
                rasterio.open(
                    folder / "outlines.tif", "w", "GTiff", *mask.shape[::-1], **profile
                ) as file,
            ):
                file.write(mask, 1)
                file.write_mask(known)
    return root


@pytest.fixture(scope="module")
def worlds(tmp_path_factory) -> list[Path]:
    """The same tiles twice, with no glacier and with glacier below what is unknown."""
    world = SyntheticGlaciers(("SC", "HMA", "NZ"), tiles=(1, 1, 1), size=64, seed=0)
    original = world.write_geotiffs(tmp_path_factory.mktemp("world"), progress=False)
    folder = tmp_path_factory.mktemp("worlds")
    return [
        write_labels(shutil.copytree(original, folder / name), below)
        for name, below in (("land", 0), ("glacier", 1))
    ]


@pytest.fixture(scope="module")
def runs(worlds, tmp_path_factory) -> list[Path]:
    """The folders of a training and of a test of its last checkpoint, on each of the two."""
    folders = []
    for root in worlds:
        folder = tmp_path_factory.mktemp("run")
        save = ["--data.root", str(root), *CPU, *DATA, "--trainer.logger.init_args.save_dir"]
        assert main(["fit", *save, str(folder / "fit"), *STEPS]) == 0
        last = folder / "fit/glavitu/version_0/checkpoints/last.ckpt"
        with pytest.warns(UserWarning, match="1 of the test tiles have no known label .* NZ_test"):
            assert main(["test", *save, str(folder / "test"), "--checkpoint", str(last)]) == 0
        folders.append(folder)
    return folders


def read(run: Path, name: str) -> dict:
    return json.loads((run / "glavitu/version_0" / name).read_text())


def test_what_lies_below_changes_no_weight_no_score_and_no_curve(runs):
    one, other = (
        torch.load(run / "fit/glavitu/version_0/checkpoints/last.ckpt", weights_only=True)[
            "state_dict"
        ]
        for run in runs
    )
    assert all(torch.equal(one[key], other[key]) for key in one)
    one, other = (metrics(run / "fit") for run in runs)
    assert one == pytest.approx(other, rel=0, abs=0, nan_ok=True)
    for kind, name in (("fit", "calibration.json"), ("test", "report.json")):
        one, other = (read(run / kind, name) for run in runs)
        for key in ("checkpoint", "date", "options"):
            one.pop(key, None), other.pop(key, None)
        assert one == other


def test_known_pixels_alone_are_counted(runs):
    report = read(runs[0] / "test", "report.json")
    assert {row["region"]: row["pixels"] for row in report["regions"]} == {
        region: 64 * columns for region, columns in KNOWN.items() if columns
    }
    assert report["unlabelled"] == ["NZ_test_000"]
    assert set(report["calibration"]["regions"]) == {"SC", "HMA"}
    assert sum(read(runs[0] / "fit", "calibration.json")["bins"]["pixels"]) == 3 * 64 * 50


def test_two_processes_say_what_one_says(worlds, runs, tmp_path):
    last = runs[0] / "fit/glavitu/version_0/checkpoints/last.ckpt"
    options = ["--data.root", str(worlds[0]), *CPU, *DATA, "--checkpoint", str(last)]
    python(tmp_path, "-m", "glavitu", "test", *options, *TWO)
    one, two = (read(folder, "report.json") for folder in (runs[0] / "test", tmp_path / "runs"))
    for key in ("mean", "std", "regions", "subregions", "tiles", "calibration", "unlabelled"):
        assert one[key] == two[key]
    save = ["--trainer.logger.init_args.save_dir"]
    assert main(["validate", *options, *save, str(tmp_path / "one")]) == 0
    python(tmp_path, "-m", "glavitu", "validate", *options, *TWO, *save, "two")
    one, two = (metrics(tmp_path / name) for name in ("one", "two"))
    for key in ("val/loss", "val/iou"):
        assert two[key] == pytest.approx(one[key], rel=1e-6)


def test_labels_that_are_all_unknown_are_an_error(worlds, runs, tmp_path, capsys):
    root = shutil.copytree(worlds[0] / "test/NZ_test_000", tmp_path / "data/test/only").parents[1]
    last = runs[0] / "fit/glavitu/version_0/checkpoints/last.ckpt"
    command = ["test", "--data.root", str(root), *CPU, *DATA, "--checkpoint", str(last)]
    assert main(command) == 1
    assert "outlines.tif: all its pixels are unknown" in capsys.readouterr().err
