"""Sums of files, by which they are known again."""

import hashlib
import os
from pathlib import Path

#: A file up to this size is summed whole, of a larger one as many bytes in blocks.
SAMPLED_BYTES = 2**22
BLOCK_BYTES = 2**14


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
