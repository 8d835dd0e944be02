"""Numbers of a configuration that cannot be: a line that names the key."""

import math

import pytest
import yaml

from glavitu.callbacks import PredictionFigures, WorstTiles
from glavitu.cli import main
from glavitu.datamodules import GlacierDataModule
from glavitu.errors import InputError
from glavitu.transforms import Augmentation

from .test_glavitu import TINY, UNET, task

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("lr", [NAN, INF, -1.0, 0.0, "fast", True]),
        ("gamma", [NAN, INF, -1.0]),
        ("label_smoothing", [NAN, -0.1, 1.0, 5]),
        ("deep_supervision", [NAN, -1.0]),
        ("cycle_epochs", [0, -1, 1.5, NAN]),
        ("cycle_growth", [0, -2, NAN]),
        ("num_classes", [1, 0, -1, 2.5]),
        ("image_size", [0, -16, 8, 40, NAN, 32.5]),
        ("batch_norm_momentum", [NAN, 0, -1.0, INF]),
    ],
)
def test_of_a_task(key, values):
    for value in values:
        with pytest.raises(InputError, match=key):
            task(**{key: value})


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("width", [0, -8, 2.5, "wide", NAN]),
        ("depth", [0, -1, 1.5]),
        ("heads", [0, -1, 3, 16]),
        ("dropout", [5, -0.1, NAN, 1.0]),
    ],
)
def test_of_a_model(key, values):
    for value in values:
        with pytest.raises(InputError, match=key):
            task(model_args=TINY | {key: value})
        if key in ("width", "dropout"):
            with pytest.raises(InputError, match=key):
                task(**UNET | {"model_args": UNET["model_args"] | {key: value}})


def test_of_a_model_of_others():
    fpn = "segmentation_models_pytorch.FPN"
    arguments = {"encoder_name": "resnet18", "in_channels": 8, "classes": -2}
    with pytest.raises(InputError, match=r"the model segmentation_models_pytorch\.FPN cannot be"):
        task(model=fpn, model_args=arguments)


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("batch_size", [0, -1, 2.5, NAN]),
        ("patch_size", [0, -16, NAN]),
        ("num_workers", [-1, 0.5]),
        ("steps_per_epoch", [0, -4, NAN]),
    ],
)
def test_of_the_data(world, key, values):
    for value in values:
        with pytest.raises(InputError, match=rf"data\.{key}"):
            GlacierDataModule(str(world), **{key: value})


def test_of_the_augmentation_and_of_callbacks():
    for key in vars(Augmentation()):
        for value in (NAN, INF, -0.5):
            with pytest.raises(InputError, match=rf"data\.augmentation\.{key}"):
                Augmentation(**{key: value})
    for made in (WorstTiles, PredictionFigures):
        with pytest.raises(InputError, match="samples"):
            made(samples=-1)


@pytest.mark.parametrize(
    ("room", "key", "value"),
    [
        ("model", "lr", NAN),
        ("model", "gamma", -INF),
        ("model", "model_args", {"width": 4, "depth": 1, "heads": 3}),
        ("data", "batch_size", 0),
        ("data", "patch_size", 40),
        ("data", "augmentation", {"rotation": 1.5}),
        ("trainer", "accumulate_grad_batches", 0),
        ("trainer", "gradient_clip_val", NAN),
        ("trainer", "max_epochs", -7),
        ("trainer", "overfit_batches", -1),
        ("checkpoint_last", "every_n_epochs", -1),
        ("worst_tiles", "samples", -1),
    ],
)
def test_of_a_configuration_are_one_line(world, tmp_path, capsys, room, key, value):
    config = {"data": {"root": str(world), "patch_size": 32}}
    config.setdefault(room, {})[key] = value
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(config))
    assert main(["fit", "--config", "bad.yaml", "--trainer.accelerator", "cpu"]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    named = {"augmentation": "augmentation.rotation", "model_args": "heads"}
    assert named.get(key, key) in line
