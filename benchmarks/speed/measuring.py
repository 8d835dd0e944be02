"""What the measurements of speed share: fair alternation, the machine's own limits, results.

Seconds of one machine mean little on another, so figures are ratios: both sides of a ratio run in
turns in the same process, and the median over the rounds counts.
"""

import json
import os
import platform
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

RESULTS = Path(__file__).parents[1] / "results"
PACKAGES = ("glavitu", "torch", "lightning", "torchgeo", "kornia", "rasterio", "numpy")
#: Side of the matrices that show what a machine can compute.
SIZE = 4096

Seconds = dict[str, list[float]]


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def machine(device: str = "cpu") -> dict[str, Any]:
    """Describe where and of what code something is measured."""
    commit = _git("rev-parse", "--short=10", "HEAD")
    # Results written by the benchmarks before this one are no change of the code.
    if _git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":!/benchmarks/results"):
        commit += "-dirty"
    gpu = torch.cuda.get_device_name() if device == "cuda" else None
    return {
        "device": gpu or _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "commit": commit or "unknown",
        "date": date.today().isoformat(),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor() or platform.machine()


def alternate(
    work: Mapping[str, Callable[[], object]], rounds: int = 7, device: str = "cpu"
) -> Seconds:
    """Run each in turn, for some rounds after one that does not count.

    Args:
        work: What to run, by name.
        rounds: Number of rounds that count.
        device: Where the work runs; a GPU is waited for.

    Returns:
        Seconds of each round, by name.
    """
    times: Seconds = {name: [] for name in work}
    for turn in range(rounds + 1):
        for name, run in work.items():
            seconds = timed(run, device)
            if turn:
                times[name].append(seconds)
    return times


def timed(run: Callable[[], object], device: str = "cpu") -> float:
    """Seconds that something takes, the work that it leaves to the GPU included."""
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def ratio(times: Seconds, name: str, to: str) -> float:
    """Median over the rounds of the time of one over the time of another."""
    return statistics.median(a / b for a, b in zip(times[name], times[to], strict=True))


def matrix_products(device: str = "cpu") -> dict[str, Callable[[], object]]:
    """The ways to multiply two matrices of 4096 x 4096; the fastest is the machine's limit.

    On the CPU in float32 by PyTorch's BLAS, NumPy's, and the library of PyTorch's convolutions:
    which is fastest depends on the processor. On a GPU in bfloat16.
    """
    if device == "cuda":
        a, b = (torch.rand(2 * SIZE, 2 * SIZE, device=device).bfloat16() for _ in range(2))
        return {"matrices, cuBLAS": lambda: [a @ b for _ in range(10)]}
    left, right = (torch.rand(SIZE, SIZE) for _ in range(2))
    pixels, kernels = left.view(1, SIZE, 64, 64), right.view(SIZE, SIZE, 1, 1)
    first, second = left.numpy(), right.numpy()
    return {
        "matrices, PyTorch": lambda: left @ right,
        "matrices, NumPy": lambda: first @ second,
        "matrices, oneDNN": lambda: torch.nn.functional.conv2d(pixels, kernels),
    }


def product_flops(device: str = "cpu") -> float:
    """Operations of one of :func:`matrix_products`, a multiplication and an addition being two."""
    return 10 * 2 * (2.0 * SIZE) ** 3 if device == "cuda" else 2 * float(SIZE) ** 3


def machine_rates(times: Seconds, device: str = "cpu") -> list[float]:
    """Operations a second of the fastest matrix product in each round."""
    names = [name for name in times if name.startswith("matrices")]
    rounds = zip(*(times[name] for name in names), strict=True)
    return [product_flops(device) / min(seconds) for seconds in rounds]


def exponent(sizes: list[float], costs: list[float]) -> float:
    """Slope of the straight line through the logarithms: 1 where cost grows as size does."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def peak_mb() -> int:
    """Largest resident memory of this process so far, MB of 2^20 bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def save(name: str, figures: Mapping[str, Any], device: str = "cpu") -> Path:
    """Write figures and the machine as results/NAME.DEVICE.json; only what is given is replaced.

    Each figure keeps the commit and the date of its own measurement.
    """
    path = RESULTS / f"{name}.{device}.json"
    told = load(name, device)
    here = machine(device)
    stamp = {key: here.pop(key) for key in ("commit", "date")}
    told |= {
        "machine": here,
        "measured": told.get("measured", {}) | dict.fromkeys(figures, stamp),
        "figures": told.get("figures", {}) | dict(figures),
    }
    path.write_text(json.dumps(told, indent=1) + "\n")
    print(json.dumps(figures, indent=1))
    return path


def load(name: str, device: str = "cpu") -> dict[str, Any]:
    """Read what :func:`save` wrote, nothing where there is none."""
    path = RESULTS / f"{name}.{device}.json"
    read: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return read
