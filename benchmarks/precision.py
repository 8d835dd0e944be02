"""What quicker ways to predict change in maps: flipped pixels, IoU and confidence.

Takes the models of the global strategy that benchmarks/strategies.py trained, and predicts the test
tiles of the synthetic benchmark as published, in each way:

    python benchmarks/precision.py --runs runs/strategies
    python benchmarks/precision.py --runs runs/strategies --device cuda
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import measuring
import torch
from strategies import SEEDS, Run, best

from glavitu import BenchmarkTiles, GlaViTUTask
from glavitu.datasets import TileWindow
from glavitu.mapping import devices
from glavitu.metrics.region_confusion import confusion_counts
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
    task = GlaViTUTask.from_checkpoint(best(runs / Run(seed, "global", "optical_dem").name))
    dataset = BenchmarkTiles(runs / "benchmark", "test", task.features)
    rows, size = [], task.image_size
    todo = ways(task, device)
    for number, tile in enumerate(dataset.tiles):
        sample = dataset[TileWindow(number, tile.extent)]
        found: dict[str, torch.Tensor] = {}
        for way, predict in todo.items():
            with torch.inference_mode():
                found[way] = predict_blended(predict, sample["image"], size, size // 2, 2)
            classes, first = found[way].argmax(0), found["plain"].argmax(0)
            counts = confusion_counts(classes[None], sample["mask"][None])[0].tolist()
            confidences = [confidence(values, dim=0) for values in (found[way], found["plain"])]
            rows.append(
                {
                    "way": way,
                    "region": tile.region,
                    "pixels": classes.numel(),
                    "flipped": int((classes != first).sum()),
                    "confidence": float((confidences[0] - confidences[1]).abs().max()),
                }
                | dict(zip(("tp", "fp", "fn", "tn"), counts, strict=True))
            )
    return rows


def summary(rows: list[dict]) -> dict:
    """Flipped share, change of the mean IoU over regions, and largest change of confidence."""
    import pandas as pd

    table = pd.DataFrame(rows)
    told = {}
    for way, part in table.groupby("way", sort=False):
        regions = part.groupby(["seed", "region"])[["tp", "fp", "fn"]].sum()
        iou = (regions["tp"] / regions.sum(axis=1)).groupby("seed").mean().mean()
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
    parser.add_argument(
        "--runs", type=Path, required=True, help="folder of benchmarks/strategies.py"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    options = parser.parse_args()
    rows = []
    for seed in options.seeds:
        rows += [{"seed": seed} | row for row in measure(seed, options.runs, options.device)]
    measuring.save("precision", summary(rows), options.device)


if __name__ == "__main__":
    main()
