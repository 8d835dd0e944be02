"""Files that may come from anybody: what they are, and what else they would make a reader open.

A virtual raster (VRT), a table of contents or an HDF5 file may name other files, which a reader
opens as if they were its own: then a map or a GeoTIFF holds what stands in them. A VRT may reach
what lies in its own folder or below; all else is refused, unless the environment says
``GLAVITU_OUTSIDE_FILES=yes``.
"""

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

from glavitu.errors import InputError
from glavitu.files.geojson import check_links
from glavitu.files.names import Name, is_local

#: The variable that lets files reach others.
OUTSIDE = "GLAVITU_OUTSIDE_FILES"

REMEDY = (
    f"If you trust the file, set the environment variable {OUTSIDE}=yes; else do not use it, or "
    "write its pixels into a GeoTIFF where it comes from"
)

#: What HDF5 files begin with, there or after what a program put before.
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_STARTS = (0, *(512 << power for power in range(12)))

#: Where GDAL looks for what tells it the format.
HEAD_BYTES = 2**15

#: Roots of XML that name other files, and are read as rasters or as vectors.
VIRTUAL = (b"<vrtdataset", b"<ogrvrtdatasource", b"<vrtpansharpen", b"<gdalwarpoptions")

#: Roots of XML that name services and tables of other files: what they name cannot be listed.
SERVICES = re.compile(
    rb"<(gdal_wm|wms_|wcs_|wmts|gdal_wmts|gdaltileindexdataset|ogrwfsdatasource|ogrcswdatasource|"
    rb"ogcapidataset|oapif|plmosaic|eeda|twms|tilemapservice|tiled_wms|mrf_meta)",
    re.IGNORECASE,
)
#: Begin of JSON, and what in it names tables of other files, or commands of GDAL's.
_JSON = re.compile(rb"(\xef\xbb\xbf)?[\s\x1e]*\{")
SERVICES_IN_JSON = re.compile(rb"gdal_streamed_alg|['\"]stac_version['\"]|\"asset_templates\"")

#: Drivers of GDAL whose files name services or tables of other files.
SERVICE_DRIVERS = {
    *("WMS", "WCS", "WMTS", "OGCAPI", "STACIT", "STACTA", "PLMOSAIC", "EEDA", "EEDAI", "DAAS"),
    *("NGW", "GTI", "HTTP", "OGR_VRT", "WFS", "OAPIF", "CSW", "CARTO", "ELASTIC", "PLSCENES"),
    *("GMLAS", "DERIVED", "PostGISRaster", "TileDB", "MRF", "GDALG", "KMLSUPEROVERLAY", "GNMFile"),
    *("GNMDatabase", "ADBC", "AmigoCloud", "Carto", "Elasticsearch"),
}

#: Names by which GDAL takes an array of a file of HDF5, and the file in them.
_IN_HDF5 = re.compile(
    r'(?:HDF5|HDF5Image|NETCDF|BAG|KEA|S10[24]|S111):(?:"([^"]+)"|(.+?)(?=:|$))', re.IGNORECASE
)

#: Largest virtual file that is looked through.
VIRTUAL_BYTES = 64 * 2**20


def outside_allowed() -> bool:
    """Tell whether the environment lets files reach others."""
    return os.environ.get(OUTSIDE, "").strip().lower() in ("1", "yes", "true", "on")


def check_name(name: str | os.PathLike[str]) -> None:
    """Check that a name can be that of a file for every library that may open it.

    Raises:
        InputError: If it is not UTF-8, or has a NUL, a tab or the end of a line.
    """
    check_text(os.fspath(name))
    if re.search(r"[\t\r\n]", os.fspath(name)):
        # They would be dropped from the names of vectors, which then are those of other files.
        raise InputError(f"{os.fspath(name)!r}: the name holds a tab or an end of line; rename it")


def check_text(text: str) -> None:
    """Check that a text can be handed on.

    Raises:
        InputError: If it is not UTF-8, or has a NUL.
    """
    if "\0" in text or not _is_utf8(text):
        held = "NUL" if "\0" in text else "bytes that are no UTF-8"
        raise InputError(f"{text!a}: the name holds {held}, so not all can open it; rename it")


def check_regular(path: Path) -> None:
    """Check that a path that is there is a file that can be read to its end, not a pipe or device.

    Raises:
        InputError: If it is none.
    """
    check_name(path)
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # who opens it says why it cannot be
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(f"{path}: is a pipe, a socket or a device; give a file")


def check_reach(name: Name) -> None:
    """Check, before a raster or vector file is opened, that it reaches no file outside its folder.

    Args:
        name: Of this machine, or what else GDAL takes; of the latter nothing is checked but a VRT
            that is its own name.

    Raises:
        InputError: If it does, and is not allowed to; or it is a pipe or device.
    """
    check_name(name)
    text = os.fspath(name)
    if text.lstrip().startswith("<"):
        raise InputError(f"{text[:40]!r}: is XML in the place of a name; give the name of a file")
    inner = _IN_HDF5.match(text)
    if not is_local(name) and not inner:
        return
    path = Path((inner[1] or inner[2]) if inner and not is_local(name) else name)
    check_regular(path)
    if path.is_file() and not outside_allowed():
        _check_virtual(path, path, 0)
        _check_hdf5(path)


