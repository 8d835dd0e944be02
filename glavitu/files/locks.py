"""Folders that one process at a time writes into."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glavitu.errors import InputError

#: Open folders that are locked; of a forked child they would outlive this process.
_locks: set[int] = set()


def lock(folder: Path) -> int | None:
    """Keep other processes out of a folder, as long as they ask by this function.

    Returns:
        What :func:`unlock` takes; the system unlocks too when this process ends, however it ends.
        None where the system or the file system has no locks.

    Raises:
        BlockingIOError: If it is locked already.
    """
    try:
        import fcntl
    except ImportError:  # not on Windows
        return None
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        if isinstance(error, BlockingIOError):
            raise
        return None
    _locks.add(handle)
    return handle


def unlock(handle: int | None) -> None:
    """Let others into a folder again."""
    if handle in _locks:
        _locks.discard(handle)
        os.close(handle)


@contextmanager
def opened(output: Path) -> Iterator[None]:
    """Make an output folder and keep other processes out of it.

    Every command that writes a folder of results does so in here.

    Raises:
        InputError: If it cannot be made or written to, or another process writes into it.
    """
    handle = claim(output)
    try:
        yield
    finally:
        unlock(handle)


def claim(output: Path) -> int | None:
    """Do as :func:`opened` does, until :func:`unlock` or the end of this process."""
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
    try:
        return lock(output)
    except BlockingIOError as error:
        raise InputError(
            f"{output}: another process is writing into this folder; wait for it, or choose "
            "another output"
        ) from error


def _forget_locks() -> None:
    for handle in list(_locks):
        unlock(handle)


if hasattr(os, "register_at_fork"):
    # A worker of a data loader may live some seconds longer than a process that was killed.
    os.register_at_fork(after_in_child=_forget_locks)
