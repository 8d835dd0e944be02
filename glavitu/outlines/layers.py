"""Which layer of a vector file holds the polygons; and GDAL's errors in our words."""

import sqlite3
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path, PurePath
from typing import Any

import pyogrio
import rasterio
import shapely
from rasterio.errors import RasterioError

from glavitu.errors import InputError
from glavitu.files import Name, is_local

#: Geometries that are decoded at once, so that memory does not grow with the file.
BATCH = 1000

#: Files without which a Shapefile is none; the outlines' rock is told from the .dbf.
_SHAPEFILE = (".shx", ".dbf")

#: Words in the names of geometry types: of polygons, and of what may hold anything.
_POLYGONS = ("Polygon", "Surface", "Triangle", "TIN")
_ANYTHING = ("Unknown", "Geometry", "Collection")

#: GEOS' numbers of kinds of geometries.
COLLECTION = 7
POLYGON_TYPES = (3, 6)


def suffix_of(name: Name) -> str:
    """Return the suffix of a file in small letters, such as ``.gpkg``."""
    return PurePath(name).suffix.lower()


@contextmanager
def reading(path: Name) -> Iterator[None]:
    """Turn whatever reading a file ends with into one line that names the file.

    Args:
        path: The file.

    Raises:
        InputError: For any error, which is named.
    """
    try:
        with warnings.catch_warnings():
            # What GDAL warns of, such as open rings, is mended or counted here.
            warnings.simplefilter("ignore")
            yield
    except InputError:
        raise
    except ImportError as error:
        raise InputError(
            f"{path}: GeoParquet needs pyarrow: pip install 'glavitu[parquet]'"
        ) from error
    except Exception as error:  # GDAL, PROJ, GEOS, SQLite and Arrow have dozens of kinds.
        if is_raster(path):
            raise _raster(path) from error
        words = " ".join(str(error).split())[:300] or type(error).__name__
        raise InputError(
            f"{path}: cannot be read as outlines ({words}); it seems damaged, write it again"
        ) from error


def check_taken_whole(path: Name) -> None:
    """Check that pyogrio takes a path of this machine for one, and not for an address.

    Raises:
        InputError: If it would take it apart.
    """
    if "!" in str(path) or ";" in PurePath(path).name:
        raise InputError(
            f"{path}: the library that reads and writes vector files (pyogrio) takes names with "
            "'!' or ';' for addresses; rename the file or its folder"
        )


def check_file(path: Name) -> None:
    """Check that a name may be that of a vector file, before it is opened.

    Raises:
        InputError: If it is missing, a folder, a pipe or a raster, or a part of it is missing.
    """
    if not is_local(path):
        return
    check_taken_whole(path)
    file = Path(path)
    if not file.exists():
        raise InputError(f"{path}: does not exist; check the path")
    if file.is_dir() and suffix_of(path) != ".gdb":
        raise InputError(f"{path}: is a folder; give the file of the outlines in it")
    if not file.is_file() and not file.is_dir():
        raise InputError(f"{path}: is no file but a pipe or device; give a file of outlines")
    if suffix_of(path) in (".tif", ".tiff", ".vrt"):
        raise _raster(path)
    if suffix_of(path) == ".shp":
        beside = {one.name.lower() for one in file.parent.iterdir()}
        lacking = [s for s in _SHAPEFILE if file.with_suffix(s).name.lower() not in beside]
        if lacking:
            raise InputError(
                f"{path}: a Shapefile is several files, and {' and '.join(lacking)} "
                f"{'is' if len(lacking) == 1 else 'are'} missing beside it; copy all of them"
            )
        with file.open("rb") as opened:
            head = opened.read(28)
        # It tells its own length, in words of two bytes.
        if 2 * int.from_bytes(head[24:], "big") > file.stat().st_size:
            raise InputError(f"{path}: is cut off; write or copy it again")


