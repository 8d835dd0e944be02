"""Kill commands at random moments, look at what is there, and run them again.

python -m benchmarks.reliability.kills --number 200
"""

import random

from benchmarks.reliability import trying
from benchmarks.reliability.children import Child
from benchmarks.reliability.commands import Trial


def kill(trial: Trial, name: str, rng: random.Random) -> list[str] | None:
    """Kill a command once or twice, then let it end; return what is wrong, None if none was hit."""
    folder, command = trial.folder(name), trial.commands[name]
    hit, work = 0, command.work
    wrong: list[str] = []
    for _ in range(rng.choice((1, 1, 2))):
        child = Child(work, folder)
        ended = child.wait(rng.uniform(0, trial.seconds[name]))
        if ended is None:
            child.kill()
            hit += child.ended().status == -9
        wrong += [f"after the kill, {what}" for what in trial.wrong_names(name, folder)]
        work = command.again or command.work
    if not hit:
        return None
    ended = Child(work, folder).ended()
    if ended.status:
        last = ended.said.strip().splitlines()[-1:]
        return [*wrong, f"the same command again ends with {ended.status}: {last}"]
    return wrong + [f"in the end, {what}" for what in trial.wrong_in_the_end(name, folder)]


if __name__ == "__main__":
    trying.main(__doc__, kills=(kill, 200))
