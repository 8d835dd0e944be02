"""Run commands on disks that are too small, look at what is there, and again on larger ones.

python -m benchmarks.reliability.full_disks --number 40

The disks are mounted, which takes root; others limit the size of each file, which the system then
says as of a full disk.
"""

import random
import shutil
from pathlib import Path

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
        child = Child(command.work, prepared, file_bytes=max(1, needed // 2))
        return _outcome(trial, name, child, prepared) + _again(trial, name, prepared)


def _outcome(trial: Trial, name: str, child: Child, folder: Path) -> list[str]:
    ended = child.ended()
    wrong = [f"on the full disk, {what}" for what in trial.wrong_names(name, folder)]
    if ended.traceback:
        wrong.append(f"a traceback: {ended.said.strip().splitlines()[-1]}")
    if ended.status == 0:
        wrong += [f"without an error, {what}" for what in trial.wrong_in_the_end(name, folder)]
    return wrong


def _again(trial: Trial, name: str, folder: Path) -> list[str]:
    command = trial.commands[name]
    ended = Child(command.again or command.work, folder).ended()
    if ended.status:
        last = ended.said.strip().splitlines()[-1:]
        return [f"with room, the same command ends with {ended.status}: {last}"]
    return [f"in the end, {what}" for what in trial.wrong_in_the_end(name, folder)]


if __name__ == "__main__":
    trying.main(__doc__, full_disks=(fill, 40))
