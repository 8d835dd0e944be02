"""Names of files: as GDAL takes them, and as they may be made of what somebody wrote."""

import hashlib
import os
import re
from pathlib import Path

#: A file: a path of this machine, or a name that GDAL understands, such as /vsizip/a.zip/b.tif.
Name = str | Path

#: GDAL's virtual files (/vsizip/), a scheme (https://, zip://) or a driver's prefix (HDF5:), which
#: has more letters than a drive of Windows.
_ELSEWHERE = re.compile(r"/vsi\w+[/?]|[A-Za-z][\w+.-]+:")

#: Longest name of a file that is made of a name; ``.partial-`` and a suffix fit beside it.
STEM_BYTES = 200


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
