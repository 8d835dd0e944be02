"""How the cost of loading grows: with the number of tiles, and with the workers of a DataLoader.

For 125 to 2,000 tiles as `loader_speed.py` writes them: seconds to index them, memory that the
index takes, and windows a second that one process reads. Then windows a second of a DataLoader by
its number of workers, over an epoch in which they have been started already. Exponents are slopes
of log-log lines, 1 where the cost grows as the number does. Run:

    python -m benchmarks.speed.loader_growth
"""

import argparse
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.utils.data import DataLoader
from torchgeo.datasets import stack_samples

from benchmarks.speed.loader_speed import GROUPS, SIZE, write_rasters
from benchmarks.speed.measuring import exponent, peak_mb, save, timed
from glavitu.datasets import GlacierRasters, RandomWindows

COUNTS = (125, 250, 500, 1000, 2000)


def index(folder: Path, count: int, windows: int) -> dict[str, float]:
    """Measure the index of a folder's first tiles, in a process of its own."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        for tile in sorted(folder.iterdir())[:count]:
            shutil.copytree(tile, Path(temporary, tile.name), copy_function=os.link)
        before, start = peak_mb(), time.perf_counter()
        dataset = GlacierRasters(temporary, GROUPS)
        seconds = time.perf_counter() - start
        memory = peak_mb() - before
        draws = list(RandomWindows(dataset.extents, SIZE, windows))
        reading = timed(lambda: [dataset[query] for query in draws])
    return {"index_seconds": seconds, "memory_mb": memory, "rate": windows / reading}


def tiles(folder: Path, counts: list[int], windows: int, rounds: int) -> dict[str, Any]:
    """Measure all counts in turns."""
    measured: dict[int, list[dict[str, float]]] = {count: [] for count in counts}
    index(folder, min(counts), windows)  # imports, and what is done once
    for _ in range(rounds):
        for count in counts:
            with multiprocessing.get_context("fork").Pool(1) as pool:
                measured[count].append(pool.apply(index, (folder, count, windows)))
    figures = {
        key: [median(run[key] for run in measured[count]) for count in counts]
        for key in ("index_seconds", "memory_mb", "rate")
    }
    return {
        "tiles": counts,
        **figures,
        "index_exponent": exponent(list(map(float, counts)), figures["index_seconds"]),
        "rate_exponent": exponent(list(map(float, counts)), figures["rate"]),
    }


def workers(folder: Path, numbers: list[int], windows: int, rounds: int) -> dict[str, Any]:
    """Measure DataLoaders with some numbers of workers in turns."""
    dataset = GlacierRasters(folder, GROUPS)
    loaders = [
        DataLoader(
            dataset,
            batch_size=8,
            sampler=RandomWindows(dataset.extents, SIZE, windows),
            num_workers=number,
            collate_fn=stack_samples,
            persistent_workers=number > 0,
        )
        for number in numbers
    ]
    seconds: list[list[float]] = [[] for _ in numbers]
    for turn in range(rounds + 1):
        for times, loader in zip(seconds, loaders, strict=True):
            taken = timed(partial(_exhaust, loader))
            if turn:  # the first one starts the workers
                times.append(taken)
    rates = [windows / median(times) for times in seconds]
    return {"workers": numbers, "windows_per_second": rates}


def _exhaust(loader: Iterable[Any]) -> None:
    for _ in loader:
        pass


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--folder", type=Path, help="folder of the GeoTIFFs, kept between runs")
    parser.add_argument("--tiles", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--workers", type=int, nargs="+", help="by default 0, 1, 2, 4 ... cores")
    parser.add_argument("--windows", type=int, default=96, help="windows of a round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    numbers = options.workers or [0, *(n for n in (1, 2, 4, 8, 16, 32) if n <= cores)]
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = write_rasters(options.folder or Path(temporary, "tiles"), max(options.tiles))
        figures = {
            "tiles": tiles(folder, list(options.tiles), options.windows, options.rounds),
            "workers": workers(folder, numbers, options.windows, options.rounds),
        }
    save("loader_growth", figures)


if __name__ == "__main__":
    main()
