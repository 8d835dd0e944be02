"""How long `import glavitu` and the help of each command take, in fresh processes.

Seconds are of the wall clock, and ratios to a bare `python -c pass`, which runs in the same turns:

    python -m benchmarks.speed.start
"""

import argparse
import statistics
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from benchmarks.speed.measuring import alternate, ratio, save
from glavitu.cli import LIGHTNING

BARE = "python -c pass"
QUICK = ("demo", "map", "compare", "report", "info", "convert", "import-keras")
#: Commands whose options come from Lightning, TorchGeo and the model: they have to be imported.
SLOW = (*LIGHTNING, "calibrate")


def command_of(name: str) -> list[str]:
    """Make the command line of what is measured."""
    if name.startswith("glavitu"):
        return [sys.executable, "-m", *name.split()]
    return [sys.executable, "-c", name.removeprefix("python -c ")]


def measure(names: Sequence[str], rounds: int) -> dict[str, dict[str, float]]:
    """Return seconds and the ratio to bare Python of each."""
    run = partial(subprocess.run, check=True, stdout=subprocess.DEVNULL)
    work: dict[str, Any] = {name: partial(run, command_of(name)) for name in (BARE, *names)}
    times = alternate(work, rounds)
    return {
        name: {"seconds": statistics.median(seconds), "to_python": ratio(times, name, BARE)}
        for name, seconds in times.items()
    }


def main() -> None:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="of what is quick (%(default)s)")
    parser.add_argument("--slow-rounds", type=int, default=3, help="of the others (%(default)s)")
    options = parser.parse_args()
    helps = [f"glavitu {command} --help" for command in QUICK]
    slow = [f"glavitu {command} --help" for command in SLOW]
    figures = measure(slow, options.slow_rounds)
    figures |= measure(["import glavitu", "glavitu --help", *helps], options.rounds)
    save("start", figures)


if __name__ == "__main__":
    main()
