"""What the folders of a conversion were made of, and what they hold."""

import json
import os
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from glavitu.files import checksum, is_plain_name, sampled_checksum

#: Lies in the output folder.
JOURNAL = ".converted.jsonl"

Source = Mapping[str, Any]


class State(Enum):
    """What a folder is."""

    WHOLE = "as it was written"
    INCOMPLETE = "without a file, or with an empty one"
    CHANGED = "other than it was written"
    UNKNOWN = "not known to be written by a conversion"


class Journal:
    """A file that only grows, with a line for each folder before it gets its name.

    A line that was cut off is none. A folder is what one of its lines says, so that a line whose
    folder never got its name does no harm.

    Args:
        output: The output folder.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self._path = output / JOURNAL
        self._written: dict[str, list[dict[str, Any]]] = {}
        text = self._path.read_text("utf-8", errors="replace") if self._path.is_file() else ""
        self._torn = bool(text) and not text.endswith("\n")
        for line in text.splitlines():
            try:
                record = json.loads(line)
                self._written.setdefault(record["folder"], []).append(
                    {"source": record["source"], "files": dict(record["files"])}
                )
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                continue

    def add(self, folder: Path, source: Source, files: Path) -> None:
        """Note a folder, and have the note on the disk.

        Args:
            folder: Its final path.
            source: What it was made of, see :func:`described`.
            files: Where its files are now.
        """
        sums = {path.name: _sum(path) for path in sorted(files.iterdir())}
        record = {"folder": self._key(folder), "source": dict(source), "files": sums}
        with self._path.open("a", encoding="utf-8") as file:
            file.write("\n" * self._torn + json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._torn = False
        self._written.setdefault(self._key(folder), []).append(record)

    def state(self, folder: Path) -> tuple[State, Source | None]:
        """Tell what a folder is by its lines, and what it was made of where it is whole."""
        found = State.UNKNOWN
        for record in reversed(self._written.get(self._key(folder), [])):
            state = _compare(folder, record["files"])
            if state is State.WHOLE:
                return state, record["source"]
            found = State.INCOMPLETE if State.INCOMPLETE in (state, found) else state
        return found, None

    def _key(self, folder: Path) -> str:
        return folder.relative_to(self.output).as_posix()


def described(path: Path) -> dict[str, Any]:
    """Tell a file from others of its name: by size, time, and a sum of its bytes."""
    stat = path.stat()
    return {
        "name": path.name,
        "bytes": stat.st_size,
        "mtime_ns": stat.st_mtime_ns,
        "sampled_sha256": sampled_checksum(path),
    }


def same_files(one: Path, other: Path) -> bool:
    """Tell whether a folder holds the files of another."""
    return _compare(one, {path.name: _sum(path) for path in other.iterdir()}) is State.WHOLE


def _compare(folder: Path, files: Mapping[str, str]) -> State:
    state = State.WHOLE
    for name, said in files.items():
        path = folder / name
        if not is_plain_name(name) or not path.is_file() or not path.stat().st_size:
            state = State.INCOMPLETE
        elif _size(path) != str(said).partition(" ")[0] or _sum(path) != said:
            return State.CHANGED
    return state


def _size(path: Path) -> str:
    return str(path.stat().st_size)


def _sum(path: Path) -> str:
    return f"{_size(path)} {checksum(path)}"
