"""A task that predicts what the image shows, and tiles with the counts that a test asks for."""

from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import LightningModule

from glavitu.datamodules import GlacierDataModule
from glavitu.features import FeatureGroup
from glavitu.metrics import RegionConfusion

from ..raster_files import UTM, write_raster

PLAIN = FeatureGroup("plain", ("value",), (0.0,), (1.0,))


class Echo(LightningModule):
    """Predicts a glacier with the probability that the only channel of the image holds."""

    features = (PLAIN,)

    def __init__(self) -> None:
        super().__init__()
        self.test_confusion = RegionConfusion()

    def on_test_epoch_start(self) -> None:
        self.test_confusion.reset()

    def test_step(self, batch, batch_idx):
        if not batch["image"].numel():
            return None
        glacier = batch["image"][:, 0]
        probabilities = torch.stack([1 - glacier, glacier], dim=1)
        self.test_confusion.update(probabilities.argmax(1), batch["mask"], batch["region"])
        return probabilities


def write_tile(
    root: Path, name: str, counts: tuple[int, int, int, int], region: str, subregion: str = ""
) -> None:
    """Write a test tile of 40 pixels.

    Args:
        root: Root of the data.
        name: Name of the tile.
        counts: TP, FP, FN and TN that Echo shall have in it.
        region: Its region.
        subregion: Its subregion.
    """
    prediction = np.repeat([0.9, 0.9, 0.1, 0.1], counts).astype(np.float32).reshape(4, 10)
    truth = np.repeat([1, 0, 1, 0], counts).astype(np.uint8).reshape(4, 10)
    grid = ("EPSG:32645", UTM, None)
    folder = root / "test" / name
    write_raster(folder / "plain.tif", prediction, *grid, region=region, subregion=subregion)
    write_raster(folder / "outlines.tif", truth, *grid)


def data_module(root: Path) -> GlacierDataModule:
    return GlacierDataModule(str(root), features=[PLAIN], patch_size=16)
