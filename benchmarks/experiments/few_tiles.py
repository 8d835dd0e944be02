"""The recipe for few tiles on the Everest scene: candidates, the choice among them, and its test.

Every candidate is configs/few_tiles.yaml with a few options more, trained by `glavitu fit` itself,
with three seeds and both models. The best on the validation strip is chosen, by the mean IoU of
both models and all seeds; its trainings alone are scored on the test third, once:

    python -m benchmarks.experiments.few_tiles --data "$GLAVITU_EVEREST" --output few_tiles \
        --minutes 480 --jobs 1

Rows go to benchmarks/results/few_tiles.jsonl as trainings end.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from benchmarks import RESULTS
from benchmarks.experiments.everest import best_threshold, draw, sample, scores
from benchmarks.experiments.few_tiles_search import read
from benchmarks.pages import markdown
from glavitu.tasks import GlaViTUTask

CONFIGS = ("--config", "configs/everest.yaml", "--config", "configs/few_tiles.yaml")

MODELS: dict[str, tuple[str, ...]] = {
    "GlaViTU": (),
    "U-Net": (
        *("--model.model", "unet", "--model.model_args"),
        '{"encoder": "resnet18", "width": 16, "dropout": 0.3}',
    ),
}

#: What each candidate changes of the recipe.
CANDIDATES: dict[str, tuple[str, ...]] = {
    "the recipe": (),
    "lr 5e-4": ("--model.lr", "5e-4"),
    "lr 5e-4, focal loss": ("--model.lr", "5e-4", "--model.loss", "focal"),
    "lr 5e-4, occlusion 0.5": ("--model.lr", "5e-4", "--data.augmentation.occlusion", "0.5"),
}

ROWS = RESULTS / "few_tiles.jsonl"

SEEDS = (0, 1, 2)

#: Checkpoints of a run, and what they are called.
CHECKPOINTS = {"last": "last", "best": "best_iou"}

#: What probabilities are the mean of.
INFERENCES = ("", "tta")

SCORES = ("iou", "precision", "recall", "f1", "accuracy")

Job = tuple[str, str, int]


def run_folder(output: Path, job: Job) -> Path:
    """Return the folder of a training."""
    candidate, model, seed = job
    return output / candidate.replace(" ", "_") / f"{model}_{seed}" / "version_0"


def fit(job: Job, options: argparse.Namespace, deadline: float) -> bool:
    """Train one; tell whether it ended in time."""
    candidate, model, seed = job
    folder = run_folder(options.output, job)
    command = [sys.executable, "-m", "glavitu", "fit", *CONFIGS, "--data.root", str(options.data)]
    command += [*MODELS[model], *CANDIDATES[candidate], "--seed_everything", str(seed)]
    command += ["--trainer.logger.init_args.save_dir", str(folder.parents[1])]
    command += ["--trainer.logger.init_args.name", folder.parent.name, *options.fit]
    left = deadline - time.monotonic()
    if left < 20:
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "fit.log").open("w") as log:
        try:
            done = subprocess.run(command, timeout=left, stdout=log, stderr=subprocess.STDOUT)
        except subprocess.TimeoutExpired:
            return False
    return done.returncode == 0


def predict(job: Job, options: argparse.Namespace, image: Tensor, way: tuple[str, str]) -> Tensor:
    """Predict a part of the scene by a checkpoint, as `glavitu test` does; (2, H, W)."""
    checkpoint, inference = way
    path = run_folder(options.output, job) / "checkpoints" / f"{CHECKPOINTS[checkpoint]}.ckpt"
    task = GlaViTUTask.from_checkpoint(path, inference or ())
    task.to("cuda" if torch.cuda.is_available() else "cpu")
    with torch.inference_mode():
        return task.predict_tiles({"image": image[None].to(task.device)})[0]


def score(job: Job, options: argparse.Namespace, part: str, ways: list[tuple[str, str]]) -> None:
    """Score a training on a part of the scene, and keep the rows and the test's predictions."""
    scene = sample(options.data, part)
    for way in ways:
        probabilities = predict(job, options, scene["image"], way)
        values = scores(probabilities.argmax(0), scene["mask"])
        names = ("candidate", "model", "seed", "part", "checkpoint", "inference")
        row = dict(zip(names, (*job, part, *way), strict=True))
        row |= {key: values[key] for key in SCORES}
        write(row)
        if part == "test":
            kept = options.output / f"test_{job[1]}_{job[2]}.npz"
            np.savez_compressed(kept, glacier=probabilities[1].half().numpy())


