"""The configurations say what the protocol of Maslov et al. (2025) says."""

from pathlib import Path

import pytest
import torch
import yaml

from glavitu.cli import main
from glavitu.datamodules import GlacierDataModule
from glavitu.features import FEATURES
from glavitu.tasks import GlaViTUTask
from glavitu.transforms import Augmentation

CONFIGS = Path(__file__).parents[1] / "configs"
STRATEGIES = ("global", "regional", "finetuning", "region_encoding", "coordinate_encoding")
OPTICAL_DEM = ["optical", "dem"]
BACKSCATTER = ["co_pol_sar", "cross_pol_sar"]
TRACKS = {
    "optical_dem": OPTICAL_DEM,
    "sar": [*OPTICAL_DEM, *BACKSCATTER],
    "insar": [*OPTICAL_DEM, *BACKSCATTER, "in_sar"],
    "thermal": [*OPTICAL_DEM, "thermal"],
    "all": [*OPTICAL_DEM, *BACKSCATTER, "in_sar", "thermal"],
}


def files(strategy: str, track: str = "optical_dem") -> list[str]:
    paths = (CONFIGS / "strategies" / f"{strategy}.yaml", CONFIGS / "tracks" / f"{track}.yaml")
    return [f"--config={path}" for path in paths]


@pytest.fixture
def options(capsys):
    """Options of a strategy as `glavitu fit` understands them."""

    def read(strategy: str, track: str = "optical_dem") -> dict:
        with pytest.raises(SystemExit) as ended:
            main(["fit", *files(strategy, track), "--data.root=X", "--print_config"])
        assert ended.value.code == 0
        return yaml.safe_load(capsys.readouterr().out)

    return read


def test_the_recipe_for_few_tiles_is_one_cycle_and_mirrors(capsys):
    configs = [f"--config={CONFIGS / name}.yaml" for name in ("everest", "few_tiles")]
    with pytest.raises(SystemExit) as ended:
        main(["fit", *configs, "--data.root=X", "--print_config"])
    assert ended.value.code == 0
    config = yaml.safe_load(capsys.readouterr().out)
    model, trainer = config["model"], config["trainer"]
    assert model["cycle_epochs"] == trainer["max_epochs"]
    assert trainer["max_epochs"] % trainer["check_val_every_n_epoch"] == 0
    assert (model["mirrored"], model["batch_norm_momentum"]) == (True, 0.1)
    assert config["data"]["features"][0]["name"] == "rgb"  # of the scene's own file


def test_there_is_a_file_for_each_strategy_and_track():
    assert {path.stem for path in (CONFIGS / "strategies").iterdir()} == set(STRATEGIES)
    assert {path.stem for path in (CONFIGS / "tracks").iterdir()} == set(TRACKS)
    assert set(TRACKS["all"]) == set(FEATURES)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_training_is_the_published_one(options, strategy):
    config = options(strategy)
    model, data = config["model"], config["data"]
    finetuning = strategy == "finetuning"
    assert (data["patch_size"], data["batch_size"]) == (384, 8)
    assert data["balanced"] is False
    assert data["steps_per_epoch"] is None  # 4 x floor(patches / batch), see test_glacier.py
    assert model["lr"] == (5e-5 if finetuning else 5e-4)
    # Cycles of 10, 20, 40 and 80 epochs: restarts at 10, 30 and 70, the end at 150.
    cycles = [model["cycle_epochs"] * model["cycle_growth"] ** k for k in range(4)]
    starts = [sum(cycles[:k]) for k in range(5)]
    assert starts[:2] == [0, 80] if finetuning else starts == [0, 10, 30, 70, 150]
    assert config["trainer"]["max_epochs"] == (80 if finetuning else 150)
    assert config["trainer"]["accumulate_grad_batches"] == 1
    assert config["trainer"]["gradient_clip_val"] is None
    assert (model["gamma"], model["label_smoothing"]) == (2.0, 0.1)
    assert model["deep_supervision"] == 0.5
    assert model["model"] == "glavitu"
    assert not model["model_args"]
    assert model["batch_norm_momentum"] is None
    assert model["num_classes"] == 2
    iou, loss = config["checkpoint_iou"], config["checkpoint_loss"]
    assert (iou["monitor"], iou["mode"]) == ("val/iou", "max")
    assert (loss["monitor"], loss["mode"]) == ("val/loss", "min")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_augmentation_is_the_published_one(options, strategy):
    found = options(strategy)["data"]["augmentation"]
    assert found["vertical_flip"] == found["horizontal_flip"] == 0.5
    assert found["rotation"] == 0.75
    assert (found["crop"], found["crop_scale"]) == (0.5, 0.8)
    assert (found["contrast"], found["contrast_strength"]) == (0.5, 0.2)
    assert (found["occlusion"], found["occlusion_size"] * 384) == (0.5, 192)
    assert (found["shift"], found["shift_std"]) == (0.5, 0.025)
    assert (found["noise"], found["noise_std"]) == (0.5, 0.005)
    assert found["unknown_region"] == 0.1
    assert Augmentation(**found) == Augmentation()


