"""Start commands twice at once in one folder, and look at what is there.

python -m benchmarks.reliability.races --number 40
"""

import random
import time

from benchmarks.reliability import trying
from benchmarks.reliability.children import Child
from benchmarks.reliability.commands import Trial
from benchmarks.reliability.contents import contents

REFUSED = "another process is writing into this folder"


def race(trial: Trial, name: str, rng: random.Random) -> list[str]:
    """Start a command, and again soon after; return what is wrong."""
    folder, command = trial.folder(name), trial.commands[name]
    one = Child(command.work, folder)
    time.sleep(rng.uniform(0, 0.5 * trial.seconds[name]) * rng.choice((0, 1)))
    both = [one, Child(command.work, folder)]
    wrong, finished = [], 0
    for child in both:
        ended = child.ended()
        finished += ended.status == 0
        if ended.status and (REFUSED not in ended.said or ended.traceback):
            last = ended.said.strip().splitlines()[-1:]
            wrong.append(f"one of both ends with {ended.status}: {last}")
    if not finished:
        wrong.append("neither ended well")
    if name != "fit":
        return wrong + trial.wrong_in_the_end(name, folder)
    found = contents(folder)  # each run has a version of its own
    return wrong + [
        f"{key} of {version} is another"
        for version in ("version_0", "version_1")
        for key, said in trial.expected["fit"].items()
        if found.get(key.replace("version_0", version)) != said
    ]


if __name__ == "__main__":
    trying.main(__doc__, races=(race, 40))
