"""What larger windows gain in time and cost in IoU, the positional embedding being interpolated.

Takes the models of the global strategy that the experiment `strategies` trained, and predicts the
test tiles with windows of 1 to 3 times the side that they were trained on, which is 64. Seeds
that are there already are kept; the times of the published model, at 384, are measured anew:

    python -m benchmarks.speed.window_size --runs runs/strategies
"""

import argparse
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from benchmarks.experiments import models
from benchmarks.experiments.models import SEEDS
from benchmarks.speed.measuring import alternate, load, ratio, save
from glavitu import BenchmarkTiles, GlaViTUTask
from glavitu.models.blending import predict_blended
from glavitu.windows import centred_padding, window_starts, window_stride

#: Side of a window, as a multiple of that in training, and overlap.
CHOICES = ((1.0, 0.5), (1.5, 0.5), (2.0, 0.5), (3.0, 0.5), (2.0, 0.25))
PUBLISHED = CHOICES[0]
#: Sides for the published model in pixels.
SIDES = (384, 576, 768)


def named(choice: tuple[float, float]) -> str:
    """Name a choice in the results."""
    return f"{choice[0]:g} x, {choice[1]:.0%} overlap"


def measure(seed: int, runs: Path) -> dict[str, dict[str, float]]:
    """Return IoU, CPU seconds and share of changed pixels of each choice."""
    task = GlaViTUTask.from_checkpoint(models.global_model(runs, seed))
    dataset = BenchmarkTiles(models.benchmark(runs), "test", task.features)
    rows = []
    for number, (tile, sample) in enumerate(models.samples(dataset)):
        classes = {}
        for choice in CHOICES:
            window = round(choice[0] * task.image_size)
            stride = window_stride(window, choice[1])
            for _ in range(2 if number == 0 else 1):  # the first of all warms up
                start = time.process_time()
                with torch.inference_mode():
                    blended = predict_blended(
                        task.predict_probabilities, sample["image"], window, stride, 2
                    )
                seconds = time.process_time() - start
            classes[choice] = blended.argmax(0)
            windows = [
                len(window_starts(centred_padding(size, window).size, window, stride))
                for size in sample["image"].shape[1:]
            ]
            changed = (classes[choice] != classes[PUBLISHED]).float().mean()
            rows.append(
                {"choice": named(choice), "region": tile.region, "seconds": seconds}
                | {"covered": windows[0] * windows[1] * stride**2}
                | {"changed": float(changed)}
                | models.counts(classes[choice], sample["mask"])
            )
    frame = pd.DataFrame(rows)
    scores = {
        "iou": models.pooled_iou(frame, ["choice", "region"]).groupby("choice").mean(),
        "seconds": frame.groupby("choice")["seconds"].sum(),
        # Padding and the windows at the edges weigh much on tiles as small as these.
        "covered": frame.groupby("choice")["covered"].sum(),
        "changed": frame.groupby("choice")["changed"].mean(),
    }
    return {
        named(choice): {key: float(values[named(choice)]) for key, values in scores.items()}
        for choice in CHOICES
    }


def summary(seeds: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Return IoU, time to that of the published windows, and changed pixels over the seeds."""
    table = {}
    for name in map(named, CHOICES):
        own = pd.DataFrame([seed[name] for seed in seeds])
        published = pd.DataFrame([seed[named(PUBLISHED)] for seed in seeds])
        table[name] = {
            "iou": own["iou"].mean(),
            "iou_difference": (own["iou"] - published["iou"]).mean(),
            "iou_difference_std": (own["iou"] - published["iou"]).std(),
            "time_tiles": (own["seconds"] / published["seconds"]).median(),
            "time_large_scene": (
                (own["seconds"] / own["covered"]) / (published["seconds"] / published["covered"])
            ).median(),
            "changed": own["changed"].mean(),
        }
    return table


def published_model(rounds: int) -> dict[str, Any]:
    """Return the time of a window of each side, and of a pixel of scene to that at 384."""
    model = GlaViTUTask().model.eval()
    windows = {str(side): torch.rand(1, 8, side, side) for side in SIDES}
    with torch.inference_mode():
        times = alternate(
            {side: lambda image=image: model(image) for side, image in windows.items()}, rounds
        )
    base = str(SIDES[0])
    return {
        f"published_{side}": {
            "seconds_a_window": sorted(times[side])[rounds // 2],
            "time_a_pixel": ratio(times, side, base) * (int(base) / int(side)) ** 2,
        }
        for side in windows
    }


def main() -> None:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/strategies"))
    parser.add_argument("--rounds", type=int, default=5, help="of the times (%(default)s)")
    options = parser.parse_args()
    for seed in SEEDS:
        if f"seed_{seed}" not in load("window_size").get("figures", {}):
            save("window_size", {f"seed_{seed}": measure(seed, options.runs)})
    figures = load("window_size")["figures"]
    windows = summary([figures[f"seed_{seed}"] for seed in SEEDS])
    save("window_size", {"windows": windows} | published_model(options.rounds))


if __name__ == "__main__":
    main()
