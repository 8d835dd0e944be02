"""How time and memory of a map grow with its scene.

    python -m benchmarks.speed.scene_growth

Square scenes are mapped with a threshold on one band and all outputs, each in a process of its own
(scenes.py). The exponent is the slope of time, and of memory beyond the process that
has imported all, against the number of pixels in logarithms: 1 where cost grows as the scene does.
"""

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.speed.measuring import exponent, load, save
from benchmarks.speed.scenes import STAGES, map_apart, write_scene

NAME = "scene_growth"
SIZES = (1_000, 2_000, 4_000, 8_000)


def measure(scene: Path, threads: int) -> dict[str, Any]:
    """Map a scene in a process of its own and return what it took."""
    told = map_apart(scene, "threshold", threads)
    return {
        "wall_s": told["wall_s"],
        "stages_s": told["seconds"],
        "peak_over_imports_mb": told["peak_mb"] - told["imported_mb"],
        "glaciers": told["glaciers"],
    }


def figures(measured: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Summarise what was measured, by the number of PyTorch's threads and the size."""
    summary: dict[str, Any] = {"measured": measured}
    for threads in {name.split()[0] for name in measured}:
        sizes = sorted(int(name.split()[2]) for name in measured if name.split()[0] == threads)
        rounds = [measured[f"{threads} threads {size}"] for size in sizes]
        pixels = [float(size) ** 2 for size in sizes]

        def middle(value: Any, rounds: Any = rounds) -> list[float]:
            return [statistics.median(value(one) for one in several) for several in rounds]

        costs = {"wall_s": middle(lambda one: one["wall_s"])}
        costs["peak_over_imports_mb"] = middle(lambda one: one["peak_over_imports_mb"])
        for stage in STAGES:
            costs[f"{stage}_s"] = middle(lambda one, stage=stage: one["stages_s"][stage])
        summary[f"{threads} threads"] = {"pixels": pixels, **costs}
        if len(sizes) > 1:
            # What takes the same time for any scene hides growth among the small ones.
            for name, part in (
                ("exponents", slice(None)),
                ("exponents_of_the_last", slice(-2, None)),
            ):
                summary[f"{threads} threads"][name] = {
                    cost: exponent(pixels[part], values[part]) for cost, values in costs.items()
                }
    return summary


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="pixels a side")
    parser.add_argument("--threads", type=int, nargs="+", default=(1, 2))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="where scenes and maps go for the time being")
    options = parser.parse_args()
    measured = load(NAME).get("figures", {}).get("measured", {})
    for size in options.sizes:
        keys = {threads: f"{threads} threads {size}" for threads in options.threads}
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            write_scene(Path(folder), size, size)
            several: dict[str, list[dict[str, Any]]] = {key: [] for key in keys.values()}
            for number in range(options.rounds):
                for threads, key in keys.items():
                    with tempfile.TemporaryDirectory(dir=folder) as turn:
                        for name in ("optical.tif", "dem.tif"):
                            Path(turn, name).symlink_to(Path(folder, name).resolve())
                        several[key].append(measure(Path(turn), threads))
                        print(f"round {number}, {key}: {several[key][-1]['wall_s']:.1f} s")
        measured |= several
        save(NAME, figures(measured))


if __name__ == "__main__":
    main()
