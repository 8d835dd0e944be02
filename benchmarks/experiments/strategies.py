"""The tables of strategies and of tracks in docs/results.md, on a synthetic benchmark.

Writes a benchmark of eight regions as HDF5 files, trains every strategy of the paper and every data
track with the configurations of configs/, tests each on the test tiles, and keeps the scores. The
work is made of short runs, of which each is kept when it is done; call it again to go on:

    python -m benchmarks.experiments.strategies run --output runs/strategies --minutes 80
    python -m benchmarks.experiments.strategies table
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "strategies.json"

REGIONS = ("ALP", "AWA", "CA", "GR", "HMA", "NZ", "SC", "SVAL")
TILES = (12, 2, 4)
WORLD_SEED = 1
SEEDS = (0, 1, 2)
TRACKS = ("optical_dem", "sar", "insar", "thermal", "all")
STRATEGIES = ("global", "regional", "finetuning", "region_encoding", "coordinate_encoding")

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


def runs() -> Iterator[Run]:
    """List the runs; what starts from another's weights comes after it."""
    for seed in SEEDS:
        yield Run(seed, "global", "optical_dem")
        yield Run(seed, "region_encoding", "optical_dem")
        yield Run(seed, "coordinate_encoding", "optical_dem")
        for strategy in ("regional", "finetuning"):
            for region in REGIONS:
                yield Run(seed, strategy, "optical_dem", region)
        for track in TRACKS[1:]:
            yield Run(seed, "global", track)


def train_and_test(run: Run, data: Path, output: Path) -> dict[str, dict[str, float]]:
    """Train a run, or go on with it, and return the scores of each region."""
    from glavitu.cli import main

    folder = output / run.name
    epochs, steps = SCHEDULE.get(run.strategy, DEFAULT_SCHEDULE)
    rate = LEARNING_RATE / 10 if run.strategy == "finetuning" else LEARNING_RATE
    configs = (
        ROOT / "configs" / "strategies" / f"{run.strategy}.yaml",
        ROOT / "configs" / "tracks" / f"{run.track}.yaml",
        ROOT / "benchmarks" / "experiments" / "strategies.yaml",
    )
    options = [f"--config={path}" for path in configs]
    place = [f"--data.root={data}"]
    if run.region:
        place += [f"--data.regions=[{run.region}]"]
    logs = ["--trainer.logger.init_args.save_dir", str(folder)]
    fit = ["fit", *options, *place, *logs, f"--seed_everything={run.seed}"]
    fit += [f"--model.lr={rate}", f"--model.cycle_epochs={epochs}"]
    fit += [f"--trainer.max_epochs={epochs}", f"--data.steps_per_epoch={steps}"]
    fit += ["--trainer.enable_progress_bar=false"]
    if run.strategy == "finetuning":
        source = output / Run(run.seed, "global", run.track).name
        fit += [f"--model.initial_weights={best(source)}"]
    if list(folder.glob("**/last.ckpt")):
        fit += ["--ckpt_path=last"]
    _check(main(fit), fit)
    test = ["test", f"--ckpt_path={best(folder)}", *place, *logs]
    test += [f"--region_report.output={folder}", "--trainer.accelerator=cpu"]
    test += ["--trainer.enable_progress_bar=false"]
    _check(main(test), test)
    report = pd.read_csv(folder / "report.csv").set_index("region")
    return report[["iou", "precision", "recall"]].to_dict("index")


def best(folder: Path) -> Path:
    """Return the checkpoint with the best validation IoU of a run."""
    return next(folder.glob("**/best_iou.ckpt"))


def _check(status: int, command: list[str]) -> None:
    if status:
        raise SystemExit(f"glavitu {' '.join(command)} ended with status {status}")


def run_all(output: Path, minutes: float) -> None:
    """Do the runs that are not done, until the time is over."""
    from glavitu.datasets import SyntheticGlaciers

    start = time.monotonic()
    data = output / "benchmark"
    if not (data / "test.hdf5").exists():
        print("writing the synthetic benchmark")
        SyntheticGlaciers(REGIONS, tiles=TILES, seed=WORLD_SEED).write_hdf5(data)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for run in runs():
        if run.name in results:
            continue
        if time.monotonic() - start > 60 * minutes:
            print("time is over; call this again to go on")
            return
        print(f"== {run.name} ({(time.monotonic() - start) / 60:.1f} min)", flush=True)
        results[run.name] = run._asdict() | {"scores": train_and_test(run, data, output)}
        RESULTS.parent.mkdir(exist_ok=True)
        partial = RESULTS.with_suffix(".partial")
        partial.write_text(json.dumps(results, indent=1))
        os.replace(partial, RESULTS)
    print("all runs are done")


def scores() -> pd.DataFrame:
    """Return the IoU of each seed, strategy, track and region."""
    rows = [
        {key: entry[key] for key in ("seed", "strategy", "track")}
        | {"tested": region, "iou": values["iou"]}
        for entry in json.loads(RESULTS.read_text()).values()
        for region, values in entry["scores"].items()
    ]
    return pd.DataFrame(rows)


def table(frame: pd.DataFrame, columns: str, names: tuple[str, ...]) -> str:
    """Make a table of Markdown: mean and standard deviation of the IoU over the seeds."""
    # The headline of a seed is the mean over regions; its spread is over seeds.
    means = frame.groupby(["seed", columns], as_index=False)["iou"].mean()
    frame = pd.concat([frame, means.assign(tested="mean")])
    names = tuple(name for name in names if name in set(frame[columns]))
    lines = [f"| region | {' | '.join(names)} |", "| --- |" + " --- |" * len(names)]
    for region in (*REGIONS, "mean"):
        cells = []
        for name in names:
            values = frame[(frame["tested"] == region) & (frame[columns] == name)]["iou"]
            cells.append(f"{values.mean():.3f} ± {values.std():.3f}")
        lines.append(f"| {region} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="train and test, going on where the last call ended")
    run.add_argument("--output", type=Path, default=Path("runs/strategies"))
    run.add_argument("--minutes", type=float, default=80, help="start no run after so many")
    commands.add_parser("table", help="print the tables from benchmarks/results/strategies.json")
    options = parser.parse_args()
    if options.command == "run":
        run_all(options.output, options.minutes)
        return
    frame = scores()
    seeds = ", ".join(str(seed) for seed in sorted(frame["seed"].unique()))
    print(f"IoU on the test tiles, mean ± standard deviation over the seeds {seeds}\n")
    print(table(frame[frame["track"] == "optical_dem"], "strategy", STRATEGIES), end="\n\n")
    print(table(frame[frame["strategy"] == "global"], "track", TRACKS))


if __name__ == "__main__":
    main()
