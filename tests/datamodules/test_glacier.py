import dataclasses
import multiprocessing
import shutil

import geopandas
import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch import LightningModule, Trainer
from shapely.geometry import box

from glavitu.cli import main
from glavitu.datamodules import GlacierDataModule
from glavitu.errors import InputError
from glavitu.features import FeatureGroup
from glavitu.transforms import Augmentation
from glavitu.windows import Window

from ..raster_files import write_raster

GREY = FeatureGroup("grey", ("grey",), (0,), (1,))
UNCHANGED = Augmentation(0, 0, 0, crop=0, contrast=0, occlusion=0, shift=0, noise=0)


@pytest.fixture
def scene(tmp_path):
    """One scene of 64 x 96 pixels whose values tell their column."""
    columns = np.broadcast_to(np.arange(96, dtype=np.float32) / 96, (64, 96))
    write_raster(tmp_path / "grey.tif", columns.copy())
    outline = box(500_000, 3_098_080, 501_440, 3_100_000)  # the western half
    geopandas.GeoDataFrame(geometry=[outline], crs=32645).to_file(tmp_path / "outlines.gpkg")
    return tmp_path


def bounds(first, last):
    return [500_000 + 30 * first, 3_098_080, 500_000 + 30 * last, 3_100_000]


def test_folders_are_splits(world):
    data = GlacierDataModule(str(world), patch_size=32, batch_size=2)
    data.setup("fit")
    data.setup("test")
    assert len(data.train_dataset.tiles) == 4
    assert len(data.val_dataset.tiles) == len(data.test_dataset.tiles) == 2
    assert {tile.name[:3] for tile in data.train_dataset.tiles} == {"HMA", "SC_"}


def test_steps_per_epoch_are_the_published_ones_or_set(world):
    # Four tiles of 64 x 64, padded to 3 x 3 patches: 4 x floor(36 / 8) steps.
    data = GlacierDataModule(str(world), patch_size=32, batch_size=8)
    data.setup("fit")
    assert len(data.train_dataloader()) == 16
    data = GlacierDataModule(str(world), patch_size=32, batch_size=6, steps_per_epoch=3)
    data.setup("fit")
    assert len(data.train_dataloader()) == 3


@pytest.mark.slow
def test_the_benchmarks_files_and_rasters_give_the_same_batches(world, benchmark):
    parts = []
    for root, padding in ((world, "land"), (benchmark, None)):
        data = GlacierDataModule(
            str(root), patch_size=32, batch_size=6, location="region", padding=padding
        )
        torch.manual_seed(0)
        for stage in ("fit", "test", "predict"):
            data.setup(stage)
        loaders = (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
        parts.append(
            [batch for loader in (*loaders, data.predict_dataloader()) for batch in loader]
        )
    for ours, theirs in zip(*parts, strict=True):
        for key in ("image", "mask", "region", "location", "tile"):
            assert (key in ours) <= (key in theirs)
            if key in ours:
                assert torch.equal(ours[key], theirs[key])


@pytest.mark.parametrize(
    "options",
    [
        {"files": {"optical": "o.tif"}},
        {"outlines": "*.gpkg"},
        {"region": "HMA"},
        {"val_bounds": [0, 0, 1, 1]},
    ],
)
def test_what_is_for_rasters_is_refused_for_the_benchmarks_files(benchmark, options):
    (name,) = options
    with pytest.raises(InputError, match=rf"HDF5 files, but data\.{name} is for rasters only"):
        GlacierDataModule(str(benchmark), **options).setup("fit")


@pytest.mark.parametrize("form", ["world", "benchmark"])
def test_regions_choose_the_tiles(form, request):
    root = str(request.getfixturevalue(form))
    data = GlacierDataModule(root, patch_size=32, regions=["HMA"])
    for stage in ("fit", "test", "predict"):
        data.setup(stage)
    for name in ("train", "val", "test", "predict"):
        assert {tile.region for tile in getattr(data, f"{name}_dataset").tiles} == {5}
    with pytest.raises(InputError, match=r"data\.subregions"):
        GlacierDataModule(root, subregions=["SC9"]).setup("fit")


def test_balanced_training_sees_all_regions_equally(world, tmp_path):
    shutil.copytree(world, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "train" / "HMA_train_001")
    shares = {}
    for balanced in (False, True):
        options = {"patch_size": 16, "batch_size": 8, "steps_per_epoch": 250}
        data = GlacierDataModule(str(tmp_path), balanced=balanced, **options)
        data.setup("fit")
        tiles = torch.tensor([window.tile for window in data.train_sampler])
        regions = torch.tensor([tile.region for tile in data.train_dataset.tiles])
        shares[balanced] = float((regions[tiles] == 5).float().mean())
    # Four standard deviations of 2000 draws.
    assert shares[False] == pytest.approx(1 / 3, abs=0.043)
    assert shares[True] == pytest.approx(1 / 2, abs=0.045)


def test_training_windows_do_not_depend_on_workers_nor_draw_from_the_training(world):
    batches = []
    for workers in (0, 2):
        torch.manual_seed(4)
        options = {"patch_size": 32, "batch_size": 2, "steps_per_epoch": 3}
        data = GlacierDataModule(str(world), num_workers=workers, **options)
        data.setup("fit")
        before = torch.get_rng_state()
        batches.append([batch["image"] for batch in data.train_dataloader()])
        assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(*pair) for pair in zip(*batches, strict=True))


