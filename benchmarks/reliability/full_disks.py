"""Run commands on disks that are too small, look at what is there, and again on larger ones.

python -m benchmarks.reliability.full_disks --number 40

The disks are mounted, which takes root; others limit the size of each file, which the system then
says as of a full disk.
"""

import random
import shutil
from contextlib import nullcontext

from benchmarks.reliability import trying
from benchmarks.reliability.children import Child, small_disk
from benchmarks.reliability.commands import Trial


def fill(trial: Trial, name: str, rng: random.Random) -> list[str]:
    """Run a command without enough room, then with; return what is wrong."""
    prepared, command = trial.folder(name), trial.commands[name]
    folder = prepared.with_name(f"{prepared.name}_disk")
    needed = int(trial.bytes[name] * rng.uniform(0.02, 1.1))
    before = sum(path.stat().st_size for path in prepared.rglob("*"))
    try:
        with small_disk(folder, before + needed + 8192 * (before > 0)) as enlarge:
            shutil.copytree(prepared, folder, dirs_exist_ok=True)
            wrong = _outcome(trial, name, Child(command.work, folder), folder)
            enlarge()
            return wrong + _again(trial, name, folder)
    except PermissionError:
        folder = prepared
    with nullcontext():
        largest = max(1, int(0.8 * needed))
        child = Child(command.work, folder, file_bytes=largest)
        return _outcome(trial, name, child, folder) + _again(trial, name, folder)


def _outcome(trial, name, child, folder):
    ended = child.ended()
    wrong = [f"on the full disk, {what}" for what in trial.wrong_names(name, folder)]
    if ended.traceback:
        wrong.append(f"a traceback: {ended.said.strip().splitlines()[-1]}")
    if ended.status == 0:
        wrong += [f"without an error, {what}" for what in trial.wrong_in_the_end(name, folder)]
    return wrong


def _again(trial, name, folder):
    command = trial.commands[name]
    ended = Child(command.again or command.work, folder).ended()
    if ended.status:
        last = ended.said.strip().splitlines()[-1:]
        return [f"with room, the same command ends with {ended.status}: {last}"]
    return [f"in the end, {what}" for what in trial.wrong_in_the_end(name, folder)]


if __name__ == "__main__":
    trying.main("full_disks", fill, 40, __doc__)
