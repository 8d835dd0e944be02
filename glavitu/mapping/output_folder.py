"""The output folder of a map: one process at a time, one run's results, complete or not there."""

import errno
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from glavitu.errors import InputError
from glavitu.mapping.provenance import FINGERPRINT, differences

logger = logging.getLogger(__name__)

#: Rows of pixels that are finished.
ROWS_FILE = "rows"

#: Tells how the results beside it were made; written last.
RUN_FILE = "run.json"

PREFIX = ".glavitu-"

#: What the system says of a full disk, a full quota, and a file larger than allowed.
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class NoDataError(InputError):
    """A scene in which no pixel has data: its rows are of no use."""


@contextmanager
def opened(output: Path) -> Iterator[None]:
    """Make an output folder and keep other processes out of it.

    Raises:
        InputError: If it cannot be made or written to, or another process maps into it.
    """
    if output.exists() and not output.is_dir():
        raise InputError(f"{output} is a file, but the output must be a folder; name another")
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            pass
    except OSError as error:
        raise InputError(
            f"{output}: nothing can be written there ({error.strerror}); choose another output"
        ) from error
    with _locked(output):
        yield


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            # The system lets go of the lock when a process ends, however it ends.
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"{folder}: another process is mapping into this folder; wait for it, or choose "
                "another output"
            ) from error
        yield
    finally:
        os.close(handle)


def work_folder(output: Path, run: Mapping[str, Any]) -> Path:
    """Return the hidden folder in which a run works."""
    return output / f"{PREFIX}{run[FINGERPRINT][:16]}"


def finished_run(
    output: Path, run: Mapping[str, Any], names: Sequence[str], overwrite: bool
) -> dict[str, Any] | None:
    """Look whether a run's results are there already.

    Args:
        output: The output folder.
        run: What is wanted, see :func:`glavitu.mapping.provenance.provenance`.
        names: Names of the files that it leaves.
        overwrite: Whether other results are replaced.

    Returns:
        What ``run.json`` holds of the same run if it is complete, otherwise None.

    Raises:
        InputError: If there are other results that are not to be replaced.
    """
    work = work_folder(output, run)
    if (work / RUN_FILE).exists():
        return publish(work, output)
    written = read_run(output)
    there = [name for name in names if (output / name).exists()]
    same = written is not None and written.get(FINGERPRINT) == run[FINGERPRINT]
    if written is not None and same and not overwrite and len(there) == len(names):
        shutil.rmtree(work, ignore_errors=True)
        return written
    if not written and (there or written is not None):
        # What is not known to be a map's may be somebody's only copy: not even on demand.
        files = ", ".join(there or [RUN_FILE])
        raise InputError(
            f"{output} holds {files}, of which nothing tells that a map left it; choose another "
            "output, or move or remove it"
        )
    if written and not overwrite and not same:
        raise InputError(
            f"{output} holds another map; it differs in {', '.join(differences(written, run))}. "
            "Choose another output, remove that map, or replace it with --overwrite "
            "(overwrite=True)"
        )
    _look_at_others(output, work, overwrite)
    return None


def read_run(output: Path) -> dict[str, Any] | None:
    """Read ``run.json`` of an output folder; None where there is none, empty if it is no map's."""
    try:
        run = json.loads((output / RUN_FILE).read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return run if isinstance(run, dict) and FINGERPRINT in run else {}


def publish(work: Path, output: Path) -> dict[str, Any]:
    """Move the results of a run to their names.

    That ``run.json`` lies in the work folder says that all others are complete. It is moved last,
    so that what is cut off here is finished by the next call.

    Args:
        work: Folder of the run, with its results.
        output: The output folder; the results of a run that are there are removed.

    Returns:
        What ``run.json`` holds.
    """
    run: dict[str, Any] = json.loads((work / RUN_FILE).read_text())
    older = read_run(output) or {}
    for name in older.get("files", []):
        if name not in run["files"]:
            _remove_beside(output / name)
            (output / Path(name).name).unlink(missing_ok=True)
    (output / RUN_FILE).unlink(missing_ok=True)
    for name in [*run["files"], RUN_FILE]:
        if (work / name).exists():
            _remove_beside(output / name)
            os.replace(work / name, output / name)
    shutil.rmtree(work)
    return run


@contextmanager
def working(output: Path, run: Mapping[str, Any]) -> Iterator[Path]:
    """Give the hidden folder in which a run works; it stays after a failure.

    A folder without a row of pixels is of no use to the next run, so that goes.

    Args:
        output: The output folder.
        run: The run, see :func:`glavitu.mapping.provenance.provenance`.
    """
    work = work_folder(output, run)
    work.mkdir(exist_ok=True)
    try:
        yield work
    except BaseException as error:
        rows = work / ROWS_FILE
        if isinstance(error, NoDataError) or not rows.exists() or not rows.stat().st_size:
            shutil.rmtree(work)
        elif isinstance(error, KeyboardInterrupt):
            logger.warning(f"{output}: the same command goes on where it was interrupted")
        raise


@contextmanager
def full_disk_told(output: Path, work: Path, total: int) -> Iterator[None]:
    """Say of a full disk what helps.

    Args:
        output: The output folder.
        work: Folder of the run.
        total: About how many bytes a whole run writes.

    Raises:
        InputError: In the place of an OSError that a full disk causes.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        there = sum(file.stat().st_size for file in work.rglob("*") if file.is_file())
        raise InputError(
            f"{output} could not be written ({error.strerror}); see whether the disk is full and "
            f"free about {max(1, (total - there) // 10**6):,} MB there, then the same command goes "
            "on where it stopped"
        ) from error


def _look_at_others(output: Path, work: Path, remove: bool) -> None:
    others = [path for path in output.glob(f"{PREFIX}*") if path != work]
    for other in others:
        if remove:
            shutil.rmtree(other, ignore_errors=True)
        else:
            logger.warning(
                f"{other}: unfinished work of another run; remove it unless you go on with that"
            )


def _remove_beside(path: Path) -> None:
    # What other programs keep beside an older file (statistics, a log of SQLite) would now lie.
    for suffix in (".aux.xml", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
