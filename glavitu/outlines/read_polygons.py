"""Glacier outlines read from files as they are."""

from pathlib import Path, PurePath

import geopandas as gpd
from pyogrio.errors import DataLayerError, DataSourceError

from glavitu.errors import InputError
from glavitu.files import Name, is_local
from glavitu.strangers import check_reach

VECTOR_SUFFIXES = (".gpkg", ".shp", ".geojson", ".json")

RASTER_SUFFIXES = (".tif", ".tiff", ".vrt")


def suffix_of(name: Name) -> str:
    """Return the suffix of a file in small letters, such as ``.gpkg``."""
    return PurePath(name).suffix.lower()


def read_polygons(path: Name) -> gpd.GeoDataFrame:
    """Read glacier outlines as they are, in the file's CRS; missing geometries are left out.

    Args:
        path: GeoPackage, Shapefile, GeoJSON, GeoParquet or what else GDAL reads as vectors.

    Raises:
        InputError: If the file is missing or unreadable, has no CRS, or holds something else than
            polygons.
    """
    check_reach(path)
    if is_local(path) and not Path(path).exists():
        raise InputError(f"{path}: does not exist; check the path")
    if suffix_of(path) in RASTER_SUFFIXES:
        raise InputError(
            f"{path}: is a raster, but polygons are wanted; give a GeoPackage, Shapefile, GeoJSON "
            "or GeoParquet"
        )
    try:
        # GDAL may lack the driver for GeoParquet.
        parquet = suffix_of(path) == ".parquet"
        outlines = gpd.read_parquet(path) if parquet else gpd.read_file(path)
    except ImportError as error:
        raise InputError(
            f"{path}: GeoParquet needs pyarrow: pip install 'glavitu[parquet]'"
        ) from error
    except (DataSourceError, DataLayerError, OSError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read as outlines ({error}); it seems damaged, write it again"
        ) from error
    if not isinstance(outlines, gpd.GeoDataFrame) or outlines.crs is None:
        raise InputError(
            f"{path}: has no geometries with a coordinate reference system; write one into the file"
        )
    outlines = outlines[~(outlines.geometry.isna() | outlines.geometry.is_empty)]
    kinds = set(outlines.geom_type) - {"Polygon", "MultiPolygon"}
    if kinds:
        raise InputError(
            f"{path}: holds {', '.join(sorted(kinds))} geometries, but glacier outlines must be "
            "polygons; convert lines to polygons first"
        )
    return outlines