def choose(rows: pd.DataFrame) -> tuple[str, str, str]:
    """Choose candidate, checkpoint and inference by the validation strip alone."""
    val = rows[rows["part"] == "val"]
    means = val.groupby(["candidate", "checkpoint", "inference"])["iou"].agg(["mean", "count"])
    complete = means[means["count"] == means["count"].max()]
    candidate, checkpoint, inference = complete["mean"].idxmax()
    return candidate, checkpoint, inference


def train_and_test(options: argparse.Namespace) -> None:
    """Train all candidates, choose one, and test it."""
    start = time.monotonic()
    os.environ |= {"OMP_NUM_THREADS": "1"}
    # The last part of the time is for the test of the chosen one.
    deadline = start + 60 * options.minutes - 25
    ways = [(checkpoint, inference) for checkpoint in CHECKPOINTS for inference in INFERENCES]

    def train(job: Job) -> None:
        if fit(job, options, deadline):
            score(job, options, "val", ways)
            print(job, f"{time.monotonic() - start:.0f} s", flush=True)

    jobs = [(c, model, seed) for c in CANDIDATES for seed in SEEDS for model in MODELS]
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(train, jobs))
    candidate, checkpoint, inference = choose(pd.DataFrame(read(ROWS)))
    for job in jobs:
        if job[0] == candidate and (run_folder(options.output, job) / "checkpoints").exists():
            score(job, options, "test", [(checkpoint, inference)])


def score_trivial(data: Path) -> None:
    """Score what needs no training on the test third."""
    test = sample(data, "test")
    threshold = best_threshold(sample(data, "train"))
    answers = {
        f"brightness >= {threshold}": (255 * test["image"].mean(0) >= threshold).long(),
        "everything is glacier": torch.ones_like(test["mask"]),
    }
    for name, answer in answers.items():
        values = scores(answer, test["mask"])
        write({"model": name, "part": "trivial"} | {key: values[key] for key in SCORES})


def write(row: dict[str, Any]) -> None:
    """Keep a row."""
    with ROWS.open("a") as file:
        file.write(json.dumps(row) + "\n")


def figure(data: Path, output: Path, path: Path) -> None:
    """Draw the test third with what the first seed of each model predicts."""
    test = sample(data, "test")
    predictions = {}
    for model in MODELS:
        with np.load(output / f"test_{model}_{SEEDS[0]}.npz") as kept:
            predictions[model] = torch.from_numpy((kept["glacier"] >= 0.5).astype(np.int64))
    threshold = best_threshold(sample(data, "train"))
    bright = 255 * test["image"].mean(0) >= threshold
    draw(test, predictions | {f"brightness >= {threshold}": bright.long()}, path)


def validation() -> str:
    """Make the table of the candidates on the validation strip, for docs/results.md."""
    rows = pd.DataFrame(read(ROWS)).sort_values("seed")
    val = rows[(rows["part"] == "val") & (rows["checkpoint"] == "best") & (rows["inference"] == "")]
    lines = []
    for candidate in CANDIDATES:
        own = val[val["candidate"] == candidate]
        cells = [_mean_and_seeds(own.loc[own["model"] == model, "iou"]) for model in MODELS]
        lines.append([candidate, *cells, f"{own['iou'].mean():.3f}"])
    return markdown(["validation strip, IoU", *MODELS, "both"], lines)


def test() -> str:
    """Make the table of the recipe on the test third, for docs/results.md."""
    rows = pd.DataFrame(read(ROWS))
    lines = []
    for model, own in rows[rows["part"].isin(["test", "trivial"])].groupby("model", sort=False):
        means = (f"{own[key].mean():.3f}" for key in SCORES[1:])
        lines.append([str(model), _mean_and_seeds(own["iou"]), *means])
    return markdown(["test third", "IoU", "precision", "recall", "F1", "accuracy"], lines)


def _mean_and_seeds(ious: "pd.Series[float]") -> str:
    seeds = ", ".join(f"{iou:.3f}" for iou in ious)
    return f"{ious.mean():.3f} ({seeds})" if len(ious) > 1 else seeds


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the scene")
    parser.add_argument("--output", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--minutes", type=float, default=480.0, help="start and test no more after")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once")
    parser.add_argument("--figure", type=Path, help="draw this alone, from what OUTPUT has")
    parser.add_argument("--fit", nargs=argparse.REMAINDER, default=[], help="options of fit, last")
    options = parser.parse_args()
    if options.figure is not None:
        figure(options.data, options.output, options.figure)
        return
    train_and_test(options)
    score_trivial(options.data)
    print(validation(), test(), sep="\n\n")


if __name__ == "__main__":
    main()
