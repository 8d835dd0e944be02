import json
import os
import re
import subprocess
import sys
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
import torch
import yaml

from glavitu.cli import main
from glavitu.tasks import GlaViTUTask

from .models.keras_files import layout, write_weights

TINY = [
    *("--model.model_args", json.dumps({"width": 8, "depth": 1, "heads": 2})),
    *("--data.patch_size", "32", "--data.batch_size", "2", "--data.steps_per_epoch", "2"),
    *("--trainer.max_epochs", "1", "--trainer.accelerator", "cpu"),
    *("--trainer.enable_progress_bar", "false"),
]


@pytest.fixture(scope="module")
def run(world, tmp_path_factory):
    """A run of `glavitu fit`, made once."""
    folder = tmp_path_factory.mktemp("run")
    arguments = ["fit", *TINY, "--data.root", str(world)]
    arguments += ["--trainer.logger.init_args.save_dir", str(folder)]
    assert main(arguments) == 0
    return folder / "glavitu" / "version_0"


def rasters(world) -> list[str]:
    tile = world / "test" / "HMA_test_000"
    return ["--optical", str(tile / "optical.tif"), "--dem", str(tile / "dem.tif")]


def test_importing_is_cheap_and_help_needs_no_torch():
    code = (
        "import sys, glavitu, glavitu.cli\n"
        "try: glavitu.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'lightning', 'numpy', 'rasterio', 'torchgeo'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(word in done.stdout for word in ("demo", "fit", "test", "map", "import-keras"))


def test_the_model_needs_torch_alone():
    code = (
        "import sys\nfrom glavitu.models import GlaViTU\nGlaViTU(width=8, depth=1)\n"
        "heavy = {'lightning', 'torchgeo', 'rasterio', 'kornia', 'h5py'} & set(sys.modules)\n"
        "heavy |= {'segmentation_models_pytorch'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_all_names_of_the_package_load():
    import glavitu

    for name in glavitu.__all__:
        assert getattr(glavitu, name) is not None


def test_python_m_is_the_same():
    done = subprocess.run(
        [sys.executable, "-m", "glavitu", "--version"], capture_output=True, text=True
    )
    assert done.stdout.startswith("glavitu 0.")


COMMANDS = [
    *("demo", "fit", "validate", "test", "predict", "calibrate", "map", "compare", "report"),
    *("configs", "info", "convert", "import-keras"),
]


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = re.findall(
        r"^  ([a-z][a-z-]*)(?: {2,}|$)", capsys.readouterr().out, flags=re.MULTILINE
    )
    assert sorted(listed) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as exit_:
        main([command, "--help"])
    assert exit_.value.code == 0
    assert len(capsys.readouterr().out.splitlines()) > 5


#: An option with its values, and the help beside it or on the lines below.
OPTION = re.compile(r"^  (?:-\w[^,\n]*, )?(--[\w.-]+)(.*(?:\n {8,}.*)*)", re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    out = capsys.readouterr().out
    found = OPTION.findall(out.partition("\noptions:")[2])
    explained = {}
    for option, rest in found:
        # What stands between the option's values and what jsonargparse tells of type and default.
        words = re.split(r" {2,}|\n", rest, maxsplit=1)[-1]
        words = re.sub(r"\((required|default|type)\b.*", "", words, flags=re.DOTALL)
        explained[option] = len(words.split()) > 1
    assert len(found) > (100 if command in ("fit", "validate", "test", "predict") else 0)
    assert [option for option, has in explained.items() if not has] == []
    assert "lacks type and help" not in out


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict"])
def test_help_offers_no_option_that_does_nothing(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    out = capsys.readouterr().out
    assert "--weights_only" not in out
    assert "--return_predictions" not in out
    assert ("[--verbose " in out) == (command == "validate")
    assert not re.search(r"--ckpt_path\b", out)
    explained = out.partition("  --checkpoint CHECKPOINT")[2].partition("\n  --")[0]
    assert "last.ckpt" in explained
    assert "registry" not in explained


def test_a_configuration_of_an_older_run_is_read(world, tmp_path):
    # They had options that are no longer shown.
    (tmp_path / "old.yaml").write_text("weights_only: true\n")
    arguments = ["fit", "--config", "old.yaml", *TINY, "--trainer.fast_dev_run", "1"]
    assert main([*arguments, "--trainer.logger", "false", "--data.root", str(world)]) == 0


def test_fit_leaves_checkpoints_metrics_figures_and_its_config(run):
    checkpoints = {path.name for path in (run / "checkpoints").iterdir()}
    assert checkpoints == {"last.ckpt", "best_iou.ckpt", "best_loss.ckpt"}
    metrics = pd.read_csv(run / "metrics.csv")
    assert metrics[["val/loss", "val/iou"]].dropna().shape == (1, 2)
    assert (run / "figures" / "val_sample_0.png").stat().st_size > 5000
    assert yaml.safe_load((run / "config.yaml").read_text())["seed_everything"] == 0


@pytest.mark.slow
def test_a_printed_config_runs(world, tmp_path):
    arguments = ["fit", *TINY, "--data.root", str(world), "--print_config"]
    done = subprocess.run(
        [sys.executable, "-m", "glavitu", *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (tmp_path / "config.yaml").write_text(done.stdout)
    where = ["--trainer.logger.init_args.save_dir", str(tmp_path / "runs")]
    assert main(["fit", "--config", str(tmp_path / "config.yaml"), *where]) == 0
    assert (tmp_path / "runs/glavitu/version_0/checkpoints/last.ckpt").exists()


def test_validate_and_test_need_the_checkpoint_and_the_data_alone(world, run, tmp_path, capsys):
    for command in ("validate", "test"):
        arguments = [command, "--checkpoint", str(run / "checkpoints/last.ckpt")]
        arguments += ["--data.root", str(world)]
        arguments += ["--trainer.logger.init_args.save_dir", str(tmp_path / command)]
        assert main(arguments) == 0
    report = pd.read_csv(tmp_path / "test/glavitu/version_0/report.csv")
    assert report["region"].tolist() == ["HMA", "SC"]
    assert report["pixels"].tolist() == [64 * 64] * 2
    assert "HMA" in capsys.readouterr().out


@pytest.mark.slow
def test_a_stopped_run_goes_on_from_its_last_epoch(world, run, tmp_path):
    arguments = ["fit", "--config", str(run / "config.yaml")]
    arguments += ["--checkpoint", str(run / "checkpoints/last.ckpt")]
    arguments += ["--trainer.max_epochs", "3"]
    arguments += ["--trainer.logger.init_args.save_dir", str(tmp_path)]
    assert main(arguments) == 0
    metrics = pd.read_csv(tmp_path / "glavitu/version_0/metrics.csv")
    assert metrics.dropna(subset="val/loss")["epoch"].tolist() == [1, 2]


@pytest.mark.slow
def test_a_feature_group_of_ones_own_goes_from_yaml_to_map(world, tmp_path):
    group = {"name": "heat", "channels": ["kelvin"], "minimum": [200], "maximum": [320]}
    data = {"root": str(world), "features": [group, "in_sar"], "files": {"heat": "thermal.tif"}}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"data": data}))
    assert main(["fit", "--config", "own.yaml", *TINY]) == 0
    run = tmp_path / "runs/glavitu/version_0"
    checkpoint = str(run / "checkpoints/last.ckpt")
    # The configuration that the run kept, and the checkpoint, both know the group.
    config = ["--config", str(run / "config.yaml")]
    assert main(["test", *config, "--checkpoint", checkpoint]) == 0
    tile = world / "test/HMA_test_000"
    arguments = ["map", "--checkpoint", checkpoint, "--in-sar", str(tile / "in_sar.tif")]
    arguments += ["--feature", f"heat={tile / 'thermal.tif'}", "--output", "out"]
    assert main(arguments) == 0
    assert (tmp_path / "out/outlines.gpkg").exists()


def test_predict_writes_a_raster_for_each_tile(world, run, tmp_path):
    arguments = ["predict", "--checkpoint", str(run / "checkpoints/last.ckpt")]
    arguments += ["--data.root", str(world)]
    arguments += ["--prediction_writer.output", str(tmp_path)]
    arguments += ["--trainer.logger", "false"]
    assert main(arguments) == 0
    with (
        rasterio.open(tmp_path / "HMA_test_000.tif") as prediction,
        rasterio.open(world / "test/HMA_test_000/dem.tif") as dem,
    ):
        assert prediction.descriptions == ("probability", "confidence")
        assert (prediction.crs, prediction.transform) == (dem.crs, dem.transform)
        values = prediction.read()
    assert ((values >= 0) & (values <= 1)).all()


def test_test_and_map_of_a_tile_agree(world, run, tmp_path):
    arguments = ["map", "--checkpoint", str(run / "checkpoints/last.ckpt"), *rasters(world)]
    assert main([*arguments, "--device", "cpu", "--output", str(tmp_path / "map")]) == 0
    from glavitu.datasets import GlacierRasters, TileWindow

    dataset = GlacierRasters(world / "test/HMA_test_000")
    sample = dataset[TileWindow(0, dataset.extents[0])]
    task = GlaViTUTask.from_checkpoint(run / "checkpoints/last.ckpt")
    with torch.inference_mode():
        expected = task.predict_tiles({"image": sample["image"][None]})[0].argmax(0).numpy()
    with rasterio.open(tmp_path / "map/outlines.tif") as file:
        assert (file.read(1) == expected).mean() > 0.9999
    outlines = geopandas.read_file(tmp_path / "map/outlines.gpkg")
    assert {"area_km2", "mean_confidence"} <= set(outlines.columns)
    assert (tmp_path / "map/preview.png").exists()
    assert (tmp_path / "map/confidence.tif").exists()


def test_wandb_logs_offline(world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    logger = {
        "class_path": "lightning.pytorch.loggers.WandbLogger",
        "init_args": {"save_dir": str(tmp_path), "project": "glavitu"},
    }
    config = {"trainer": {"logger": logger}}
    Path("wandb.yaml").write_text(yaml.safe_dump(config))
    arguments = ["fit", "--config", "wandb.yaml", *TINY, "--data.root", str(world)]
    assert main(arguments) == 0
    # The run's files are in a folder of its own; what lies in the current folder is left alone.
    assert [path.name for path in tmp_path.glob("*.yaml")] == ["wandb.yaml"]
    assert len(list(tmp_path.glob("glavitu/*/config.yaml"))) == 1
    assert len(list(tmp_path.glob("glavitu/*/checkpoints/last.ckpt"))) == 1
    (offline,) = (tmp_path / "wandb").glob("offline-run-*")
    assert list((offline / "files/media/images").glob("val_sample_0*.png"))


def import_keras(folder) -> Path:
    table = layout("regionencoding_optical_dem")
    weights = write_weights(folder / "glavitu_regionencoding_weights.h5", table)
    checkpoint = folder / "imported.ckpt"
    arguments = ["import-keras", str(weights), "--features", "optical", "dem"]
    assert main([*arguments, "--output", str(checkpoint)]) == 0
    return checkpoint


def test_keras_weights_become_a_checkpoint(tmp_path, capsys):
    checkpoint = torch.load(import_keras(tmp_path), weights_only=True)
    assert "location region" in capsys.readouterr().out
    # Of their training no more is known than the published minima and maxima.
    assert checkpoint["training_values"]["windows"] == 0
    assert checkpoint["training_values"]["high"].tolist() == [1.0] * 46


@pytest.mark.slow
def test_imported_keras_weights_map_test_and_finetune(world, tmp_path):
    checkpoint = import_keras(tmp_path)
    data = ["--data.root", str(world)]
    data += ["--trainer.accelerator", "cpu", "--trainer.logger", "false"]
    data += ["--trainer.enable_progress_bar", "false"]
    arguments = ["test", "--checkpoint", str(checkpoint), *data]
    assert main([*arguments, "--region_report.output", str(tmp_path)]) == 0
    assert pd.read_csv(tmp_path / "report.csv")["pixels"].tolist() == [64 * 64] * 2
    arguments = ["map", "--checkpoint", str(checkpoint), "--region", "HMA", *rasters(world)]
    assert main([*arguments, "--output", str(tmp_path / "map")]) == 0
    with rasterio.open(tmp_path / "map/outlines.tif") as file:
        assert set(np.unique(file.read(1))) <= {0, 1}
    arguments = ["fit", "--model.initial_weights", str(checkpoint), *data]
    arguments += ["--data.location", "region"]
    arguments += ["--trainer.fast_dev_run", "true", "--data.batch_size", "2"]
    assert main([*arguments, "--model.lr", "5e-5"]) == 0


class TestErrors:
    """Bad input ends with one message and status 1, without a traceback."""

    def check(self, capsys, arguments, *expected):
        assert main(arguments) == 1
        error = capsys.readouterr().err
        assert error.splitlines()[-1].startswith("glavitu: error: ")
        assert "Traceback" not in error
        for text in expected:
            assert text in error

    def test_missing_raster(self, world, run, tmp_path, capsys):
        checkpoint = str(run / "checkpoints/last.ckpt")
        arguments = ["map", "--checkpoint", checkpoint, "--optical", "gone.tif"]
        arguments += [*rasters(world)[2:], "--output", str(tmp_path / "map")]
        self.check(capsys, arguments, "gone.tif", "does not exist")
        assert not (tmp_path / "map").exists()

    def test_missing_group(self, world, run, tmp_path, capsys):
        checkpoint = str(run / "checkpoints/last.ckpt")
        arguments = ["map", "--checkpoint", checkpoint, *rasters(world)[:2]]
        self.check(capsys, [*arguments, "--output", str(tmp_path)], "no file for dem")

    @pytest.mark.parametrize("feature", ["rgb", "=a.tif", "rgb="])
    def test_feature_without_a_file(self, run, tmp_path, capsys, feature):
        checkpoint = str(run / "checkpoints/last.ckpt")
        arguments = ["map", "--checkpoint", checkpoint, "--feature", feature]
        self.check(capsys, [*arguments, "--output", str(tmp_path)], "NAME=FILE")

    @pytest.mark.parametrize("command", ["validate", "test", "predict"])
    def test_no_checkpoint(self, world, capsys, command):
        self.check(capsys, [command, "--data.root", str(world)], command, "--checkpoint")

    @pytest.mark.parametrize("word", ["best", "hpc", "registry", "registry:model"])
    def test_words_that_stand_for_no_checkpoint(self, world, capsys, word):
        arguments = ["test", "--data.root", str(world), "--checkpoint", word]
        self.check(capsys, arguments, f"--checkpoint {word}", "best_iou.ckpt", "or last")

    def test_unpickling(self, world, run, capsys):
        arguments = ["test", "--data.root", str(world), "--weights_only", "false"]
        arguments += ["--checkpoint", str(run / "checkpoints/last.ckpt")]
        self.check(capsys, arguments, "--weights_only false", "leave the option out")

    def test_data_that_is_not_named(self, capsys):
        config = Path(__file__).parents[1] / "configs" / "everest.yaml"
        with pytest.raises(SystemExit) as ended:
            main(["fit", "--config", str(config)])
        assert ended.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "data.root" in line
        assert "required" in line

    def test_a_checkpoint_that_is_not_there(self, world, capsys):
        arguments = ["test", "--checkpoint", "none.ckpt", "--data.root", str(world)]
        self.check(capsys, arguments, "none.ckpt", "no such checkpoint")

    def test_text_as_checkpoint(self, tmp_path, capsys):
        (tmp_path / "own.yaml").write_text("a: 1\nb: [2]\n")
        arguments = ["map", "--checkpoint", "own.yaml", "--output", str(tmp_path)]
        self.check(capsys, arguments, "own.yaml: cannot be read as a checkpoint")

    def test_output_that_cannot_be_made(self, world, run, capsys):
        checkpoint = str(run / "checkpoints/last.ckpt")
        arguments = ["map", "--checkpoint", checkpoint, *rasters(world)]
        self.check(
            capsys, [*arguments, "--output", "/dev/null/x"], "/dev/null/x", "nothing can be written"
        )

    def test_patch_size(self, world, capsys):
        arguments = ["fit", "--data.root", str(world), "--data.patch_size", "100"]
        self.check(capsys, arguments, "data.patch_size", "100", "such as 96")

    def test_missing_checkpoint(self, tmp_path, capsys):
        arguments = ["map", "--checkpoint", "none.ckpt", "--output", str(tmp_path)]
        self.check(capsys, arguments, "none.ckpt", "no such checkpoint")

    def test_truncated_weights(self, tmp_path, capsys):
        weights = write_weights(tmp_path / "w.h5", layout("global_optical_dem"))
        os.truncate(weights, weights.stat().st_size // 2)
        arguments = ["import-keras", str(weights), "--features", "optical", "dem"]
        self.check(capsys, [*arguments, "--output", str(tmp_path / "o.ckpt")], "w.h5")
        assert not (tmp_path / "o.ckpt").exists()

    def test_unknown_feature(self, world, capsys):
        arguments = ["fit", "--data.root", str(world), "--data.features", "[optical,radar]"]
        self.check(capsys, arguments, "'radar'", "known are optical")

    def test_missing_data(self, tmp_path, capsys):
        arguments = ["fit", "--data.root", str(tmp_path), *TINY, "--trainer.logger", "false"]
        self.check(capsys, arguments, str(tmp_path / "train"), "no such folder")

    def test_checkpoint_of_other_features(self, world, run, capsys):
        arguments = ["test", "--checkpoint", str(run / "checkpoints/last.ckpt")]
        arguments += ["--data.root", str(world)]
        arguments += ["--data.features", "[optical,thermal]", "--trainer.logger", "false"]
        self.check(capsys, arguments, "optical, dem", "optical, thermal", "data.features")
