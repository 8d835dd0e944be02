"""What the overlap of windows costs and changes, on the synthetic benchmark.

Takes the models of the global strategy that strategies.py trained, and predicts the test tiles with
several overlaps:

    python -m benchmarks.experiments.overlap --runs runs/strategies
"""

import time
from functools import partial
from pathlib import Path

import pandas as pd

from benchmarks.experiments import models
from benchmarks.experiments.loop import Runs, load
from benchmarks.pages import markdown

NAME = "overlap"
OVERLAPS = (0.0, 0.25, 0.5, 0.75)
PUBLISHED = 0.5


def runs_of(seed: int, runs: Path) -> Runs:
    """List the one run of a seed."""
    yield str(seed), partial(measure, seed, runs)


def measure(seed: int, runs: Path) -> list[dict]:
    """Return counts, CPU seconds and changed pixels of each overlap and region."""
    import torch

    from glavitu import BenchmarkTiles, GlaViTUTask
    from glavitu.models.blending import predict_blended
    from glavitu.regions import region_name
    from glavitu.windows import window_stride

    task = GlaViTUTask.from_checkpoint(models.global_model(runs, seed))
    dataset = BenchmarkTiles(models.benchmark(runs), "test", task.features)
    rows = []
    for tile, sample in models.samples(dataset):
        classes, seconds = {}, {}
        for overlap in OVERLAPS:
            stride = window_stride(task.image_size, overlap)
            start = time.process_time()
            with torch.inference_mode():
                blended = predict_blended(
                    task.predict_probabilities, sample["image"], task.image_size, stride, 2
                )
            seconds[overlap] = time.process_time() - start
            classes[overlap] = blended.argmax(0)
        for overlap in OVERLAPS:
            changed = (classes[overlap] != classes[PUBLISHED]).float().mean()
            rows.append(
                {"region": region_name(tile.region), "tile": tile.name, "overlap": overlap}
                | {"seed": seed, "seconds": seconds[overlap], "changed": float(changed)}
                | models.counts(classes[overlap], sample["mask"])
            )
    return rows


def overlaps() -> str:
    """Make the table: cost, IoU and changed pixels of each overlap."""
    frame = pd.DataFrame(row for rows in load(NAME).values() for row in rows)
    pooled = models.pooled_iou(frame, ["overlap", "seed", "region"])
    iou = pooled.groupby(["overlap", "seed"]).mean()
    seconds = frame.groupby("overlap")["seconds"].sum()
    changed = frame.groupby("overlap")["changed"].mean()
    rows = [
        [
            f"{overlap:.0%}",
            f"{seconds[overlap] / seconds[PUBLISHED]:.2f}",
            f"{iou[overlap].mean():.4f} ± {iou[overlap].std():.4f}",
            f"{changed[overlap]:.2%}",
        ]
        for overlap in OVERLAPS
    ]
    return markdown(["overlap", "time", "IoU", "pixels that change"], rows)


if __name__ == "__main__":
    models.main(NAME, __doc__, runs_of)