def test_what_differs_between_strategies(options):
    read = {strategy: options(strategy) for strategy in STRATEGIES}
    location = {strategy: config["data"]["location"] for strategy, config in read.items()}
    assert location == {
        "global": None,
        "regional": None,
        "finetuning": None,
        "region_encoding": "region",
        "coordinate_encoding": "coordinates",
    }
    regions = {strategy: config["data"]["regions"] for strategy, config in read.items()}
    assert regions["regional"] == regions["finetuning"] == []  # the user names them
    assert regions["global"] is regions["region_encoding"] is regions["coordinate_encoding"] is None
    assert read["finetuning"]["model"]["initial_weights"] == "global.ckpt"
    for strategy in STRATEGIES:
        if strategy != "finetuning":
            assert read[strategy]["model"]["initial_weights"] is None


@pytest.mark.parametrize("track", TRACKS)
def test_tracks_name_the_feature_groups(options, track):
    assert options("global", track)["data"]["features"] == TRACKS[track]


def test_the_defaults_are_the_global_strategy(benchmark):
    task = GlaViTUTask()
    data = GlacierDataModule(str(benchmark))
    data.setup("fit")
    assert task.hparams["lr"] == 5e-4
    assert (data.size, data.batch_size) == (384, 8)
    # Four tiles of one patch each: 4 x floor(4 / 8) would be no step, so one takes its place.
    assert len(data.train_dataloader()) == 4


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_strategies_train_on_any_track(benchmark, tmp_path, capsys, strategy):
    tiny = [
        "--data.root",
        str(benchmark),
        '--model.model_args={"width": 8, "depth": 1, "heads": 2}',
        "--data.patch_size=32",
        "--data.batch_size=2",
        "--trainer.fast_dev_run=1",
        "--trainer.accelerator=cpu",
        "--trainer.logger=false",
        "--trainer.enable_progress_bar=false",
    ]
    if strategy == "regional":
        assert main(["fit", *files(strategy, "insar"), *tiny]) == 1
        assert "it has HMA HMA1, HMA HMA2, SC SC1, SC SC2" in capsys.readouterr().err
    if strategy in ("regional", "finetuning"):
        tiny += ["--data.regions=[HMA]"]
    if strategy == "finetuning":
        source = GlaViTUTask(
            TRACKS["insar"], model_args={"width": 8, "depth": 1, "heads": 2}, image_size=32
        )
        checkpoint = tmp_path / "global.ckpt"
        torch.save(
            {"state_dict": source.state_dict(), "hyper_parameters": dict(source.hparams)},
            checkpoint,
        )
        tiny += [f"--model.initial_weights={checkpoint}"]
    assert main(["fit", *files(strategy, "insar"), *tiny]) == 0
