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


def attempt(place: Trial, way: Try, number: int, seed: int) -> dict[str, Any]:
    """Try commands by turns.

    Args:
        place: Where, and which.
        way: How.
        number: Number of trials that came about.
        seed: Of their moments.

    Returns:
        For each command the number of trials, and what was wrong.
    """
    rng = random.Random(seed)
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


def main(text: str, **ways: tuple[Try, int]) -> None:
    """Try as the command line says, and keep what was found.

    Args:
        text: What is said of the trials.
        **ways: By the name of their results: how one is made, and how many are by default.
    """
    parser = argparse.ArgumentParser(description=text)
    for what, (_, number) in ways.items():
        option = "--number" if len(ways) == 1 else f"--{what.replace('_', '-')}"
        parser.add_argument(option, dest=what, type=int, default=number)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", nargs="+", help="these alone; nothing is kept")
    options = parser.parse_args()
    faults = 0
    with trial(options.commands) as place:
        for what, (way, _) in ways.items():
            number = getattr(options, what)
            told = attempt(place, way, number, options.seed)
            if options.commands is None:
                measuring.save(what, {**told, "seed": options.seed})
            wrong = sum(len(command["wrong"]) for command in told.values())
            print(f"{number} {what}, {wrong} with something wrong", flush=True)
            faults += wrong
    raise SystemExit(faults > 0)