def choose_layer(path: Name, wanted: str | Sequence[str] | None) -> str:
    """Return the name of the layer with the polygons.

    Args:
        path: A file that GDAL reads.
        wanted: Its name; of several names the one that the file has; None for the only layer with
            polygons, whatever stands beside it.

    Raises:
        InputError: If there is no such layer, or several.
    """
    kinds = {str(name): kind for name, kind in pyogrio.list_layers(path)}
    if not kinds:
        if is_raster(path):
            raise _raster(path)
        raise InputError(f"{path}: has no layer with geometries; give a file with polygons")
    if isinstance(wanted, str):
        if wanted not in kinds:
            raise InputError(f"{path}: has no layer {wanted!r}; it has {_listed(kinds)}")
        return wanted
    named = [name for name in wanted or () if name in kinds]
    if len(named) == 1:
        return named[0]
    candidates = named or list(kinds)
    if len(candidates) == 1:
        return candidates[0]
    found = [name for name in candidates if _has_polygons(path, name, kinds[name])]
    # Layers without a feature are of no account beside one that has some.
    full = [name for name in found if pyogrio.read_info(path, layer=name)["features"] != 0]
    found = full or found[:1]
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputError(
            f"{path}: none of its layers holds polygons: {_listed(kinds)}; glacier outlines must "
            "be polygons, convert lines to polygons first"
        )
    unknown = (
        f", and none is called {' or '.join(map(repr, wanted))}" if wanted and not named else ""
    )
    raise InputError(
        f"{path}: several of its layers hold polygons: "
        f"{_listed({name: kinds[name] for name in found})}{unknown}; name one of them (--layer "
        "NAME, data.layer in YAML)"
    )


def is_raster(path: Name) -> bool:
    """Tell whether a file can be opened as a raster."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if _is_database(path):
                return _has_tiles(path)
            with rasterio.open(path) as file:
                return bool(file.count)
    except (RasterioError, OSError, ValueError, sqlite3.Error):
        return False


def polygons_in(collection: Any) -> list[Any]:
    """Return the polygons in a collection, however deep."""
    parts = [collection]
    while any(shapely.get_type_id(part) == COLLECTION for part in parts):
        parts = [one for part in parts for one in shapely.get_parts(part)]
    return [one for one in shapely.get_parts(parts) if shapely.get_type_id(one) in POLYGON_TYPES]


def _has_polygons(path: Name, layer: str, kind: str | None) -> bool:
    if kind is None or any(word in kind for word in _POLYGONS):
        return kind is not None
    if not any(word in kind for word in _ANYTHING):
        return False
    for start in range(0, int(pyogrio.read_info(path, layer=layer)["features"]), BATCH):
        _, _, wkb, _ = pyogrio.raw.read(
            path, layer=layer, columns=[], skip_features=start, max_features=BATCH
        )
        geometries = shapely.from_wkb(wkb, on_invalid="ignore")
        if any(polygons_in(one) for one in geometries if one is not None):
            return True
    return False


def _is_database(path: Name) -> bool:
    """Tell whether a file is one of SQLite's; of a damaged one rasterio prints a traceback."""
    if not is_local(path):
        return False
    with Path(path).open("rb") as file:
        return file.read(6) == b"SQLite"


def _has_tiles(path: Name) -> bool:
    """Tell whether a GeoPackage holds rasters."""
    with closing(sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode=ro", uri=True)) as base:
        kinds = {kind for (kind,) in base.execute("select data_type from gpkg_contents")}
    return bool(kinds & {"tiles", "2d-gridded-coverage"})


def _listed(kinds: dict[str, str | None]) -> str:
    return ", ".join(f"{name} ({kind or 'no geometry'})" for name, kind in kinds.items())


def _raster(path: Name) -> InputError:
    return InputError(
        f"{path}: is a raster, but polygons are wanted; give a GeoPackage, Shapefile, GeoJSON "
        "or GeoParquet"
    )
