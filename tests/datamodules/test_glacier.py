import geopandas
import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from shapely.geometry import box

from glavitu.datamodules import GlacierDataModule
from glavitu.errors import InputError
from glavitu.features import FeatureGroup
from glavitu.windows import Window

from ..rasters import write_raster

GREY = FeatureGroup("grey", ("grey",), (0,), (1,))


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
    # Padding is 0, as is the first column of the scene.
    assert set(seen["train"].tolist()) == set(range(48))
    assert set(seen["val"].tolist()) == {0, *range(48, 64)}
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


def test_training_windows_are_augmented_and_validation_windows_are_not(scene):
    data = GlacierDataModule(
        str(scene),
        [GREY],
        train_bounds=bounds(0, 48),
        val_bounds=bounds(0, 48),
        test_bounds=bounds(64, 96),
        patch_size=16,
        batch_size=8,
        steps_per_epoch=6,
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
    assert eastward(module.train_images) < 1
