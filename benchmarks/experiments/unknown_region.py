"""Bias optimisation on scenes of a region that was left out of training.

Trains models with region encoding on all but one region of the synthetic benchmark, and predicts
the test tiles of that region with several region vectors: unknown, equal shares (where the
optimisation starts), optimised with the published learning rate, and with one large enough to move
the vector in a scene of a few windows:

    python -m benchmarks.experiments.unknown_region --runs runs/strategies
"""

from functools import partial
from pathlib import Path

import pandas as pd

from benchmarks.experiments import models
from benchmarks.experiments.loop import Runs, load
from benchmarks.experiments.models import REGIONS, TILES, WORLD_SEED, Run
from benchmarks.pages import markdown

NAME = "unknown_region"
LEFT_OUT = ("HMA", "NZ", "SC")
RATES = {"optimised, 1e-4 (published)": 1e-4, "optimised, 0.05": 0.05}


def runs_of(seed: int, runs: Path) -> Runs:
    """List the runs of a seed."""
    for region in LEFT_OUT:
        yield f"{region}-seed{seed}", partial(measure, region, seed, runs)


def train(region: str, seed: int, runs: Path) -> Path:
    """Train on all other regions, or find what was trained, and return the checkpoint."""
    folder = runs / f"without-{region}-seed{seed}"
    if not list(folder.glob("**/best_iou.ckpt")):
        run = Run(seed, "region_encoding", "optical_dem")
        others = [code for code in REGIONS if code != region]
        models.train(run, others, models.benchmark(runs), folder)
    return models.best(folder)


def measure(region: str, seed: int, runs: Path) -> list[dict]:
    """Return entropy and counts of each test tile of the region with each vector."""
    import torch

    from glavitu import GlacierRasters, GlaViTUTask, SyntheticGlaciers
    from glavitu.mapping.region_optimisation import optimise_region
    from glavitu.models.entropy import confidence
    from glavitu.rasters.scene import Scene
    from glavitu.regions import UNKNOWN, region_vector

    task = GlaViTUTask.from_checkpoint(train(region, seed, runs))
    world = runs / "worlds" / region
    if not world.exists():
        counts = (0, 0, TILES[2])
        SyntheticGlaciers((region,), counts, seed=WORLD_SEED).write_geotiffs(world, progress=False)
    rows = []
    for tile, sample in models.samples(GlacierRasters(world / "test", task.features)):
        vectors = {
            "unknown": region_vector(UNKNOWN),
            "equal shares": torch.full((UNKNOWN + 1,), 1 / (UNKNOWN + 1)),
        }
        with Scene(tile.files, task.features) as scene:
            for name, rate in RATES.items():
                fit = optimise_region(task, scene, learning_rate=rate, progress=False)
                vectors[name] = fit.vector
        for name, vector in vectors.items():
            batch = {"image": sample["image"][None], "location": vector[None]}
            with torch.inference_mode():
                probabilities = task.predict_tiles(batch)
            rows.append(
                {
                    "region": region,
                    "seed": seed,
                    "tile": tile.name,
                    "vector": name,
                    "entropy": float((1 - confidence(probabilities)).mean()),
                    "largest_share": float(vector.max()),
                }
                | models.counts(probabilities[0].argmax(0), sample["mask"])
            )
    return rows


def unknown_region() -> str:
    """Make the table: entropy and IoU of each region with each vector."""
    frame = pd.DataFrame(row for rows in load(NAME).values() for row in rows)
    keys = ["region", "vector", "seed"]
    scores = frame.groupby(keys, sort=False)[["entropy", "largest_share"]].mean()
    scores["iou"] = models.pooled_iou(frame, keys)
    rows = []
    for group, part in scores.groupby(keys[:2], sort=False):
        mean = part.mean()
        cells = [f"{mean['entropy']:.4f}", f"{mean['iou']:.3f}", f"{mean['largest_share']:.3f}"]
        rows.append([*group, *cells])
    return markdown(["left out", "region vector", "entropy", "IoU", "largest share"], rows)


if __name__ == "__main__":
    models.main(NAME, __doc__, runs_of)
