"""The synthetic benchmark of the experiments, and the models that are trained on it."""

import argparse
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from benchmarks import ROOT
from benchmarks.experiments.loop import Runs, resume

if TYPE_CHECKING:
    from torch import Tensor

REGIONS = ("ALP", "AWA", "CA", "GR", "HMA", "NZ", "SC", "SVAL")
TILES = (12, 2, 4)
WORLD_SEED = 1
SEEDS = (0, 1, 2)

#: Epochs and steps an epoch of a training, by strategy. A region's own model has a third of the
#: steps of a model of all eight regions, finetuning a sixth.
SCHEDULE = {"regional": (4, 40), "finetuning": (4, 20)}
DEFAULT_SCHEDULE = (8, 60)

#: The learning rate of a short training of a small model; finetuning has a tenth, as published.
LEARNING_RATE = 2e-3


class Run(NamedTuple):
    """One training and its test."""

    seed: int
    strategy: str
    track: str
    region: str | None = None

    @property
    def name(self) -> str:
        """Its folder."""
        parts = (f"seed{self.seed}", self.strategy, self.track, self.region)
        return "-".join(part for part in parts if part)


def main(
    experiment: str,
    description: str,
    runs_of: Callable[[int, Path], Runs],
    seeds: Sequence[int] = SEEDS,
) -> None:
    """Do what the command line says of an experiment with these models.

    Args:
        experiment: Its name, see :func:`benchmarks.experiments.loop.resume`.
        description: Its documentation, of which the help shows the first line.
        runs_of: Lists the runs of a seed, given the folder of the models.
        seeds: Seeds to do, unless the command line says others.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/strategies"), help="models, data")
    parser.add_argument("--seeds", type=int, nargs="+", default=seeds)
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="start no run after so many"
    )
    options = parser.parse_args()
    runs = (run for seed in options.seeds for run in runs_of(seed, options.runs))
    resume(experiment, runs, options.minutes)


def benchmark(runs: Path) -> Path:
    """Return the folder of the benchmark, which is written where it is not there."""
    from glavitu import SyntheticGlaciers

    data = runs / "benchmark"
    if not (data / "test.hdf5").exists():
        print("writing the synthetic benchmark")
        SyntheticGlaciers(REGIONS, tiles=TILES, seed=WORLD_SEED).write_hdf5(data)
    return data


def glavitu(*arguments: str) -> None:
    """Run a command of glavitu in this process, and end where it fails."""
    from glavitu.cli import main

    if status := main(list(arguments)):
        raise SystemExit(f"glavitu {' '.join(arguments)} ended with status {status}")


def train(run: Run, regions: Sequence[str], data: Path, folder: Path, *more: str) -> None:
    """Train a run on some regions (all if none are named), or go on with it."""
    epochs, steps = SCHEDULE.get(run.strategy, DEFAULT_SCHEDULE)
    rate = LEARNING_RATE / 10 if run.strategy == "finetuning" else LEARNING_RATE
    configs = (
        ROOT / "configs" / "strategies" / f"{run.strategy}.yaml",
        ROOT / "configs" / "tracks" / f"{run.track}.yaml",
        Path(__file__).with_name("strategies.yaml"),
    )
    command = ["fit", *(f"--config={path}" for path in configs), f"--data.root={data}"]
    if regions:
        command += [f"--data.regions=[{','.join(regions)}]"]
    command += ["--trainer.logger.init_args.save_dir", str(folder), f"--seed_everything={run.seed}"]
    command += [f"--model.lr={rate}", f"--model.cycle_epochs={epochs}"]
    command += [f"--trainer.max_epochs={epochs}", f"--data.steps_per_epoch={steps}"]
    command += ["--trainer.enable_progress_bar=false", *more]
    if list(folder.glob("**/last.ckpt")):
        command += ["--ckpt_path=last"]
    glavitu(*command)


def test(checkpoint: Path, data: Path, folder: Path, *more: str) -> None:
    """Test a checkpoint on the CPU; report.csv and report.json come to lie in the folder."""
    command = ["test", f"--ckpt_path={checkpoint}", f"--data.root={data}"]
    command += [f"--region_report.output={folder}", "--trainer.accelerator=cpu"]
    command += ["--trainer.logger=false", f"--trainer.default_root_dir={folder}"]
    glavitu(*command, "--trainer.enable_progress_bar=false", *more)


def best(folder: Path) -> Path:
    """Return the checkpoint with the best validation IoU of a run."""
    found = next(folder.glob("**/best_iou.ckpt"), None)
    if found is None:
        command = "python -m benchmarks.experiments.strategies"
        raise SystemExit(f"{folder} has no best_iou.ckpt; {command} trains the models")
    return found


def global_model(runs: Path, seed: int) -> Path:
    """Return the checkpoint of the global strategy with optical bands and elevation."""
    return best(runs / Run(seed, "global", "optical_dem").name)


def calibrated(runs: Path, seed: int, folder: Path, *more: str) -> Path:
    """Copy a global model into a new folder, and calibrate it there on the validation tiles."""
    source = global_model(runs, seed)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    checkpoint = folder / "model.ckpt"
    shutil.copy(source, checkpoint)
    place = (f"--data.root={benchmark(runs)}", f"--output={folder}")
    glavitu("calibrate", "--checkpoint", str(checkpoint), *place, *more)
    return checkpoint


def samples(dataset: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Give each tile of a dataset, and all of it as one sample."""
    from glavitu.datasets import TileWindow

    for number, tile in enumerate(dataset.tiles):
        yield tile, dataset[TileWindow(number, tile.extent)]


def counts(classes: "Tensor", mask: "Tensor") -> dict[str, int]:
    """Count a tile's pixels (H, W) as true and false positives and negatives."""
    from glavitu.metrics.region_confusion import confusion_counts

    counted = confusion_counts(classes[None], mask[None])[0].tolist()
    return dict(zip(("tp", "fp", "fn", "tn"), counted, strict=True))


def pooled_iou(frame: pd.DataFrame, by: list[str]) -> pd.Series:
    """IoU of the pixels of each group of rows with :func:`counts`."""
    pooled = frame.groupby(by)[["tp", "fp", "fn"]].sum()
    return pooled["tp"] / pooled.sum(axis=1)
