"""What share of `glavitu test` calibration scores and reports take, the page of a report included.

Runs the command in this process, with the published model (random weights, a calibration put to
them) and all callbacks that it has by default, on synthetic tiles of the release's size. What is
done once a test is told apart from what each tile costs, since a small test set has as many
pictures of its worst tiles as it has tiles, and a large one has 16:

    python -m benchmarks.speed.test_share
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, ClassVar

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.profilers import SimpleProfiler

from benchmarks.speed.measuring import save
from glavitu import GlaViTUTask, SyntheticGlaciers
from glavitu.callbacks import WorstTiles
from glavitu.cli import main as glavitu
from glavitu.confidence.calibration import fit_calibration
from glavitu.metrics import Reliability
from glavitu.report import write_report
from glavitu.tasks.calibrate import put_calibration
from glavitu.windows import centred_padding, window_starts

REGIONS = ("ALP", "HMA", "SC", "NZ", "CA", "SVAL")
REPORTS = ("CalibrationReport", "RegionReport", "WorstTiles")


class Recorder(SimpleProfiler):
    """Lightning's profiler, for the command to make and this script to read."""

    seconds: ClassVar[dict[str, list[float]]]

    def describe(self) -> None:
        """Keep the seconds of each hook rather than print them."""
        Recorder.seconds = dict(self.recorded_durations)


def write_checkpoint(path: Path) -> None:
    """Write a checkpoint of the published model, untrained and calibrated to random numbers."""
    task = GlaViTUTask()
    trainer = Trainer(logger=False, accelerator="cpu", enable_checkpointing=False)
    trainer.strategy.connect(task)
    trainer.save_checkpoint(path, weights_only=True)
    reliability = Reliability()
    probabilities = torch.rand(1, 2, 256, 256).softmax(1)
    reliability.update(probabilities, torch.randint(2, (1, 256, 256)), torch.tensor([0]))
    put_calibration(path, fit_calibration("kernel_ridge", reliability.histogram(per_region=True)))


def measure(folder: Path, tiles: int, size: int, device: str) -> dict[str, Any]:
    """Test, and return the seconds and shares."""
    SyntheticGlaciers(REGIONS[:tiles], (0, 0, 1), size).write_hdf5(folder / "data")
    write_checkpoint(folder / "untrained.ckpt")
    command = ["test", f"--ckpt_path={folder / 'untrained.ckpt'}", f"--data.root={folder / 'data'}"]
    command += [f"--region_report.output={folder / 'run'}", f"--trainer.default_root_dir={folder}"]
    command += [f"--trainer.logger.init_args.save_dir={folder}", "--data.patch_size=384"]
    command += [f"--trainer.profiler={__name__}.Recorder"]
    command += [f"--trainer.accelerator={'gpu' if device == 'cuda' else 'cpu'}"]
    if status := glavitu(command):
        sys.exit(status)
    start = time.perf_counter()
    write_report([folder / "run"], folder / "report.html")
    page = time.perf_counter() - start
    return figures(Recorder.seconds, tiles, size, page)


def figures(hooks: dict[str, list[float]], tiles: int, size: int, page: float) -> dict[str, Any]:
    """Make the figures of the seconds of hooks."""
    seconds: dict[str, float] = {}
    for name, values in hooks.items():
        callback, _, hook = name.removeprefix("[Callback]").partition(".")
        if (kind := callback.split("{")[0]) in REPORTS:
            seconds[f"{kind}.{hook}"] = sum(values)
    counting = sum(value for hook, value in seconds.items() if hook.endswith("batch_end"))
    drawing = seconds["WorstTiles.on_test_epoch_end"]
    once = sum(seconds.values()) - counting - drawing
    step = sum(sum(values) for name, values in hooks.items() if name.endswith(".test_step"))
    # What a tile takes without the callbacks: mostly the model, then reading.
    reading = sum(sum(values) for name, values in hooks.items() if name.endswith("next"))
    tile, counted, drawn = (step + reading) / tiles, counting / tiles, drawing / tiles
    windows = len(window_starts(centred_padding(size, 384).size, 384, 192)) ** 2
    fixed = once + page + WorstTiles().samples * drawn
    return {
        "tiles": tiles,
        "tile_side": size,
        "windows_a_tile": windows,
        "tile_seconds_without": tile,
        "tile_seconds_counting": counted,
        "picture_seconds": drawn,
        "report_seconds": once,
        "page_seconds": page,
        "share_of_a_tile": counted / (tile + counted),
        "share_of_this_test": (counting + drawing + once + page)
        / (step + reading + counting + drawing + once + page),
        "share_of_100_tiles": (fixed + 100 * counted) / (fixed + 100 * (tile + counted)),
        "hooks": {name: value for name, value in seconds.items() if value > 1e-3},
    }


def main() -> None:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--tiles", type=int, default=4, help="up to 6 (%(default)s)")
    parser.add_argument("--size", type=int, default=1000, help="side of a tile (%(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        told = measure(Path(folder), options.tiles, options.size, options.device)
    save("test_share", told, options.device)


if __name__ == "__main__":
    main()
