"""Opening HDF5 files that may come from anybody: the benchmark's, and those of Keras.

An array is read only where it is an array of numbers that the file itself stores whole: HDF5 lets
a file link to others, store its arrays in others, or declare more than it stores.
"""

import math
from pathlib import Path
from typing import Any

import h5py

from glavitu.errors import InputError
from glavitu.files.memory import available_bytes
from glavitu.files.strangers import OUTSIDE, check_regular, outside_allowed

#: What h5py raises where the structure of a file is damaged.
DAMAGE = (
    *(OSError, KeyError, RuntimeError, TypeError, ValueError),
    *(ArithmeticError, AttributeError, IndexError, MemoryError),
)

#: Kinds of dtypes that are numbers.
NUMBERS = "fiub"

#: Largest part of an array that is decoded at once.
CHUNK_BYTES = 2**30


def open_hdf5(path: Path, missing: str) -> h5py.File:
    """Open a file to read.

    Args:
        path: The file.
        missing: What to say where it is not there.

    Raises:
        InputError: If it is missing, truncated or not HDF5.
    """
    check_regular(path)
    if not path.is_file():
        raise InputError(f"{path}: {missing}")
    try:
        return h5py.File(path, "r")
    except DAMAGE as error:
        raise InputError(
            f"{path}: cannot be opened as HDF5; it is truncated, damaged or of another kind, so "
            f"download it again ({error})"
        ) from error


def link_fault(group: Any, name: str) -> str:
    """Tell why a member of a group is not to be opened, empty where it may be."""
    link = group.get(name, getlink=True)
    if isinstance(link, h5py.HardLink) or outside_allowed():
        return ""
    if isinstance(link, h5py.ExternalLink):
        return f"is a link into another file, {link.filename!r}; {_trust()}"
    return f"is a link to another part of the file; {_trust()}"


def array_fault(array: Any) -> str:
    """Tell why a member of a group is no array of numbers that the file stores, empty where it is.

    Args:
        array: What was opened.
    """
    if not isinstance(array, h5py.Dataset) or array.shape is None:
        kind = "a group" if isinstance(array, h5py.Group) else "no array"
        return f"is {kind}, but should be an array"
    if (array.external is not None or array.is_virtual) and not outside_allowed():
        return f"is stored in other files; {_trust()}"
    if array.dtype.kind not in NUMBERS:
        return f"holds {array.dtype}, but should hold numbers"
    if array.dtype.itemsize > 16:
        return f"holds numbers of {array.dtype.itemsize} bytes ({array.dtype}); store float32"
    declared = math.prod(array.shape) * array.dtype.itemsize
    if array.chunks:
        chunk = math.prod(array.chunks) * array.dtype.itemsize
        if chunk > CHUNK_BYTES:
            return f"is stored in parts of {chunk / 2**30:.1f} GiB; store it in smaller chunks"
        wanted = math.prod(-(-n // c) for n, c in zip(array.shape, array.chunks, strict=True))
        stored = array.id.get_num_chunks()
        if stored < wanted:
            return (
                f"declares {_size(declared)} of shape {array.shape}, but of its {wanted:,} chunks "
                f"the file stores {stored:,}"
            )
    elif array.external is None and not array.is_virtual:
        stored = array.id.get_storage_size()
        if stored < declared:
            return (
                f"declares {_size(declared)} of shape {array.shape}, but the file stores {stored}"
            )
    return ""


def room_fault(array: Any) -> str:
    """Tell why an array cannot be read whole, empty where it can.

    Args:
        array: An array without :func:`array_fault`.
    """
    declared, room = math.prod(array.shape) * array.dtype.itemsize, available_bytes()
    # Once as it is, and once as what is made of it.
    if 2 * declared > room:
        return f"needs {_size(2 * declared)} of memory, and this machine has {_size(room)} left"
    return ""


def _size(count: int) -> str:
    """Return bytes in a unit that suits them."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count = count // 1024
    return f"{count:,} TiB"


def _trust() -> str:
    return (
        f"what a file of others names is not opened: set {OUTSIDE}=yes if you trust it, or store "
        "the array in the file itself"
    )
