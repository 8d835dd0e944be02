"""Bias optimisation on scenes of a region that was left out of training.

Trains models with region encoding on all but one region of the synthetic benchmark that
benchmarks/strategies.py wrote, and predicts the test tiles of that region with several region
vectors: unknown, equal shares (where the optimisation starts), optimised with the published
learning rate, and with one large enough to move the vector in a scene of a few windows. Runs that
are there already are kept:

    python benchmarks/unknown_region.py run --runs runs/strategies
    python benchmarks/unknown_region.py table
"""

import argparse
import json
from pathlib import Path

import pandas as pd
from strategies import DEFAULT_SCHEDULE, LEARNING_RATE, REGIONS, ROOT, TILES, WORLD_SEED, best

RESULTS = ROOT / "benchmarks" / "results" / "unknown_region.json"

LEFT_OUT = ("HMA", "NZ", "SC")
RATES = {"optimised, 1e-4 (published)": 1e-4, "optimised, 0.05": 0.05}


def train(region: str, seed: int, runs: Path) -> Path:
    """Train on all other regions, or find what was trained, and return the checkpoint."""
    from glavitu.cli import main

    folder = runs / f"without-{region}-seed{seed}"
    if not list(folder.glob("**/best_iou.ckpt")):
        epochs, steps = DEFAULT_SCHEDULE
        configs = (
            ROOT / "configs" / "strategies" / "region_encoding.yaml",
            ROOT / "configs" / "tracks" / "optical_dem.yaml",
            ROOT / "benchmarks" / "strategies.yaml",
        )
        others = ",".join(code for code in REGIONS if code != region)
        fit = ["fit", *(f"--config={path}" for path in configs)]
        fit += [f"--data.root={runs / 'benchmark'}", f"--data.regions=[{others}]"]
        fit += ["--trainer.logger.init_args.save_dir", str(folder), f"--seed_everything={seed}"]
        fit += [f"--model.lr={LEARNING_RATE}", f"--model.cycle_epochs={epochs}"]
        fit += [f"--trainer.max_epochs={epochs}", f"--data.steps_per_epoch={steps}"]
        assert main([*fit, "--trainer.enable_progress_bar=false"]) == 0
    return best(folder)


def measure(region: str, seed: int, runs: Path) -> list[dict]:
    """Return entropy and counts of each test tile of the region with each vector."""
    import torch

    from glavitu import GlacierRasters, GlaViTUTask, SyntheticGlaciers
    from glavitu.datasets import TileWindow
    from glavitu.mapping.region_optimisation import optimise_region
    from glavitu.metrics.region_confusion import confusion_counts
    from glavitu.models.entropy import confidence
    from glavitu.rasters.scene import Scene
    from glavitu.regions import UNKNOWN, region_vector

    task = GlaViTUTask.from_checkpoint(train(region, seed, runs))
    world = runs / "worlds" / region
    if not world.exists():
        counts = (0, 0, TILES[2])
        SyntheticGlaciers((region,), counts, seed=WORLD_SEED).write_geotiffs(world, progress=False)
    dataset = GlacierRasters(world / "test", task.features)
    rows = []
    for number, tile in enumerate(dataset.tiles):
        sample = dataset[TileWindow(number, tile.extent)]
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
            counts = confusion_counts(probabilities.argmax(1), sample["mask"][None])[0]
            rows.append(
                {
                    "region": region,
                    "seed": seed,
                    "tile": tile.name,
                    "vector": name,
                    "entropy": float((1 - confidence(probabilities)).mean()),
                    "largest_share": float(vector.max()),
                }
                | dict(zip(("tp", "fp", "fn", "tn"), counts.tolist(), strict=True))
            )
    return rows


def run(runs: Path, seeds: list[int]) -> None:
    """Measure what is not there yet."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for seed in seeds:
        for region in LEFT_OUT:
            name = f"{region}-seed{seed}"
            if name not in results:
                print(f"== {name}", flush=True)
                results[name] = measure(region, seed, runs)
                RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def table() -> str:
    """Make the table of Markdown: entropy and IoU of each region with each vector."""
    frame = pd.DataFrame(row for rows in json.loads(RESULTS.read_text()).values() for row in rows)
    groups = frame.groupby(["region", "vector", "seed"], sort=False)
    counts = groups[["tp", "fp", "fn"]].sum()
    scores = groups[["entropy", "largest_share"]].mean()
    scores["iou"] = counts["tp"] / counts.sum(axis=1)
    lines = [
        "| left out | region vector | entropy | IoU | largest share |",
        "| --- |" + " --- |" * 4,
    ]
    for (region, vector), part in scores.groupby(["region", "vector"], sort=False):
        means = part[["entropy", "iou", "largest_share"]].mean()
        cells = f"{means['entropy']:.4f} | {means['iou']:.3f} | {means['largest_share']:.3f}"
        lines.append(f"| {region} | {vector} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run", help="train, optimise and predict")
    runs.add_argument("--runs", type=Path, default=Path("runs/strategies"))
    runs.add_argument("--seeds", type=int, nargs="+", default=[0])
    commands.add_parser("table", help="print the table")
    options = parser.parse_args()
    if options.command == "run":
        run(options.runs, options.seeds)
    else:
        print(table())


if __name__ == "__main__":
    main()