@pytest.mark.slow
def test_workers_are_not_forked_from_a_process_that_runs_cuda(world, monkeypatch):
    if multiprocessing.get_start_method() != "fork":
        pytest.skip("workers are not forked here anyway")
    options = {"patch_size": 32, "batch_size": 2, "steps_per_epoch": 2, "num_workers": 1}
    loaders = []
    for runs, start in ((False, None), (True, "forkserver")):
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda runs=runs: runs)
        torch.manual_seed(4)
        data = GlacierDataModule(str(world), **options)
        data.setup("fit")
        loaders.append(data.train_dataloader())
        for loader in (loaders[-1], data.whole_tiles("val")):
            context = loader.multiprocessing_context
            assert (context and context.get_start_method()) == start
    pairs = [*zip(*loaders, strict=True)]
    assert len(pairs) == 2
    assert all(torch.equal(forked["image"], other["image"]) for forked, other in pairs)


@pytest.mark.parametrize(("steps", "expected"), [(None, 8), (5, 2), (1, 1)])
def test_steps_are_counted_over_all_processes(world, steps, expected):
    options = {"patch_size": 32, "batch_size": 8, "steps_per_epoch": steps}
    data = GlacierDataModule(str(world), **options)
    # Not launched: this process is the first of two.
    data.trainer = Trainer(accelerator="cpu", strategy="ddp", devices=2, logger=False)
    data.setup("fit")
    assert len(data.train_dataloader()) == expected


def test_augmentations_are_set_one_by_one(world, tmp_path, capsys):
    (tmp_path / "a.yaml").write_text("data: {augmentation: {noise: 0, crop_scale: 0.9}}")
    arguments = ["fit", "--data.root", str(world), "--config", "a.yaml"]
    with pytest.raises(SystemExit):
        main([*arguments, "--data.augmentation.shift", "0.25", "--print_config"])
    printed = yaml.safe_load(capsys.readouterr().out)["data"]["augmentation"]
    expected = Augmentation(noise=0, crop_scale=0.9, shift=0.25)
    assert printed == dataclasses.asdict(expected)
    assert main([*arguments, "--data.augmentation.shift", "2"]) == 1
    assert "data.augmentation.shift is 2.0" in capsys.readouterr().err


def test_bounds_split_one_scene_without_leaks(scene):
    data = GlacierDataModule(
        str(scene),
        [GREY],
        train_bounds=bounds(0, 48),
        val_bounds=bounds(48, 64),
        test_bounds=bounds(64, 96),
        patch_size=16,
        batch_size=4,
    )
    data.setup("fit")
    data.setup("test")
    seen = {
        name: torch.cat([(batch["image"] * 96).round().flatten() for batch in loader]).unique()
        for name, loader in (
            ("train", data.train_dataloader()),
            ("val", data.val_dataloader()),
            ("test", data.test_dataloader()),
        )
    }
    assert set(seen["train"].tolist()) == set(range(48))
    assert set(seen["val"].tolist()) == set(range(48, 64))
    assert set(seen["test"].tolist()) == set(range(64, 96))


