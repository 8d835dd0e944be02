"""Other years and sensors: a global model tested on a manifest of synthetic scenes.

Takes the models of the global strategy that strategies.py trained, calibrates a copy of each on the
validation tiles, and tests it on the places of the test tiles as they were and with retreated
glaciers, under the sensor of the training and another:

    python -m benchmarks.experiments.generalisation --runs runs/strategies
"""

import json
import shutil
from functools import partial
from pathlib import Path

import pandas as pd

from benchmarks import ROOT
from benchmarks.experiments import models
from benchmarks.experiments.loop import Runs, load
from benchmarks.experiments.models import REGIONS, SEEDS, TILES, WORLD_SEED
from benchmarks.pages import markdown

NAME = "generalisation"
FIGURE = ROOT / "docs" / "images" / "generalisation.png"


def runs_of(seed: int, runs: Path) -> Runs:
    """List the one run of a seed."""
    yield str(seed), partial(measure, seed, runs)


def measure(seed: int, runs: Path) -> list[dict]:
    """Calibrate and test one model, and return the scores of each region, year and sensor."""
    from glavitu.datasets import SyntheticGlaciers
    from glavitu.synthetic.scenes import write_scenes

    manifest = runs / "scenes" / "scenes.csv"
    if not manifest.exists():
        write_scenes(SyntheticGlaciers(REGIONS, TILES, seed=WORLD_SEED), manifest.parent)
    folder = runs / f"generalisation-seed{seed}"
    models.test(models.calibrated(runs, seed, folder), manifest, folder)
    if seed == SEEDS[0]:
        shutil.copy(folder / "groups.png", FIGURE)
    return json.loads((folder / "report.json").read_text())["groups"]


def groups() -> pd.DataFrame:
    """Return the scores of each seed, region, year and sensor."""
    return pd.DataFrame(
        row | {"seed": int(seed)} for seed, rows in load(NAME).items() for row in rows
    )


def means() -> str:
    """Make the table of means over the regions, for each year and sensor."""
    columns = ["glacier_share", "iou", "precision", "recall", "ece_raw", "ece_calibrated"]
    scores = groups().groupby(["year", "sensor", "seed"])[columns].mean()
    rows = [
        [*group, *(f"{part[name].mean():.3f} ± {part[name].std():.3f}" for name in columns)]
        for group, part in scores.groupby(["year", "sensor"])
    ]
    return markdown(["year", "sensor", *columns], rows)


def regions() -> str:
    """Make the table of the IoU of each region, mean of the seeds."""
    groups_of_region = groups().groupby(["region", "year", "sensor"])
    iou = groups_of_region["iou"].mean().unstack(["year", "sensor"])
    rows = ([region, *(f"{value:.3f}" for value in row)] for region, row in iou.iterrows())
    return markdown(["region", *(", ".join(name) for name in iou.columns)], rows)


if __name__ == "__main__":
    models.main(NAME, __doc__, runs_of)
