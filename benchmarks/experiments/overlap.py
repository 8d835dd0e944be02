"""What the overlap of windows costs and changes, on the synthetic benchmark.

Takes the models of the global strategy that strategies.py trained, and predicts the test
tiles with several overlaps. Scores that are there already are kept:

    python -m benchmarks.experiments.overlap run --runs runs/strategies
    python -m benchmarks.experiments.overlap table
"""

import argparse
import json
import time
from pathlib import Path

import pandas as pd

from benchmarks.experiments.strategies import ROOT, SEEDS, Run, best

RESULTS = ROOT / "benchmarks" / "results" / "overlap.json"
OVERLAPS = (0.0, 0.25, 0.5, 0.75)
PUBLISHED = 0.5


def measure(seed: int, runs: Path) -> list[dict]:
    """Return counts, CPU seconds and changed pixels of each overlap and region."""
    import torch

    from glavitu import BenchmarkTiles, GlaViTUTask
    from glavitu.datasets import TileWindow
    from glavitu.metrics.region_confusion import confusion_counts
    from glavitu.models.blending import predict_blended
    from glavitu.regions import region_name
    from glavitu.windows import window_stride

    task = GlaViTUTask.from_checkpoint(best(runs / Run(seed, "global", "optical_dem").name))
    dataset = BenchmarkTiles(runs / "benchmark", "test", task.features)
    rows = []
    for number, tile in enumerate(dataset.tiles):
        sample = dataset[TileWindow(number, tile.extent)]
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
            counts = confusion_counts(classes[overlap][None], sample["mask"][None])[0].tolist()
            changed = (classes[overlap] != classes[PUBLISHED]).float().mean()
            rows.append(
                {"region": region_name(tile.region), "tile": tile.name, "overlap": overlap}
                | {"seed": seed, "seconds": seconds[overlap], "changed": float(changed)}
                | dict(zip(("tp", "fp", "fn", "tn"), counts, strict=True))
            )
    return rows


def run(runs: Path, seeds: list[int]) -> None:
    """Measure what is not there yet."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for seed in seeds:
        if str(seed) not in results:
            print(f"== seed {seed}", flush=True)
            results[str(seed)] = measure(seed, runs)
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def table() -> str:
    """Make the table of Markdown: cost, IoU and changed pixels of each overlap."""
    frame = pd.DataFrame(row for rows in json.loads(RESULTS.read_text()).values() for row in rows)
    counts = frame.groupby(["overlap", "seed", "region"])[["tp", "fp", "fn"]].sum()
    iou = (counts["tp"] / counts.sum(axis=1)).groupby(["overlap", "seed"]).mean()
    seconds = frame.groupby("overlap")["seconds"].sum()
    changed = frame.groupby("overlap")["changed"].mean()
    lines = ["| overlap | time | IoU | pixels that change |", "| --- | --- | --- | --- |"]
    for overlap in OVERLAPS:
        own = iou[overlap]
        lines.append(
            f"| {overlap:.0%} | {seconds[overlap] / seconds[PUBLISHED]:.2f} | "
            f"{own.mean():.4f} ± {own.std():.4f} | {changed[overlap]:.2%} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run", help="predict the test tiles")
    runs.add_argument("--runs", type=Path, default=Path("runs/strategies"))
    runs.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    commands.add_parser("table", help="print the table")
    options = parser.parse_args()
    if options.command == "run":
        run(options.runs, options.seeds)
    else:
        print(table())


if __name__ == "__main__":
    main()
