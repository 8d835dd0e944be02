"""Peak memory of a map, and the time of its stages, by the size of the scene.

Each scene is mapped in a process of its own, see :mod:`benchmarks.speed.scenes`: by a threshold on
one band, which costs next to nothing and shows what all else costs, or by a small GlaViTU:

    python -m benchmarks.experiments.map_scenes
"""

import argparse
import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.experiments.loop import load, resume
from benchmarks.pages import markdown
from benchmarks.speed.scenes import STAGES, map_apart, write_scene

NAME = "map_scenes"

#: Model, height and width.
SCENES = (
    ("threshold", 4_000, 4_000),
    ("threshold", 40_000, 4_000),
    ("threshold", 10_980, 10_980),
    ("GlaViTU", 10_980, 10_980),
)


def measure(kind: str, height: int, width: int, folder: str | None) -> dict[str, Any]:
    """Write a scene, map it, and return what that took."""
    with tempfile.TemporaryDirectory(dir=folder) as scene:
        write_scene(Path(scene), height, width)
        cost = map_apart(Path(scene), kind)
    threads = os.environ.get("OMP_NUM_THREADS")
    return {"model": kind, "height": height, "width": width, "threads": threads} | cost


def scenes() -> str:
    """Make the table: seconds of each stage and memory, for each scene."""
    rows = [
        [
            entry["model"],
            f"{entry['height']:,} x {entry['width']:,}",
            f"{entry['windows']['predicted']:,}",
            *(f"{entry['seconds'][stage]:.0f}" for stage in STAGES),
            f"{entry['peak_mb']:,}",
            f"{entry['peak_mb'] - entry['imported_mb']:,}",
        ]
        for entry in load(NAME).values()
    ]
    seconds = (f"{stage}, s" for stage in STAGES)
    return markdown(["model", "scene", "windows", *seconds, "peak, MB", "of it, MB"], rows)


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", help="where scenes and maps go for the time being")
    options = parser.parse_args()
    runs = (
        (f"{kind}-{height}x{width}", partial(measure, kind, height, width, options.folder))
        for kind, height, width in SCENES
    )
    resume(NAME, runs)


if __name__ == "__main__":
    main()
