"""What share of the training steps the device waits for the next batch, as in `glavitu fit`.

Trains GlaViTU on windows of 384 x 384 pixels with all six feature groups, from the published HDF5
layout or from GeoTIFFs as `glavitu convert` writes them; the files are in the page cache. The
device is waited for after each step, so that what follows is idle time: until the loader hands over
a batch, and until it is copied to the device. Beside that stand samples a second of the loader
alone and of the steps alone, augmentation included. The first steps are left out.

    python -m benchmarks.speed.fit_idle --device cuda --workers 16          # bf16-mixed, batch of 8
    python -m benchmarks.speed.fit_idle --small --workers 1 --size 96       # on a laptop
"""

import argparse
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from benchmarks.speed.loader_speed import GROUPS, write_rasters
from benchmarks.speed.measuring import save, timed
from glavitu import GlacierDataModule, GlaViTUTask, SyntheticGlaciers

#: Steps that are left out: workers start, kernels are chosen.
WARM_UP = 5


class Clock:
    """Notes when the device has come to each of the marks of a step."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.marks: list[dict[str, float]] = [{}]

    def mark(self, name: str) -> None:
        """Note the time when the device has done all that it was told."""
        if self.device == "cuda":
            torch.cuda.synchronize()
        self.marks[-1][name] = time.perf_counter()

    def steps(self) -> list[dict[str, float]]:
        """Return the seconds of the parts of each step."""
        pairs = list(zip(self.marks, self.marks[1:], strict=False))[WARM_UP:]
        return [
            {
                "loader": now["fetched"] - before["done"],
                "copy": now["copied"] - now["fetched"],
                "step": now["done"] - now["copied"],
            }
            for before, now in pairs
            if "done" in now
        ]


class Timed(GlacierDataModule):
    """The data module, with a clock."""

    clock: Clock

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Note that the loader has given a batch."""
        self.clock.mark("fetched")
        return super().on_before_batch_transfer(batch, dataloader_idx)

    def on_after_batch_transfer(
        self, batch: dict[str, Tensor], dataloader_idx: int
    ) -> dict[str, Tensor]:
        """Note that the batch is on the device; augmentation follows."""
        self.clock.mark("copied")
        return super().on_after_batch_transfer(batch, dataloader_idx)


class Ends(Callback):
    """Notes the end of each step."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_train_batch_end(self, trainer: Trainer, task: LightningModule, *arguments: Any) -> None:
        """Note it, and begin the next one."""
        self.clock.mark("done")
        self.clock.marks.append({})


def write(root: Path, layout: str, tiles: int) -> None:
    """Write tiles to train on, and one to validate."""
    if layout == "hdf5":
        world = SyntheticGlaciers(("HMA",), (tiles, 1, 0), size=600)
        world.write_hdf5(root, progress=False)
    else:
        # So many that a worker seldom has a window's files open, nor GDAL its blocks in memory.
        write_rasters(root / "train", 8 * tiles)
        write_rasters(root / "val", 1)


def measure(root: Path, options: argparse.Namespace) -> dict[str, float]:
    """Train, then load alone."""
    data = Timed(
        str(root),
        features=GROUPS,
        patch_size=options.size,
        batch_size=options.batch,
        steps_per_epoch=WARM_UP + 1 + options.steps,
        num_workers=options.workers,
    )
    data.clock = Clock(options.device)
    small = {"width": 8, "depth": 1, "heads": 2} if options.small else None
    task = GlaViTUTask(GROUPS, model_args=small, image_size=options.size)
    trainer = Trainer(
        accelerator="gpu" if options.device == "cuda" else "cpu",
        devices=1,
        precision="bf16-mixed" if options.device == "cuda" else "32-true",
        max_epochs=1,
        limit_val_batches=0,
        callbacks=[Ends(data.clock)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(task, data)
    steps = data.clock.steps()
    total = {part: sum(step[part] for step in steps) for part in steps[0]}
    whole = sum(total.values())
    loader = data.train_dataloader()
    for _ in loader:  # starts the workers
        pass
    alone = timed(lambda: [None for _ in loader])
    return {
        "idle_share": (total["loader"] + total["copy"]) / whole,
        "loader_share": total["loader"] / whole,
        "copy_share": total["copy"] / whole,
        "samples_per_second": options.batch * len(steps) / whole,
        "steps_alone_samples_per_second": options.batch * len(steps) / total["step"],
        "loader_alone_samples_per_second": options.batch * len(loader) / alone,
        "workers": options.workers,
        "batch": options.batch,
        "size": options.size,
    }


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--layouts", nargs="+", default=("hdf5", "geotiff"))
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=384, help="side of the windows")
    parser.add_argument("--steps", type=int, default=60, help="steps that are measured")
    parser.add_argument("--tiles", type=int, default=64, help="HDF5 tiles; GeoTIFF: 8 times")
    parser.add_argument("--small", action="store_true", help="a tiny GlaViTU")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning, module="lightning")
    figures = {}
    for layout in options.layouts:
        with tempfile.TemporaryDirectory() as temporary:
            write(Path(temporary), layout, options.tiles)
            figures[layout] = measure(Path(temporary), options) | {"small": options.small}
    save("fit_idle", figures, options.device)


if __name__ == "__main__":
    main()
