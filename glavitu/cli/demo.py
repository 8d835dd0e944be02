"""The whole way in a few minutes: a synthetic world, training, a test and a map."""

import logging
import time
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio
import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Column

from glavitu.callbacks import ConfidenceCalibration, RegionReport
from glavitu.cli.quiet import quieten_lightning
from glavitu.datamodules import GlacierDataModule
from glavitu.datasets.find_tiles import RasterTile
from glavitu.datasets.glacier_rasters import GlacierRasters
from glavitu.datasets.samplers import TileWindow
from glavitu.features import OPTICAL
from glavitu.files import opened, when_complete
from glavitu.mapping import MapResult, map_scene
from glavitu.metrics import RegionConfusion
from glavitu.pictures import (
    MASK_COLOURS,
    composite,
    shown_mask,
    stretched,
)
from glavitu.synthetic.world import SyntheticGlaciers, band_ratio
from glavitu.tasks import GlaViTUTask
from glavitu.tasks.checkpoints import CompleteCheckpoints
from glavitu.terminal import numeric, print_table

#: What anybody has at hand, so that the checkpoint maps a scene of theirs too.
FEATURES = ("optical", "dem")
REGIONS = ("SC", "HMA", "NZ")
MAPPED_REGION = "HMA"


def demo(output: str | Path = "glavitu_demo", seed: int = 0) -> None:
    """Write a synthetic world, train a small GlaViTU on it, test it and map a scene.

    Args:
        output: Folder for all files.
        seed: Seed of world and training.
    """
    with opened(Path(output)):
        _demo(Path(output), seed)


def _demo(output: Path, seed: int) -> None:
    start = time.perf_counter()
    console = Console(markup=False, emoji=False)
    quieten_lightning()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    seed_everything(seed, verbose=False)

    console.rule("1. A synthetic world of three regions")
    world = SyntheticGlaciers(REGIONS, tiles=(8, 2, 3), size=256, seed=seed)
    root = world.write_geotiffs(output / "world")

    console.rule("2. Training a small GlaViTU")
    data = GlacierDataModule(str(root), FEATURES, patch_size=128, batch_size=8, steps_per_epoch=25)
    task = GlaViTUTask(
        FEATURES,
        model_args={"width": 16, "depth": 4, "heads": 4},
        image_size=128,
        lr=2e-3,
        cycle_epochs=16,
        # At the published momentum, 400 steps are too few for running statistics to settle.
        batch_norm_momentum=0.1,
    )
    best = ModelCheckpoint(
        output, "demo", monitor="val/iou", mode="max", enable_version_counter=False
    )
    trainer = Trainer(
        max_epochs=16,
        accelerator="cpu",
        logger=False,
        callbacks=[best, ConfidenceCalibration(), RegionReport(str(output)), RichProgressBar()],
        num_sanity_val_steps=0,
        enable_model_summary=False,
        default_root_dir=output,
        plugins=[CompleteCheckpoints()],
    )
    trainer.fit(task, datamodule=data)

    console.rule("3. Test on other places")
    checkpoint = output / "demo.ckpt"
    task = GlaViTUTask.from_checkpoint(checkpoint)
    trainer.test(task, datamodule=data, verbose=False)
    dataset = GlacierRasters(root / "test", FEATURES)
    _compare(task.test_confusion.table(), band_ratio_scores(dataset))

    console.rule(f"4. A map of a scene in {MAPPED_REGION}")
    tile = next(t for t in dataset.tiles if t.name.startswith(MAPPED_REGION))
    assert isinstance(tile.files, dict)
    # The demo makes its world anew, so that an older map is of other files.
    result = map_scene(task, tile.files, output / "map", overwrite=True)
    figure = output / "demo.png"
    draw(dataset, dataset.tiles.index(tile), result, figure)

    minutes = (time.perf_counter() - start) / 60
    console.rule(f"Done in {minutes:.1f} minutes")
    rasters = " ".join(
        f"--{option} {tile.files[group]}"
        for option, group in (("optical", "optical"), ("dem", "dem"))
    )
    console.print(
        f"  {figure}: image, truth, prediction and confidence\n"
        f"  {result.outlines}: {result.glaciers} glacier outlines, {result.area_km2:.1f} km2\n"
        f"  {result.classes}, {result.confidence}, {result.preview}\n"
        f"  {output / 'report.csv'}: scores of each region\n"
        f"  {checkpoint}: the trained model\n"
        f"  {root}: the world; its folders show how to lay out rasters of your own\n\n"
        f"Next, map it yourself:\n"
        f"  glavitu map --checkpoint {checkpoint} {rasters} --output my_map",
        soft_wrap=True,
        highlight=False,
    )


def band_ratio_scores(dataset: GlacierRasters) -> pd.DataFrame:
    """Score the band ratio on whole tiles, as :class:`RegionConfusion` counts.

    Args:
        dataset: Tiles with a raster for ``optical``.

    Returns:
        Scores per region, see :meth:`RegionConfusion.table`.
    """
    metric = RegionConfusion()
    for number, tile in enumerate(dataset.tiles):
        mask = dataset[TileWindow(number, tile.extent)]["mask"]
        ice = torch.from_numpy(band_ratio(_read_optical(tile)))
        metric.update(ice[None].long(), mask[None], torch.tensor([tile.region]))
    return metric.table()


def draw(dataset: GlacierRasters, number: int, result: MapResult, path: Path) -> None:
    """Draw image, truth, prediction and confidence of a tile as PNG.

    Args:
        dataset: The dataset with the tile.
        number: Index of the tile.
        result: The tile's map.
        path: Where to.
    """
    tile = dataset.tiles[number]
    mask = dataset[TileWindow(number, tile.extent)]["mask"].numpy()
    with rasterio.open(result.classes) as file:
        prediction = file.read(1)
    with rasterio.open(result.confidence) as file:
        confidence = file.read(1)
    channels = composite([OPTICAL])[1]
    panels = (
        ("image: " + " / ".join(OPTICAL.channels[c] for c in channels), None),
        ("truth", mask),
        ("prediction", prediction),
        ("confidence", confidence),
    )
    figure = Figure(figsize=(17, 4.6), dpi=110, layout="constrained")
    for axes, (title, values) in zip(figure.subplots(1, 4), panels, strict=True):
        axes.set_title(title)
        axes.set_axis_off()
        if values is None:
            axes.imshow(stretched(_read_optical(tile)[channels]))
        elif title == "confidence":
            shown = axes.imshow(values, vmin=0, vmax=1)
            figure.colorbar(shown, ax=axes, shrink=0.85)
        else:
            mask = shown_mask(values)
            axes.imshow(mask, cmap=MASK_COLOURS, vmin=0, vmax=1, interpolation="nearest")
    figure.suptitle(f"{tile.name}: glaciers in blue")
    with when_complete(path) as partial:
        figure.savefig(partial)


def _read_optical(tile: RasterTile) -> np.ndarray:
    assert isinstance(tile.files, dict)
    with rasterio.open(tile.files["optical"]) as file:
        values: np.ndarray = file.read()
    return values


def _compare(model: pd.DataFrame, ratio: pd.DataFrame) -> None:
    both = model.merge(ratio, on="region", suffixes=("", "_ratio")).to_dict("records")
    rows = [[str(row["region"]), f"{row['iou']:.3f}", f"{row['iou_ratio']:.3f}"] for row in both]
    columns = [Column("region"), numeric("GlaViTU"), numeric("band ratio")]
    print_table("Glacier IoU per region on the test tiles", columns, rows)