def check_inside(path: Path, folder: Path) -> None:
    """Check that a file in a folder of others is no link to what lies elsewhere.

    Raises:
        InputError: If it is.
    """
    check_regular(path)
    if not outside_allowed() and not _inside(path, folder.resolve()):
        raise InputError(f"{path}: is a link out of its folder. {REMEDY}")


def check_opened(name: Name, driver: str, files: Iterable[str]) -> None:
    """Check what GDAL says that an open file consists of.

    Args:
        name: Of the file.
        driver: GDAL's name of its format.
        files: All files that it is read from.

    Raises:
        InputError: If it is read from files outside its folder or from a service, and is not
            allowed to.
    """
    if not is_local(name) or outside_allowed():
        return
    if driver in SERVICE_DRIVERS:
        raise InputError(f"{name}: names services or other files ({driver}). {REMEDY}")
    folder = Path(name).resolve().parent
    for file in files:
        if not _inside(file, folder) and Path(file).absolute() != Path(name).absolute():
            raise InputError(
                f"{name}: would read {file}, which lies outside of its folder. {REMEDY}"
            )


def _check_virtual(path: Path, asked: Path, depth: int) -> None:
    """Check what a virtual file names, and the virtual files among that."""
    with path.open("rb") as opened:
        head = opened.read(HEAD_BYTES)
    lower = head.lower()
    is_json = _JSON.match(head)
    if SERVICES.search(head) or (is_json and SERVICES_IN_JSON.search(head)):
        raise InputError(f"{asked}: names services or other files. {REMEDY}")
    if is_json:
        check_links(path)
    if not any(root in lower for root in VIRTUAL):
        return
    if depth > 20:
        raise InputError(f"{asked}: is a VRT of a VRT, and so on without end; give its sources")
    folder = asked.resolve().parent
    for source in _sources(path):
        target = path.parent / source
        if not is_local(source) or not _inside(target, folder):
            raise InputError(
                f"{asked}: would read {source}, which lies outside of its folder. {REMEDY}"
            )
        check_regular(target)
        if target.is_file() and target.resolve() != path.resolve():
            _check_virtual(target, asked, depth + 1)


def _check_hdf5(path: Path) -> None:
    """Check that an HDF5 file, such as of netCDF, has no links into others, nor arrays in them."""
    import h5py  # which most files do not need

    with path.open("rb") as file:
        magic = any(file.seek(place) == place and file.read(8) == HDF5_MAGIC for place in _STARTS)
    if not magic:
        return
    try:
        with h5py.File(path, "r") as stored:
            groups, seen = [stored["/"]], set()
            while groups:
                group = groups.pop()
                for name in group:
                    link = group.get(name, getlink=True)
                    if isinstance(link, h5py.ExternalLink):
                        raise InputError(f"{path}: {name} is a link into {link.filename}. {REMEDY}")
                    if not isinstance(link, h5py.HardLink):
                        continue  # leads to what is met elsewhere
                    item = group[name]
                    if isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
                        raise InputError(f"{path}: {name} is stored in other files. {REMEDY}")
                    key = h5py.h5o.get_info(item.id).addr
                    if isinstance(item, h5py.Group) and key not in seen:
                        seen.add(key)
                        groups.append(item)
    except InputError:
        raise
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"{path}: is damaged as HDF5 ({error}); fetch it again") from error


def _sources(path: Path) -> Iterable[str]:
    """Yield what a VRT names as sources, in elements and attributes."""
    if path.stat().st_size > VIRTUAL_BYTES:
        raise InputError(f"{path}: is a VRT of {path.stat().st_size:,} bytes; give its sources")
    text = path.read_bytes()
    if b"<!entity" in text.lower() or b"<!doctype" in text.lower():
        raise InputError(f"{path}: is a VRT with a DOCTYPE, which has no use in one; remove it")
    try:
        root = ElementTree.fromstring(text.strip())
    except (ElementTree.ParseError, ValueError) as error:
        raise InputError(f"{path}: is damaged as a VRT ({error}); write it again") from error
    for element in root.iter():
        tag = str(element.tag).rpartition("}")[2].lower()
        key = " ".join(
            str(value) for name, value in element.attrib.items() if name != "key"
        ).lower()
        names_file = tag.endswith(("filename", "dataset", "datasource", "path", "srcds"))
        names_file |= "filename" in key or "dataset" in key
        if names_file and (element.text or "").strip():
            yield str(element.text).strip()


def _inside(file: str | Path, folder: Path) -> bool:
    try:
        return Path(file).resolve().is_relative_to(folder)
    except (OSError, RuntimeError, ValueError):
        return False


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
