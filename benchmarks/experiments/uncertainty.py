"""Calibration and means of uncertainty on the synthetic benchmark: IoU, errors and cost.

Takes the models of the global strategy that strategies.py trained, calibrates a copy of
each on the validation tiles with the same means, and tests it: one prediction, test-time
augmentation, Monte Carlo dropout, and the ensemble of the seeds' models; and one prediction with a
curve for each region. Scores that are there already are kept:

    python -m benchmarks.experiments.uncertainty run --runs runs/strategies
    python -m benchmarks.experiments.uncertainty table
    python -m benchmarks.experiments.uncertainty calibration
"""

import argparse
import json
import shutil
import time
from pathlib import Path

import pandas as pd

from benchmarks.experiments.strategies import REGIONS, ROOT, SEEDS, Run, best

RESULTS = ROOT / "benchmarks" / "results" / "uncertainty.json"
MEANS = ("single", "tta", "mc-dropout:10", "ensemble")

#: One prediction, calibrated with a curve for each region.
PER_REGION = "per-region"


def measure(means: str, seed: int, runs: Path) -> dict:
    """Calibrate and test one model, and return the scores of each region and the time a tile."""
    from glavitu.cli import main

    folder = runs / f"uncertainty-{means.replace(':', '')}-seed{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    checkpoint = folder / "model.ckpt"
    shutil.copy(best(runs / Run(seed, "global", "optical_dem").name), checkpoint)
    words = {"single": [], "ensemble": [], PER_REGION: []}.get(means, [means])
    if means == "ensemble":
        others = [s for s in SEEDS if s != seed]
        words = [str(best(runs / Run(s, "global", "optical_dem").name)) for s in others]
    place = [f"--data.root={runs / 'benchmark'}"]
    calibrate = ["calibrate", "--checkpoint", str(checkpoint), *place, f"--output={folder}"]
    calibrate += ["--per-region"] if means == PER_REGION else []
    assert main([*calibrate, *(["--inference", *words] if words else [])]) == 0
    test = ["test", f"--ckpt_path={checkpoint}", *place, f"--region_report.output={folder}"]
    test += ["--trainer.accelerator=cpu", "--trainer.logger=false"]
    test += [f"--trainer.default_root_dir={folder}"]
    test += ["--worst_tiles.samples=0", "--trainer.enable_progress_bar=false"]
    # CPU time of one thread: the machine may be busy with other work.
    start = time.process_time()
    assert main([*test, *([f"--model.inference=[{','.join(words)}]"] if words else [])]) == 0
    seconds = time.process_time() - start
    report = json.loads((folder / "report.json").read_text())
    table = pd.read_csv(folder / "report.csv").set_index("region")
    regions = report["calibration"]["regions"]
    for region in REGIONS:
        regions[region]["iou"] = float(table["iou"][region])
    return {"means": means, "seed": seed, "seconds": seconds, "regions": regions}


def run(runs: Path, seeds: list[int]) -> None:
    """Measure what is not there yet."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for seed in seeds:
        for means in (*MEANS, PER_REGION):
            name = f"{means}-seed{seed}"
            # An ensemble of all seeds is the same from whichever it starts.
            if name in results or (means == "ensemble" and seed != SEEDS[0]):
                continue
            print(f"== {name}", flush=True)
            results[name] = measure(means, seed, runs)
            RESULTS.write_text(json.dumps(results, indent=1))


def table() -> str:
    """Make the table of Markdown: means over regions, and the cost."""
    rows = []
    for entry in json.loads(RESULTS.read_text()).values():
        means = pd.DataFrame(entry["regions"]).T.astype(float).mean()
        rows.append({"means": entry["means"], "seed": entry["seed"], **means, **entry})
    frame = pd.DataFrame(rows)
    single = frame[frame["means"] == "single"].set_index("seed")["seconds"]
    frame["cost"] = frame["seconds"] / frame["seed"].map(single)
    columns = ("iou", "ece_raw", "ece_calibrated", "brier", "cost")
    lines = [f"| means | seeds | {' | '.join(columns)} |", "| --- |" + " --- |" * 6]
    for means in MEANS:
        part = frame[frame["means"] == means]
        cells = (f"{part[column].mean():.3f}" for column in columns[:-1])
        lines.append(f"| {means} | {len(part)} | {' | '.join(cells)} | {part['cost'].mean():.1f} |")
    return "\n".join(lines)


def calibration() -> str:
    """Make the table of Markdown: calibration error of each region, means over the seeds."""
    results = json.loads(RESULTS.read_text()).values()
    columns = {"raw": "ece_raw", "one curve": "ece_calibrated"}
    tables = {
        title: pd.DataFrame({e["seed"]: _of(e, key) for e in results if e["means"] == "single"})
        for title, key in columns.items()
    }
    own = {e["seed"]: _of(e, "ece_calibrated") for e in results if e["means"] == PER_REGION}
    tables["a curve a region"] = pd.DataFrame(own)
    lines = [f"| region | {' | '.join(tables)} |", "| --- |" + " --- |" * len(tables)]
    for region in (*REGIONS, "mean"):
        rows = (t.mean() if region == "mean" else t.loc[region] for t in tables.values())
        cells = (f"{row.mean():.3f} ± {row.std():.3f}" for row in rows)
        lines.append(f"| {region} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _of(entry: dict, score: str) -> dict[str, float]:
    """Return a score of each region."""
    return {region: scores[score] for region, scores in entry["regions"].items()}


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run", help="calibrate and test")
    runs.add_argument("--runs", type=Path, default=Path("runs/strategies"))
    runs.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    commands.add_parser("table", help="print the table of means of uncertainty")
    commands.add_parser("calibration", help="print the table of calibration errors")
    options = parser.parse_args()
    if options.command == "run":
        run(options.runs, options.seeds)
    else:
        print({"table": table, "calibration": calibration}[options.command]())


if __name__ == "__main__":
    main()
