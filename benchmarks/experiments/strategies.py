"""Strategies and data tracks on a synthetic benchmark.

Writes a benchmark of eight regions as HDF5 files, trains every strategy of the paper and every data
track with the configurations of configs/, and tests each on the test tiles. The work is made of
short runs; call it again to go on:

    python -m benchmarks.experiments.strategies --runs runs/strategies --minutes 80
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.experiments import models
from benchmarks.experiments.loop import Runs, load
from benchmarks.experiments.models import REGIONS, Run
from benchmarks.pages import markdown

NAME = "strategies"
STRATEGIES = ("global", "regional", "finetuning", "region_encoding", "coordinate_encoding")
TRACKS = ("optical_dem", "sar", "insar", "thermal", "all")


def runs_of(seed: int, runs: Path) -> Runs:
    """List the runs of a seed."""
    for run in trainings(seed):
        yield run.name, partial(measure, run, runs)


def trainings(seed: int) -> Iterator[Run]:
    """List the trainings of a seed; what starts from another's weights comes after it."""
    yield Run(seed, "global", "optical_dem")
    yield Run(seed, "region_encoding", "optical_dem")
    yield Run(seed, "coordinate_encoding", "optical_dem")
    for strategy in ("regional", "finetuning"):
        for region in REGIONS:
            yield Run(seed, strategy, "optical_dem", region)
    for track in TRACKS[1:]:
        yield Run(seed, "global", track)


def measure(run: Run, runs: Path) -> dict[str, Any]:
    """Train and test, and return the scores of each region."""
    data, folder = models.benchmark(runs), runs / run.name
    weights = []
    if run.strategy == "finetuning":
        source = models.best(runs / Run(run.seed, "global", run.track).name)
        weights = [f"--model.initial_weights={source}"]
    regions = [run.region] if run.region else []
    models.train(run, regions, data, folder, *weights)
    only = [f"--data.regions=[{run.region}]"] if run.region else []
    models.test(models.best(folder), data, folder, *only)
    report = pd.read_csv(folder / "report.csv").set_index("region")
    scores = report[["iou", "precision", "recall"]].to_dict("index")
    return run._asdict() | {"scores": scores}


def strategies() -> str:
    """Make the table of strategies, with optical bands and elevation."""
    frame = scores()
    return table(frame[frame["track"] == "optical_dem"], "strategy", STRATEGIES)


def tracks() -> str:
    """Make the table of data tracks, with the global strategy."""
    frame = scores()
    return table(frame[frame["strategy"] == "global"], "track", TRACKS)


def scores() -> pd.DataFrame:
    """Return the IoU of each seed, strategy, track and region."""
    rows = [
        {key: entry[key] for key in ("seed", "strategy", "track")}
        | {"tested": region, "iou": values["iou"]}
        for entry in load(NAME).values()
        for region, values in entry["scores"].items()
    ]
    return pd.DataFrame(rows)


def table(frame: pd.DataFrame, columns: str, names: tuple[str, ...]) -> str:
    """Make a table: mean and standard deviation of the IoU over the seeds."""
    # The headline of a seed is the mean over regions; its spread is over seeds.
    means = frame.groupby(["seed", columns], as_index=False)["iou"].mean()
    frame = pd.concat([frame, means.assign(tested="mean")])
    names = tuple(name for name in names if name in set(frame[columns]))
    rows = []
    for region in (*REGIONS, "mean"):
        row = frame[frame["tested"] == region]
        ious = (row[row[columns] == name]["iou"] for name in names)
        rows.append([region, *(f"{iou.mean():.3f} ± {iou.std():.3f}" for iou in ious)])
    return markdown(["region", *names], rows)


if __name__ == "__main__":
    models.main(NAME, __doc__, runs_of)
