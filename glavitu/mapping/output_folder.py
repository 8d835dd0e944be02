"""The output folder of a map: one process at a time, one run's results, complete or not there."""

import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from glavitu.errors import InputError
from glavitu.files import FULL, checksum, is_plain_name, sync, sync_names, when_complete
from glavitu.mapping.provenance import FINGERPRINT, differences

logger = logging.getLogger(__name__)

#: Rows of pixels that are finished.
ROWS_FILE = "rows"

#: Tells how the results beside it were made; written last.
RUN_FILE = "run.json"

#: What it knows of the size and SHA-256 of each.
SUMS = "sums"

PREFIX = ".glavitu-"


class NoDataError(InputError):
    """A scene in which no pixel has data: its rows are of no use."""


class ChangedError(InputError):
    """Rasters that changed while they were mapped: neither are these."""


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
    written = read_run(output)
    there = [name for name in names if (output / name).exists()]
    same = written is not None and written.get(FINGERPRINT) == run[FINGERPRINT]
    if written and not same and not overwrite:
        raise InputError(
            f"{output} holds another map; it differs in {', '.join(differences(written, run))}. "
            "Choose another output, remove that map, or replace it with --overwrite "
            "(overwrite=True)"
        )
    if _can_be_published(work, output, run):
        return publish(work, output)
    if written and same and not overwrite:
        if not _check_whole(output, written, names):
            shutil.rmtree(work, ignore_errors=True)
            return written
        logger.warning(f"{output}: is not complete; what is missing is made again")
    if not written and (there or written is not None):
        # What is not known to be a map's may be somebody's only copy: not even on demand.
        files = ", ".join(there or [RUN_FILE])
        cut_off = [path.parent for path in output.glob(f"{PREFIX}*/{RUN_FILE}")]
        if cut_off and written is None:
            raise InputError(
                f"{output} holds {files}, and another run was cut off there while its files got "
                f"their names; run that command again to finish it, or choose another output"
            )
        raise InputError(
            f"{output} holds {files}, of which nothing tells that a map left it; choose another "
            "output, or move or remove it"
        )
    _look_at_others(output, work, overwrite)
    return None


def read_run(folder: Path) -> dict[str, Any] | None:
    """Read ``run.json`` of an output folder; None where there is none, empty if it is no map's.

    Its ``files`` are names in that folder, and no paths: who acts on them stays in the folder.
    """
    try:
        run = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError):
        return {}
    if not isinstance(run, dict) or not isinstance(run.get(FINGERPRINT), str):
        return {}
    files, sums = run.get("files", []), run.get(SUMS, {})
    if not isinstance(files, list) or not all(map(is_plain_name, files)):
        return {}
    described = isinstance(sums, dict) and all(isinstance(one, dict) for one in sums.values())
    return run if described else {}


def write_run(work: Path, run: dict[str, Any], files: Sequence[str]) -> None:
    """Write ``run.json`` into the folder of a run, which says that its files are complete.

    Args:
        work: Folder of the run, with its results.
        run: How they were made; what is known of the files is added.
        files: Their names.
    """
    for name in files:
        sync(work / name)
    run["files"] = list(files)
    run[SUMS] = {
        name: {"bytes": (work / name).stat().st_size, "sha256": checksum(work / name)}
        for name in files
    }
    with when_complete(work / RUN_FILE) as partial:
        partial.write_text(json.dumps(run, indent=2), encoding="utf-8")


def wrong_sizes(folder: Path, run: Mapping[str, Any]) -> list[str]:
    """List the files of a map that are missing, or have another size than they were written with.

    Args:
        folder: Where they should be.
        run: What ``run.json`` holds; that of glavitu 0.1 says nothing of sizes.
    """
    wrong = []
    for name in run["files"]:
        path, said = folder / name, run.get(SUMS, {}).get(name, {})
        if not path.is_file() or said.get("bytes", path.stat().st_size) != path.stat().st_size:
            wrong.append(name)
    return wrong


def _check_whole(output: Path, run: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """List what is missing or empty of a finished map.

    Raises:
        InputError: If something was changed, which may be somebody's work.
    """
    paths = [output / name for name in dict.fromkeys([*names, *run.get("files", [])])]
    missing = [path.name for path in paths if not path.is_file() or not path.stat().st_size]
    changed = [p.name for p in paths if p.name not in missing and not _as_written(p, run)]
    if changed:
        raise InputError(
            f"{output}: {', '.join(changed)} is not as the map left it: cut off, or changed since; "
            "move it away to keep it, and the same command makes it again, or replace the map with "
            "--overwrite (overwrite=True)"
        )
    return missing


def _as_written(path: Path, run: Mapping[str, Any]) -> bool:
    said = run.get(SUMS, {}).get(path.name)
    return bool(said == {"bytes": path.stat().st_size, "sha256": checksum(path)})


def _can_be_published(work: Path, output: Path, run: Mapping[str, Any]) -> bool:
    """Tell whether a run was cut off after all of its files were complete, and they still are."""
    finished = None if work.is_symlink() else read_run(work)
    if finished is None:
        return False
    if finished.get(FINGERPRINT) == run[FINGERPRINT]:
        names = finished.get("files", [])
        places = [work / name if (work / name).is_file() else output / name for name in names]
        if all(path.is_file() and _as_written(path, finished) for path in places):
            return True
    logger.warning(f"{work}: its files are not as they were written; they are made again")
    (work / RUN_FILE).unlink()
    return False


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
    run = read_run(work)
    assert run
    older = read_run(output) or {}
    for name in older.get("files", []):
        if name not in run["files"]:
            _remove_beside(output / name)
            (output / name).unlink(missing_ok=True)
    (output / RUN_FILE).unlink(missing_ok=True)
    for name in run["files"]:
        if (work / name).exists():
            _remove_beside(output / name)
            os.replace(work / name, output / name)
    sync_names(output)
    os.replace(work / RUN_FILE, output / RUN_FILE)
    sync_names(output)
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
    if work.is_symlink():
        raise InputError(f"{work} is a link to another place; remove it, or choose another output")
    work.mkdir(exist_ok=True)
    try:
        yield work
    except BaseException as error:
        rows = work / ROWS_FILE
        if (
            isinstance(error, NoDataError | ChangedError)
            or not rows.exists()
            or not rows.stat().st_size
        ):
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
