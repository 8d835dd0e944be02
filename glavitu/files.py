"""Names of files as GDAL takes them; and files that appear only when they are complete.

Whoever writes a file or a folder of results does it here, in one way: into a hidden folder beside
it that no other process shares, then onto the disk, then under its name.
"""

import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from glavitu.errors import InputError

#: A file: a path of this machine, or a name that GDAL understands, such as /vsizip/a.zip/b.tif.
Name = str | Path

#: GDAL's virtual files (/vsizip/), a scheme (https://, zip://) or a driver's prefix (HDF5:), which
#: has more letters than a drive of Windows.
_ELSEWHERE = re.compile(r"/vsi\w+[/?]|[A-Za-z][\w+.-]+:")

#: What the system says of a full disk, a full quota, and a file larger than allowed.
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

#: A file up to this size is summed whole, of a larger one as many bytes in blocks.
SAMPLED_BYTES = 2**22
BLOCK_BYTES = 2**14

#: Begin of the names of hidden folders in which files are written.
PARTIAL = ".partial-"

#: Folders in which this process has looked for what others left.
_swept: set[Path] = set()

#: Open folders that are locked; of a forked child they would outlive this process.
_locks: set[int] = set()
#: Longest name of a file that is made of a name; ``.partial-`` and a suffix fit beside it.
STEM_BYTES = 200


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


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sampled_checksum(path: str | os.PathLike[str]) -> str:
    """Return a SHA-256 that is cheap for a file of any size.

    It is of the file's size and of the whole up to 4 MiB; of larger files 256 blocks are read,
    spread evenly from the first bytes to the last.
    """
    size = os.stat(path).st_size
    digest = hashlib.sha256(str(size).encode())
    with open(path, "rb", buffering=0) as file:
        if size <= SAMPLED_BYTES:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
        else:
            blocks = SAMPLED_BYTES // BLOCK_BYTES
            for number in range(blocks):
                file.seek((size - BLOCK_BYTES) * number // (blocks - 1))
                digest.update(file.read(BLOCK_BYTES))
    return digest.hexdigest()


def is_plain_name(name: object) -> bool:
    """Tell whether something read from a file is the name of a file in one folder, and no path."""
    return (
        isinstance(name, str)
        and name not in ("", ".", "..")
        and not any(sign in name for sign in ("/", "\\", "\0"))
    )


def stem_of(name: str) -> str:
    """Return a name as that of a file, without a suffix: it has no folders, and is not too long.

    Args:
        name: Such as that of a tile, which may come from anybody.
    """
    stem = name.replace("/", "_").replace("\0", "_")
    # A name is as long as its bytes, of which file systems take 255; suffixes want some.
    try:
        encoded = os.fsencode(stem)
    except UnicodeEncodeError:  # half a character, as JSON can have it
        return stem_of(stem.encode(errors="backslashreplace").decode())
    if len(encoded) <= STEM_BYTES:
        return stem
    kept = encoded[: STEM_BYTES - 17].decode(errors="ignore")
    return f"{kept}-{hashlib.sha256(encoded).hexdigest()[:16]}"


def is_local(name: str | os.PathLike[str]) -> bool:
    """Tell whether a name is a path of this machine, rather than something for GDAL to understand.

    A file that is there is one whatever its name looks like.
    """
    return not _ELSEWHERE.match(os.fspath(name)) or os.path.exists(name)


def as_name(name: str | os.PathLike[str]) -> str:
    """Return a name as text: a path of this machine in its simplest form, others as they are."""
    return str(Path(name)) if is_local(name) else os.fspath(name)
