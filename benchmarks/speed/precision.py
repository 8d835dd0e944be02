"""What quicker ways to predict change in maps: flipped pixels, IoU and confidence.

Takes the models of the global strategy that the experiment `strategies` trained, and predicts the
test tiles of the synthetic benchmark as published, in each way:

    python -m benchmarks.speed.precision --runs runs/strategies
    python -m benchmarks.speed.precision --runs runs/strategies --device cuda
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch

from benchmarks.experiments import models
from benchmarks.experiments.models import SEEDS
from benchmarks.speed import measuring
from glavitu import BenchmarkTiles, GlaViTUTask
from glavitu.mapping import devices
from glavitu.models.blending import predict_blended
from glavitu.models.entropy import confidence

BATCH = 4
Predict = Callable[[torch.Tensor], torch.Tensor]


def ways(task: GlaViTUTask, device: str) -> dict[str, Predict]:
    """The plain module on the CPU first, then quicker ways."""
    plain = task.predict_probabilities
    moved = GlaViTUTask.from_checkpoint(task.checkpoints[0]).to(device)
    folded, compiled = (in_batches(devices.Predictor(moved, BATCH, n)) for n in (1, 10**9))

    def narrow(images: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return folded(images)

    quicker: dict[str, Predict] = {"folded, channels last": folded, "compiled too": compiled}
    if device == "cpu":  # on a GPU both are in bfloat16 already
        quicker["bfloat16"] = narrow
    return {"plain": plain} | quicker


def in_batches(predictor: devices.Predictor) -> Predict:
    """What a predictor says of any number of windows, on the CPU."""
    return lambda images: torch.cat([predictor(part, None).cpu() for part in images.split(BATCH)])


def measure(seed: int, runs: Path, device: str) -> list[dict]:
    """Return counts and changes for each way and tile."""
    task = GlaViTUTask.from_checkpoint(models.global_model(runs, seed))
    dataset = BenchmarkTiles(models.benchmark(runs), "test", task.features)
    rows, size = [], task.image_size
    todo = ways(task, device)
    for tile, sample in models.samples(dataset):
        found: dict[str, torch.Tensor] = {}
        for way, predict in todo.items():
            with torch.inference_mode():
                found[way] = predict_blended(predict, sample["image"], size, size // 2, 2)
            classes, first = found[way].argmax(0), found["plain"].argmax(0)
            confidences = [confidence(values, dim=0) for values in (found[way], found["plain"])]
            rows.append(
                {
                    "way": way,
                    "region": tile.region,
                    "pixels": classes.numel(),
                    "flipped": int((classes != first).sum()),
                    "confidence": float((confidences[0] - confidences[1]).abs().max()),
                }
                | models.counts(classes, sample["mask"])
            )
    return rows


def summary(rows: list[dict]) -> dict:
    """Flipped share, change of the mean IoU over regions, and largest change of confidence."""
    table = pd.DataFrame(rows)
    told = {}
    for way, part in table.groupby("way", sort=False):
        iou = models.pooled_iou(part, ["seed", "region"]).groupby("seed").mean().mean()
        told[str(way)] = {
            "iou": float(iou),
            "iou_change": float(iou) - told["plain"]["iou"] if told else 0.0,
            "flipped": float(part["flipped"].sum() / part["pixels"].sum()),
            "largest_confidence_change": float(part["confidence"].max()),
        }
    return told


def main() -> None:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True, help="folder of the trained models")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    options = parser.parse_args()
    rows = []
    for seed in options.seeds:
        rows += [{"seed": seed} | row for row in measure(seed, options.runs, options.device)]
    measuring.save("precision", summary(rows), options.device)


if __name__ == "__main__":
    main()
