"""From a class raster to glacier outlines."""

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import numpy.typing as npt
import pyogrio
import pyproj
import rasterio
import rasterio.features
import rasterio.windows
import shapely
from rasterio.transform import Affine
from rasterio.windows import Window
from shapely.affinity import affine_transform
from shapely.geometry import box, shape
from shapely.geometry.polygon import orient

#: The class that is a glacier.
GLACIER = 1

#: Rows worked on at once, so that memory does not grow with the height of a scene.
STRIP_ROWS = 1024

_GEOD = pyproj.Geod(ellps="WGS84")
_DoubleArray = npt.NDArray[np.float64]
_Geometries = npt.NDArray[np.object_]


def outlines_from_raster(
    classes: Any, transform: Affine, crs: Any, confidence: Any | None = None
) -> geopandas.GeoDataFrame:
    """Make a polygon of each group of glacier pixels that share edges.

    Args:
        classes: uint8 (H, W), 1 where there is a glacier; an array, or a ``rasterio.Band``, which
            is read strip by strip.
        transform: From pixels to coordinates.
        crs: Coordinate reference system of these coordinates.
        confidence: float32 (H, W), likewise; NaN where missing.

    Returns:
        Valid polygons with their holes, largest first: ``glacier_id`` (from 1), ``area_km2`` (on
        the WGS 84 ellipsoid, whatever the CRS), ``mean_confidence`` (over the polygon's pixels;
        NaN without ``confidence``). Without a glacier it is empty, its columns and CRS are kept.
    """
    geometries = _polygons(classes, transform)
    area = _areas_km2(geometries, transform, crs)
    order = np.argsort(-area, kind="stable")
    geometries, area = geometries[order], area[order]
    if confidence is None:
        mean = np.full(len(geometries), np.nan)
    else:
        mean = _means(geometries, confidence, transform)
    return geopandas.GeoDataFrame(
        {
            "glacier_id": np.arange(1, len(geometries) + 1, dtype=np.int64),
            "area_km2": area,
            "mean_confidence": mean,
        },
        geometry=geopandas.GeoSeries(geometries, crs=crs),
    )


def write_outlines(outlines: geopandas.GeoDataFrame, path: Path) -> None:
    """Write outlines as the layer ``outlines`` of a GeoPackage."""
    pyogrio.write_dataframe(
        outlines, path, layer="outlines", driver="GPKG", geometry_type="Polygon"
    )


def _polygons(classes: Any, transform: Affine) -> _Geometries:
    """Return the valid polygons of the glacier class."""
    # GDAL takes 0 of a band as its mask; of an array the mask can name the class itself.
    mask = classes == GLACIER if isinstance(classes, np.ndarray) else classes
    found = rasterio.features.shapes(classes, mask=mask, connectivity=4, transform=transform)
    geometries = np.array([shape(geometry) for geometry, value in found if value == GLACIER])
    return _made_valid(geometries.astype(object))


def _made_valid(geometries: _Geometries) -> _Geometries:
    """Cut polygons that touch themselves into valid ones (older versions of GDAL make such)."""
    if len(geometries) == 0 or shapely.is_valid(geometries).all():
        return geometries
    # Twice, for a collection may hold multipolygons beside the lines that are dropped here.
    parts = shapely.get_parts(shapely.get_parts(shapely.make_valid(geometries)))
    return parts[shapely.area(parts) > 0]


def _areas_km2(geometries: _Geometries, transform: Affine, crs: Any) -> _DoubleArray:
    # A long straight edge of the raster is no geodesic; short pieces of it are, nearly.
    pixel = max(np.hypot(transform.a, transform.d), np.hypot(transform.b, transform.e))
    pieces = geopandas.GeoSeries(
        [orient(geometry) for geometry in shapely.segmentize(geometries, 100 * pixel)], crs=crs
    )
    square_metres = [
        abs(_GEOD.geometry_area_perimeter(geometry)[0]) for geometry in pieces.to_crs("EPSG:4326")
    ]
    return np.array(square_metres, dtype=np.float64) / 1e6


def _means(geometries: _Geometries, values: Any, transform: Affine) -> _DoubleArray:
    """Mean of a raster over each polygon's pixels, NaN values left out."""
    height, width = values.shape
    tree = shapely.STRtree(geometries)
    total, count = np.zeros(len(geometries) + 1), np.zeros(len(geometries) + 1)
    for row in range(0, height, STRIP_ROWS):
        rows = min(STRIP_ROWS, height - row)
        here = rasterio.windows.transform(Window(0, row, width, rows), transform)
        strip = affine_transform(
            box(0, 0, width, rows), [here.a, here.b, here.d, here.e, here.c, here.f]
        )
        touching = tree.query(strip, predicate="intersects")
        if len(touching) == 0:
            continue
        labels = rasterio.features.rasterize(
            zip(geometries[touching], touching + 1, strict=True),
            out_shape=(rows, width),
            transform=here,
            dtype=np.int32,
        )
        read = _read_rows(values, row, rows)
        inside = (labels > 0) & np.isfinite(read)
        labels, read = labels[inside], read[inside]
        total += np.bincount(labels, weights=read, minlength=len(total))
        count += np.bincount(labels, minlength=len(count))
    with np.errstate(invalid="ignore"):
        mean: _DoubleArray = (total / count)[1:]
    return mean


def _read_rows(values: Any, row: int, rows: int) -> npt.NDArray[Any]:
    if isinstance(values, np.ndarray):
        return values[row : row + rows]
    band: npt.NDArray[Any] = values.ds.read(
        values.bidx, window=((row, row + rows), (0, values.shape[1]))
    )
    return band
