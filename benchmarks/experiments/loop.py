"""Results that are kept as they come, so that an experiment goes on where it was stopped."""

import json
import math
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

from benchmarks import RESULTS

#: Runs by name, in the order in which they are done; what comes first may be needed by the others.
Runs = Iterable[tuple[str, Callable[[], Any]]]


def load(experiment: str) -> dict[str, Any]:
    """Read what an experiment found, by the names of its runs; nothing where it has not begun."""
    path = RESULTS / f"{experiment}.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def resume(experiment: str, runs: Runs, minutes: float = math.inf) -> None:
    """Do the runs of an experiment that have no result, and keep each when it is done.

    Args:
        experiment: Name of the experiment, and of its file in benchmarks/results/.
        runs: What is to be done.
        minutes: Start no run after so many.
    """
    start = time.monotonic()
    results = load(experiment)
    for name, run in runs:
        if name in results:
            continue
        passed = (time.monotonic() - start) / 60
        if passed > minutes:
            print("time is over; call this again to go on")
            return
        print(f"== {name} ({passed:.1f} min)", flush=True)
        results[name] = run()
        partial = RESULTS / f"{experiment}.partial"
        partial.write_text(json.dumps(results, indent=1) + "\n")
        os.replace(partial, partial.with_suffix(".json"))
    print("all runs are done")
