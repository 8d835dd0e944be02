"""Files that appear only when they are complete.

Whoever writes a file or a folder of results does it here, in one way: into a hidden folder beside
it that no other process shares, then onto the disk, then under its name.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from glavitu.files.locks import lock, unlock

#: What the system says of a full disk, a full quota, and a file larger than allowed.
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

#: Begin of the names of hidden folders in which files are written.
PARTIAL = ".partial-"

#: Folders in which this process has looked for what others left.
_swept: set[Path] = set()


@contextmanager
def when_complete(path: Path) -> Iterator[Path]:
    """Give a hidden path to write a file or a folder to; it gets its name when all went well.

    It is on the disk before it has its name, so that a power cut does not leave half of it either.

    Args:
        path: The final path. Its folder is made where it is missing; a file that stands there is
            replaced.

    Yields:
        The path to write to, of the same name. What lies there after a failure is removed; what a
        killed process left there goes when another writes into the same folder.

    Raises:
        OSError: If it cannot be written; of a full disk it names the file.
    """
    with partial_folder(path.parent, path.name) as folder, disk_named(path):
        yield folder / path.name
        put_in_place([(folder / path.name, path)])


@contextmanager
def all_when_complete(*paths: Path) -> Iterator[list[Path]]:
    """Give hidden paths to write the files of a set to, as :func:`when_complete` does.

    Args:
        *paths: The final paths, in one folder. The last is the main one: where it stands, the
            others stand with it and are its own.
    """
    with partial_folder(paths[-1].parent, paths[-1].name) as folder, disk_named(paths[-1]):
        partials = [folder / path.name for path in paths]
        yield partials
        put_in_place(list(zip(partials, paths, strict=True)))


def put_in_place(files: Sequence[tuple[Path, Path]]) -> None:
    """Give complete files or folders their names, once they are on the disk.

    Args:
        files: Where each is, and where it goes, in one folder on the same file system. The last is
            the main one of a set: of an older set it goes first, and it comes last.
    """
    for partial, _ in files:
        sync(partial)
    *others, (partial, main) = files
    if others:
        main.unlink(missing_ok=True)
        for other, final in others:
            other.replace(final)
        sync_names(main.parent)
    partial.replace(main)
    sync_names(main.parent)


def sync(path: Path) -> None:
    """Bring a file, or a folder with all that is in it, onto the disk."""
    if path.is_dir():
        for inner in path.iterdir():
            sync(inner)
    sync_names(path)


def sync_names(path: Path) -> None:
    """Bring a file, or the names in a folder, onto the disk."""
    if os.name == "nt" and path.is_dir():  # which Windows does not open
        return
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems cannot
            raise
    finally:
        os.close(handle)


@contextmanager
def disk_named(path: Path) -> Iterator[None]:
    """Let an error of a full disk name what could not be written."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


@contextmanager
def partial_folder(parent: Path, name: str) -> Iterator[Path]:
    """Make a hidden folder that no other process writes to; it is removed in the end.

    Args:
        parent: Where to; it is made where it is missing.
        name: What is to be written in it.
    """
    parent.mkdir(parents=True, exist_ok=True)
    if parent.resolve() not in _swept:
        sweep(parent)
    # Without a suffix, so that who looks for files of a kind does not find it.
    folder, handle = _claim(parent, PARTIAL + name[:60].replace(".", "_"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        unlock(handle)


def sweep(parent: Path) -> None:
    """Remove what killed processes left in a folder; it is done once before the first is made."""
    _swept.add(parent.resolve())
    for folder in parent.glob(f"{PARTIAL}*"):
        if folder.is_symlink() or not folder.is_dir():
            continue
        try:
            handle = lock(folder)
        except (BlockingIOError, FileNotFoundError):  # another process is, or was, at work there
            continue
        if handle is not None:
            shutil.rmtree(folder, ignore_errors=True)
            unlock(handle)


def _claim(parent: Path, prefix: str) -> tuple[Path, int | None]:
    for number in count():
        folder = parent / (f"{prefix}-{number}" if number else prefix)
        try:
            if folder.is_symlink() or folder.is_file():
                folder.unlink()
            folder.mkdir(exist_ok=True)
            handle = lock(folder)
        except BlockingIOError:  # another process writes the same
            continue
        except FileNotFoundError:  # another process has just finished there
            parent.mkdir(parents=True, exist_ok=True)
            continue
        if handle is None:
            return Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir=parent)), None
        if folder.is_dir() and os.path.samestat(os.fstat(handle), folder.stat()):
            for left in folder.iterdir():  # by a process that was killed
                shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
            return folder, handle
        unlock(handle)
    raise AssertionError
