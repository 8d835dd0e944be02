"""What names of rasters stand for: archives, addresses, arrays of a file."""

import re
from pathlib import Path, PurePath

import rasterio

from glavitu.files import is_local

#: What GDAL puts before the name of a file that it finds in an archive.
_VIRTUAL = re.compile(r"(/vsi(?!curl|s3|gs|az|adls|oss|swift|hdfs|webhdfs)\w+/)+")

_SIGNED = re.compile(r"[?&][^=&]*(sig|token|key|credential|pass)[^=&]*=", re.IGNORECASE)


def label(name: str) -> str:
    """Return the last part of a name, for a picture."""
    return PurePath(name if is_local(name) else without_secrets(name)).name


def without_secrets(name: str) -> str:
    """Return an address without the password, or the query where that seems signed."""
    name = re.sub(r"(://)[^/?@]*@", r"\1", name)
    return re.sub(r"(://[^?]*)\?.*", r"\1", name) if _SIGNED.search(name) else name


def files_behind(name: str) -> list[str]:
    """List what holds a raster: paths of this machine, and names of what lies elsewhere.

    Args:
        name: A raster that can be opened.

    Returns:
        Of ``zip:///data/a.zip!/b.tif`` the archive, of ``HDF5:"f.h5"://a`` the file.
    """
    if is_local(name):
        return [name]
    with rasterio.open(name) as dataset:
        files: list[str] = dataset.files
    found = []
    for file in files:
        path = _outermost(file)
        if path is not None:
            found.append(path)
        elif file == name or file.startswith("/vsi"):
            found.append(file)
        else:  # an array of a file in a virtual raster, say
            found += files_behind(file)
    return list(dict.fromkeys(found))


def _outermost(file: str) -> str | None:
    """Return the file of this machine that is a file or holds it."""
    path = Path(_VIRTUAL.sub("", file, count=1).replace("{", "").replace("}", ""))
    return next((str(part) for part in (path, *path.parents) if part.is_file()), None)
