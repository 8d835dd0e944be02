"""Files of polygons: GeoPackage, GeoParquet, Shapefile and GeoJSON."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import geopandas
import pyogrio
import shapely
from pyogrio.errors import DataLayerError, DataSourceError

from glavitu.errors import InputError
from glavitu.files import partial_folder, put_in_place
from glavitu.outlines.layers import check_taken_whole

FORMATS = {
    ".gpkg": "GeoPackage",
    ".parquet": "GeoParquet",
    ".shp": "Shapefile",
    ".geojson": "GeoJSON",
}
"""Suffixes and what they stand for."""

SHAPEFILE_NAMES = {
    "area_min_km2": "amin_km2",
    "area_max_km2": "amax_km2",
    "perimeter_km": "perim_km",
    "mean_confidence": "mean_conf",
}
"""Names of columns in a Shapefile, which has room for ten characters."""

#: A Shapefile counts its bytes up to here; other programs read no more.
SHAPEFILE_BYTES = 2**31 - 1

#: What programs keep beside a file, by its suffix; of an older file it would be wrong.
_COMPANIONS = {
    ".gpkg": (".gpkg-wal", ".gpkg-shm", ".gpkg-journal"),
    ".shp": (".shx", ".dbf", ".prj", ".cpg", ".qpj", ".sbn", ".sbx", ".qix", ".shp.xml"),
}


def check_vector_path(path: Path) -> None:
    """Check that polygons can be written under a name, before there are any.

    Args:
        path: Where to.

    Raises:
        InputError: If its suffix is none of :data:`FORMATS`, or needs what is not installed; or
            the name is one that pyogrio takes apart.
    """
    check_taken_whole(path)
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        known = ", ".join(f"{suffix} ({name})" for suffix, name in FORMATS.items())
        raise InputError(f"{path}: the suffix tells the format of outlines; give one of {known}")
    if suffix == ".parquet" and find_spec("pyarrow") is None:
        raise InputError(
            f"{path}: GeoParquet needs pyarrow, which is not installed; run `pip install pyarrow`, "
            "or choose another suffix, such as .gpkg"
        )


def write_vectors(frame: geopandas.GeoDataFrame, path: Path, layer: str) -> list[Path]:
    """Write polygons in the format that the suffix names.

    The file is read again before it gets its name, for GDAL may lose data on a full disk without
    saying so.

    - ``.gpkg``: GeoPackage.
    - ``.parquet``: GeoParquet; needs pyarrow.
    - ``.shp``: Shapefile, of several files; columns are renamed by :data:`SHAPEFILE_NAMES`.
    - ``.geojson``: GeoJSON as RFC 7946 wants it: longitude and latitude on WGS 84 with 9 decimals,
      cut at the antimeridian. It keeps no columns where there are no polygons.

    Args:
        frame: Polygons with numbers or text in columns.
        path: Where to. Its folder is made where it is missing, a file that stands there is
            replaced.
        layer: Name of the layer, for GeoPackage and GeoJSON.

    Returns:
        The files written, that under ``path`` last: without the others it is none, and whoever
            moves them moves it last.

    Raises:
        InputError: If the suffix is unknown, the format cannot hold the data, or what is written
            is not whole.
    """
    check_vector_path(path)
    suffix = path.suffix.lower()
    if suffix == ".shp":
        frame = _for_shapefile(frame, path)
    try:
        with partial_folder(path.parent, path.name) as folder:
            partial = folder / f"{path.stem}{suffix}"
            _write(frame, partial, layer)
            _check_whole(frame, partial)
            for companion in _COMPANIONS.get(suffix, ()):
                path.with_suffix(companion).unlink(missing_ok=True)
            written = sorted(folder.iterdir(), key=lambda file: file == partial)
            finals = [
                path if file == partial else path.with_suffix(file.suffix) for file in written
            ]
            put_in_place(list(zip(written, finals, strict=True)))
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path}: cannot be written whole ({error}); check that the disk has room and the "
            "folder can be written to, or choose another output"
        ) from error
    return finals


def _write(frame: geopandas.GeoDataFrame, path: Path, layer: str) -> None:
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
        return
    options: dict[str, Any] = {
        ".gpkg": {"driver": "GPKG", "layer": layer},
        ".shp": {"driver": "ESRI Shapefile", "encoding": "UTF-8", "2GB_LIMIT": "YES"},
        ".geojson": {
            "driver": "GeoJSON",
            "layer": layer,
            "RFC7946": "YES",
            "COORDINATE_PRECISION": "9",
        },
    }[path.suffix]
    pyogrio.write_dataframe(frame, path, geometry_type="Polygon", **options)


def _check_whole(frame: geopandas.GeoDataFrame, path: Path) -> None:
    try:
        if path.suffix == ".parquet":
            read = geopandas.read_parquet(path)
        else:
            read = pyogrio.read_dataframe(path)
        missing = int((read.geometry.isna() | read.geometry.is_empty).sum())
    except (DataSourceError, DataLayerError, AttributeError, OSError, ValueError) as error:
        raise OSError(f"what was written cannot be read: {error}") from error
    if len(read) - missing != len(frame):
        raise OSError(f"{len(read) - missing} of {len(frame)} polygons arrived")
    if read.crs is None and frame.crs is not None:
        raise OSError("the coordinate reference system did not arrive")
    lost = set(frame.columns) - set(read.columns)
    if lost and (len(frame) or path.suffix != ".geojson"):
        raise OSError(f"the columns {', '.join(sorted(lost))} did not arrive")


def _for_shapefile(frame: geopandas.GeoDataFrame, path: Path) -> geopandas.GeoDataFrame:
    # 8 bytes a number, and per polygon and ring some for its header, bounds and parts.
    size = 16 * shapely.get_num_coordinates(frame.geometry).sum() + 100 * len(frame)
    if size > SHAPEFILE_BYTES:
        raise InputError(
            f"{path}: the polygons need {size / 1e9:.1f} GB, more than the 2 GB that a Shapefile "
            "can have; choose another suffix, such as .gpkg"
        )
    frame = frame.rename(columns=SHAPEFILE_NAMES)
    long = [name for name in frame.columns.drop(frame.geometry.name) if len(name) > 10]
    if long:
        raise InputError(
            f"{path}: a Shapefile has names of at most 10 characters, but there are the columns "
            f"{', '.join(long)}; rename them, or choose another suffix, such as .gpkg"
        )
    return frame
