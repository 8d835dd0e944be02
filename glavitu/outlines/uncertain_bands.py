"""Polygons of where a map is uncertain."""

import errno
import tempfile
from pathlib import Path
from typing import Any
from zlib import crc32

import geopandas
import numpy as np
import rasterio
from rasterio.transform import Affine

from glavitu.outlines.attributes import (
    CERTAIN,
    STRIP_PIXELS,
    confidence_strips,
    raster_attributes,
)
from glavitu.outlines.measures import measured
from glavitu.outlines.polygons import polygons_of


def confidence_bands(
    confidence: Any,
    transform: Affine,
    crs: rasterio.CRS,
    progress: bool = False,
    folder: Path | None = None,
) -> geopandas.GeoDataFrame:
    """Make a polygon of each group of uncertain pixels that share edges.

    A pixel is uncertain where its confidence is there and under
    :data:`glavitu.outlines.attributes.CERTAIN`.

    Args:
        confidence: Calibrated, float32 (H, W), NaN where missing; an array, or a ``rasterio.Band``,
            which is read strip by strip, so that memory grows with the polygons alone.
        transform: From pixels to coordinates.
        crs: Coordinate reference system of these coordinates.
        progress: Show a progress bar.
        folder: Where a raster of one byte a pixel may lie meanwhile; where the system has temporary
            files by default, which may be in memory.

    Returns:
        Valid polygons with their holes, largest first: ``area_km2`` (on the WGS 84 ellipsoid) and
        ``mean_confidence``. Where all is certain it is empty, its columns and CRS are kept.

    Raises:
        InputError: If a polygon's coordinates have no place on the Earth.
        OSError: If the raster is not whole, as on a full disk.
    """
    read_strip = confidence_strips(confidence)
    height, width = confidence.shape
    rows = min(height, max(1, STRIP_PIXELS // width))
    with tempfile.TemporaryDirectory(prefix=".uncertain-", dir=folder) as temporary:
        path = Path(temporary, "uncertain.tif")
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=height,
            width=width,
            count=1,
            dtype="uint8",
            transform=transform,
            compress="deflate",
            blockysize=min(height, 64),
        ) as mask:
            sums = []
            for row in range(0, height, rows):
                strip = read_strip(row, min(rows, height - row)).confidence
                assert strip is not None
                window = ((row, row + len(strip)), (0, width))
                uncertain = (strip < CERTAIN).astype(np.uint8)
                mask.write(uncertain, 1, window=window)
                sums.append(crc32(uncertain.tobytes()))
        # Read row by row, of which threads of GDAL's would make a start each time.
        with rasterio.open(path, num_threads=1) as mask:
            for row, kept in zip(range(0, height, rows), sums, strict=True):
                window = ((row, min(row + rows, height)), (0, width))
                # On a full disk GDAL may lose what it writes last without an error.
                if crc32(mask.read(1, window=window).tobytes()) != kept:
                    raise OSError(errno.ENOSPC, "uncertain.tif is not whole")
            geometries = polygons_of(rasterio.band(mask, 1), 1, transform)
    area = measured(geometries, transform, crs).area_km2
    order = np.argsort(-area, kind="stable")
    columns = raster_attributes(
        geometries[order], transform, (height, width), read_strip, progress=progress
    )
    return geopandas.GeoDataFrame(
        {"area_km2": area[order], **columns},
        geometry=geopandas.GeoSeries(geometries[order], crs=crs),
    )
