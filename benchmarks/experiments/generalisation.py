"""Other years and sensors: a global model tested on a manifest of synthetic scenes.

Takes the models of the global strategy that strategies.py trained, calibrates a copy of
each on the validation tiles, and tests it on the places of the test tiles as they were and with
retreated glaciers, under the sensor of the training and another. Scores that are there already are
kept:

    python -m benchmarks.experiments.generalisation run --runs runs/strategies
    python -m benchmarks.experiments.generalisation table
"""

import argparse
import json
import shutil
from pathlib import Path

import pandas as pd

from benchmarks.experiments.strategies import REGIONS, ROOT, SEEDS, TILES, WORLD_SEED, Run, best

RESULTS = ROOT / "benchmarks" / "results" / "generalisation.json"
FIGURE = ROOT / "docs" / "images" / "generalisation.png"


def measure(seed: int, runs: Path) -> list[dict]:
    """Calibrate and test one model, and return the scores of each region, year and sensor."""
    from glavitu.cli import main

    folder = runs / f"generalisation-seed{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    checkpoint = folder / "model.ckpt"
    shutil.copy(best(runs / Run(seed, "global", "optical_dem").name), checkpoint)
    calibrate = ["calibrate", "--checkpoint", str(checkpoint), f"--output={folder}"]
    assert main([*calibrate, f"--data.root={runs / 'benchmark'}"]) == 0
    test = ["test", f"--ckpt_path={checkpoint}", f"--data.root={runs / 'scenes' / 'scenes.csv'}"]
    test += [f"--region_report.output={folder}"]
    test += ["--trainer.accelerator=cpu", "--trainer.logger=false"]
    test += [f"--trainer.default_root_dir={folder}", "--trainer.enable_progress_bar=false"]
    assert main(test) == 0
    return json.loads((folder / "report.json").read_text())["groups"]


def run(runs: Path, seeds: list[int]) -> None:
    """Measure what is not there yet."""
    from glavitu.datasets import SyntheticGlaciers
    from glavitu.synthetic.scenes import write_scenes

    if not (runs / "scenes" / "scenes.csv").exists():
        write_scenes(SyntheticGlaciers(REGIONS, TILES, seed=WORLD_SEED), runs / "scenes")
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for seed in seeds:
        if str(seed) not in results:
            print(f"== seed {seed}", flush=True)
            results[str(seed)] = measure(seed, runs)
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    if (figure := runs / f"generalisation-seed{SEEDS[0]}" / "groups.png").exists():
        shutil.copy(figure, FIGURE)


def table() -> str:
    """Make the tables of Markdown: means over regions, and the IoU of each region."""
    groups = [
        row | {"seed": int(seed)}
        for seed, rows in json.loads(RESULTS.read_text()).items()
        for row in rows
    ]
    frame = pd.DataFrame(groups)
    columns = ["glacier_share", "iou", "precision", "recall", "ece_raw", "ece_calibrated"]
    means = frame.groupby(["year", "sensor", "seed"])[columns].mean()
    lines = [f"| year | sensor | {' | '.join(columns)} |", "| --- |" + " --- |" * 7]
    for (year, sensor), part in means.groupby(["year", "sensor"]):
        cells = (f"{part[name].mean():.3f} ± {part[name].std():.3f}" for name in columns)
        lines.append(f"| {year} | {sensor} | {' | '.join(cells)} |")
    iou = frame.groupby(["region", "year", "sensor"])["iou"].mean().unstack(["year", "sensor"])
    lines += ["", "| region | " + " | ".join(", ".join(name) for name in iou.columns) + " |"]
    lines.append("| --- |" + " --- |" * len(iou.columns))
    for region, row in iou.iterrows():
        lines.append(f"| {region} | " + " | ".join(f"{value:.3f}" for value in row) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run", help="write the scenes, calibrate and test")
    runs.add_argument("--runs", type=Path, default=Path("runs/strategies"))
    runs.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    commands.add_parser("table", help="print the tables")
    options = parser.parse_args()
    if options.command == "run":
        run(options.runs, options.seeds)
    else:
        print(table())


if __name__ == "__main__":
    main()