def test_part_of_the_bounds_is_refused(scene):
    data = GlacierDataModule(str(scene), [GREY], train_bounds=bounds(0, 48), patch_size=16)
    with pytest.raises(InputError, match="val_bounds is not set"):
        data.setup("fit")


def test_test_tiles_come_whole(scene):
    data = GlacierDataModule(
        str(scene),
        [GREY],
        train_bounds=bounds(0, 48),
        val_bounds=bounds(48, 64),
        test_bounds=bounds(64, 96),
    )
    data.setup("test")
    (batch,) = data.test_dataloader()
    assert batch["image"].shape == (1, 1, 64, 32)
    assert data.test_dataset.extents == [Window(0, 64, 64, 32)]


class Recorder(LightningModule):
    """Keeps what it is given."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.train_images, self.val_images = [], []

    def training_step(self, batch, batch_idx):
        self.train_images.append(batch["image"])
        return self.weight * 0

    def validation_step(self, batch, batch_idx):
        self.val_images.append(batch["image"])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.parametrize("augmentation", [Augmentation(occlusion=0), UNCHANGED])
def test_training_windows_are_augmented_as_asked_and_validation_windows_are_not(
    scene, augmentation
):
    data = GlacierDataModule(
        str(scene),
        [GREY],
        train_bounds=bounds(0, 48),
        val_bounds=bounds(0, 48),
        test_bounds=bounds(64, 96),
        patch_size=16,
        batch_size=8,
        steps_per_epoch=6,
        augmentation=augmentation,
    )
    module = Recorder()
    trainer = Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    trainer.fit(module, data)

    def eastward(images):
        """Share of windows whose values grow to the right, as in the scene."""
        images = torch.cat(images)[:, 0]
        inside = images[(images > 0).all(dim=(1, 2))]  # without padding
        assert len(inside) > 3
        return float((inside[:, 8, -1] > inside[:, 8, 0] + 0.1).float().mean())

    assert eastward(module.val_images) == 1
    assert (eastward(module.train_images) == 1) == (augmentation == UNCHANGED)


@pytest.mark.parametrize(
    ("form", "padding", "label"),
    [
        ("world", None, None),
        ("world", "land", 0),
        ("benchmark", None, 0),
        ("benchmark", "unknown", None),
    ],
)
def test_padding_is_land_in_the_benchmark_and_unknown_elsewhere(form, padding, label, request):
    root = str(request.getfixturevalue(form))
    data = GlacierDataModule(root, patch_size=48, batch_size=6, padding=padding)
    data.setup("fit")
    counted = 0
    for batch in data.val_dataloader():
        beyond = (batch["image"] == 0).all(dim=1)
        if label is None:  # windows lie inside the tiles of 64 x 64, and overlap
            assert not beyond.any()
        else:
            assert (batch["mask"][beyond] == label).all()
        counted += int((batch["mask"] != 255).sum())
    tiles = len(data.val_dataset.tiles)
    assert counted == tiles * (64**2 if label is None else 96**2)


class Kept(Recorder):
    """Keeps the places of the windows of each epoch."""

    def __init__(self):
        super().__init__()
        self.windows = []

    def training_step(self, batch, batch_idx):
        self.windows.append((self.current_epoch, batch["bounds"].tolist()))
        return super().training_step(batch, batch_idx)


@pytest.mark.parametrize(("batches", "expected"), [(2, 2), (0.5, 4)])
def test_few_batches_are_trained_on_again_and_again(world, batches, expected):
    module = Kept()
    data = GlacierDataModule(str(world), patch_size=32, batch_size=2, steps_per_epoch=8)
    Trainer(
        max_epochs=3,
        overfit_batches=batches,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    ).fit(module, data)
    epochs = [[w for e, w in module.windows if e == epoch] for epoch in range(3)]
    assert len(epochs[0]) == expected
    assert epochs[0] == epochs[1] == epochs[2]
