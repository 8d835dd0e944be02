"""Calibration and means of uncertainty on the synthetic benchmark: IoU, errors and cost.

Takes the models of the global strategy that strategies.py trained, calibrates a copy of each on the
validation tiles with the same means, and tests it: one prediction, test-time augmentation, Monte
Carlo dropout, and the ensemble of the seeds' models; and one prediction with a curve for each
region:

    python -m benchmarks.experiments.uncertainty --runs runs/strategies
"""

import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.experiments import models
from benchmarks.experiments.loop import Runs, load
from benchmarks.experiments.models import REGIONS, SEEDS
from benchmarks.pages import markdown

NAME = "uncertainty"
MEANS = ("single", "tta", "mc-dropout:10", "ensemble")

#: One prediction, calibrated with a curve for each region.
PER_REGION = "per-region"


def runs_of(seed: int, runs: Path) -> Runs:
    """List the runs of a seed."""
    for means in (*MEANS, PER_REGION):
        # An ensemble of all seeds is the same from whichever it starts.
        if means != "ensemble" or seed == SEEDS[0]:
            yield f"{means}-seed{seed}", partial(measure, means, seed, runs)


def measure(means: str, seed: int, runs: Path) -> dict[str, Any]:
    """Calibrate and test one model, and return the scores of each region and the time of a test."""
    folder = runs / f"uncertainty-{means.replace(':', '')}-seed{seed}"
    words = {"single": [], "ensemble": [], PER_REGION: []}.get(means, [means])
    if means == "ensemble":
        words = [str(models.global_model(runs, other)) for other in SEEDS if other != seed]
    own = ["--per-region"] if means == PER_REGION else []
    inference = ["--inference", *words] if words else []
    checkpoint = models.calibrated(runs, seed, folder, *own, *inference)
    options = ["--worst_tiles.samples=0"]
    options += [f"--model.inference=[{','.join(words)}]"] if words else []
    # CPU time of one thread: the machine may be busy with other work.
    start = time.process_time()
    models.test(checkpoint, models.benchmark(runs), folder, *options)
    seconds = time.process_time() - start
    report = json.loads((folder / "report.json").read_text())
    table = pd.read_csv(folder / "report.csv").set_index("region")
    regions = report["calibration"]["regions"]
    for region in REGIONS:
        regions[region]["iou"] = float(table["iou"][region])
    return {"means": means, "seed": seed, "seconds": seconds, "regions": regions}


def means_of_uncertainty() -> str:
    """Make the table of means of uncertainty: means over regions, and the cost."""
    results = []
    for entry in load(NAME).values():
        mean = pd.DataFrame(entry["regions"]).T.astype(float).mean()
        results.append({**mean, **entry})
    frame = pd.DataFrame(results)
    single = frame[frame["means"] == "single"].set_index("seed")["seconds"]
    frame["cost"] = frame["seconds"] / frame["seed"].map(single)
    scores = ("iou", "ece_raw", "ece_calibrated", "brier")
    rows = []
    for means in MEANS:
        part = frame[frame["means"] == means]
        cells = [f"{part[score].mean():.3f}" for score in scores]
        rows.append([means, str(len(part)), *cells, f"{part['cost'].mean():.1f}"])
    return markdown(["means", "seeds", *scores, "cost"], rows)


def calibration() -> str:
    """Make the table of the calibration error of each region, means over the seeds."""
    columns = {
        "raw": errors("single", "ece_raw"),
        "one curve": errors("single", "ece_calibrated"),
        "a curve a region": errors(PER_REGION, "ece_calibrated"),
    }
    rows = []
    for region in (*REGIONS, "mean"):
        seeds = (e.mean() if region == "mean" else e.loc[region] for e in columns.values())
        rows.append([region, *(f"{error.mean():.3f} ± {error.std():.3f}" for error in seeds)])
    return markdown(["region", *columns], rows)


def errors(means: str, score: str) -> pd.DataFrame:
    """Return a score of each region (rows) and seed (columns)."""
    return pd.DataFrame(
        {
            entry["seed"]: {region: found[score] for region, found in entry["regions"].items()}
            for entry in load(NAME).values()
            if entry["means"] == means
        }
    )


if __name__ == "__main__":
    models.main(NAME, __doc__, runs_of)
