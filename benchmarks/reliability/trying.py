"""The loop of all trials: commands by turns, moments from a seed, what is wrong in a result."""

import argparse
import random
import shutil
from collections.abc import Callable
from typing import Any

from benchmarks.reliability.commands import Trial, trial
from benchmarks.speed import measuring

#: Tries a command; returns what is wrong, or None where the trial did not come about.
Try = Callable[[Trial, str, random.Random], list[str] | None]


def attempt(way: Try, number: int, seed: int, names: list[str] | None = None) -> dict[str, Any]:
    """Try commands by turns.

    Args:
        way: How.
        number: Number of trials that came about.
        seed: Of their moments.
        names: The commands, by default all.

    Returns:
        For each command the number of trials, and what was wrong.
    """
    rng = random.Random(seed)
    with trial(names) as place:
        order = list(place.commands)
        told: dict[str, Any] = {name: {"trials": 0, "wrong": []} for name in order}
        done = turn = 0
        while done < number:
            name = order[turn % len(order)]
            turn += 1
            wrong = way(place, name, rng)
            if wrong is None:
                continue
            done += 1
            told[name]["trials"] += 1
            told[name]["wrong"] += [wrong] if wrong else []
            print(f"{done}/{number} {name}: {'; '.join(wrong) or 'right'}", flush=True)
            for folder in place.place.glob("trial_*/*"):
                shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
    return told


def main(what: str, way: Try, number: int, text: str) -> None:
    """Try as the command line says, and keep what was found.

    Args:
        what: Name of the trials, and of the file of results.
        way: How one is made.
        number: Number of trials by default.
        text: What is said of them.
    """
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--number", type=int, default=number)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", nargs="+", help="these alone; nothing is kept")
    options = parser.parse_args()
    told = attempt(way, options.number, options.seed, options.commands)
    if options.commands is None:
        measuring.save(what, {**told, "seed": options.seed})
    wrong = sum(len(command["wrong"]) for command in told.values())
    print(f"{options.number} {what}, {wrong} with something wrong")
    raise SystemExit(wrong > 0)
