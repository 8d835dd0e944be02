"""From a class raster to glacier outlines as an inventory expects them."""

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import rasterio
from rasterio.transform import Affine

from glavitu.classes import GLACIER
from glavitu.outlines.attributes import (
    ReadStrip,
    area_bounds,
    confidence_strips,
    raster_attributes,
)
from glavitu.outlines.measures import measured
from glavitu.outlines.polygons import polygons_of
from glavitu.outlines.vector_files import write_vectors


def outlines_from_raster(
    classes: Any,
    transform: Affine,
    crs: rasterio.CRS,
    confidence: Any | None = None,
    *,
    read_strip: ReadStrip | None = None,
    min_area_km2: float = 0.0,
    simplification: float = 0.0,
    area_interval: bool = False,
    progress: bool = False,
) -> geopandas.GeoDataFrame:
    """Make a polygon of each group of glacier pixels that share edges, and describe it.

    Names are those of the Randolph Glacier Inventory 7.0 (RGI Consortium 2023, doi
    10.5067/f6jmovy5navz) where it has them. All columns belong to the polygons as they are
    returned, simplified or not.

    Args:
        classes: uint8 (H, W), 1 where there is a glacier, 255 where nothing is known; an array, or
            a ``rasterio.Band``, which is read strip by strip.
        transform: From pixels to coordinates.
        crs: Coordinate reference system of these coordinates.
        confidence: float32 (H, W), likewise; NaN where missing. In place of ``read_strip`` where
            there is nothing else.
        read_strip: Reads what the columns of rasters come from, see
            :class:`glavitu.outlines.attributes.Strip`.
        min_area_km2: Leave out smaller glaciers. Holes stay, however small.
        simplification: In pixels, 0 for none; 0.75 makes lines of stairs, see
            :func:`glavitu.outlines.polygons.polygons_of`.
        area_interval: Add the interval of the area; for calibrated confidence.
        progress: Show a progress bar.

    Returns:
        Valid polygons with their holes, largest first. Without a glacier it is empty, its columns
        and CRS are kept. Columns:

        - ``glacier_id``: From 1.
        - ``cenlon``, ``cenlat``: Degrees of a point on the glacier, about its middle, not the
            centroid.
        - ``utm_zone``: Of that point.
        - ``area_km2``: On the WGS 84 ellipsoid, without holes.
        - ``area_min_km2``, ``area_max_km2``: Without the glacier's own pixels whose confidence is
            under 0.95, and with such pixels of no glacier that hang together with it; a patch of
            them between several glaciers is divided by the length of edges it shares with each.
        - ``perimeter_km``: Of the outline and of those of holes, smoothed, for the stairs of pixels
            are up to 41 % too long; see :func:`glavitu.outlines.perimeter.without_stairs`.
        - ``zmin_m``, ``zmax_m``, ``zmed_m`` (within 0.5 m), ``zmean_m``: Elevation.
        - ``slope_deg``: Mean slope.
        - ``aspect_deg``, ``aspect_sec``: Mean direction, degrees clockwise from north, and its
            sector, 1 = north clockwise to 8 = north-west, 9 = not known.
        - ``mean_confidence``.

        Columns whose raster is not there are absent. A glacier without a value is NaN.

    Raises:
        InputError: If a glacier's coordinates have no place on the Earth.
    """
    geometries = polygons_of(classes, GLACIER, transform, simplification)
    measures = measured(geometries, transform, crs)
    order = np.argsort(-measures.area_km2, kind="stable")
    geometries, measures = geometries[order], measures.taken(order)

    if read_strip is None and confidence is not None:
        read_strip = confidence_strips(confidence)
    columns = {}
    if read_strip is not None:
        columns = raster_attributes(
            geometries, transform, classes.shape, read_strip, area_interval, progress
        )
    interval = {}
    if "uncertain_inside" in columns:
        interval = area_bounds(columns, geometries, measures, transform)
        del columns["uncertain_inside"], columns["uncertain_beyond"]
    outlines = geopandas.GeoDataFrame(
        {
            "glacier_id": np.arange(1, len(geometries) + 1, dtype=np.int64),
            "cenlon": measures.cenlon,
            "cenlat": measures.cenlat,
            "utm_zone": measures.utm_zone,
            "area_km2": measures.area_km2,
            **interval,
            "perimeter_km": measures.perimeter_km,
            **columns,
        },
        geometry=geopandas.GeoSeries(geometries, crs=crs),
    )
    return large_enough(outlines, min_area_km2)


def large_enough(outlines: geopandas.GeoDataFrame, min_area_km2: float) -> geopandas.GeoDataFrame:
    """Return the outlines that are not smaller than this; all others still are in their columns.

    Uncertain pixels around a small glacier are its own, whether it is kept or not.
    """
    return outlines[outlines["area_km2"] >= min_area_km2].reset_index(drop=True)


def write_outlines(outlines: geopandas.GeoDataFrame, path: Path) -> None:
    """Write outlines as the layer ``outlines``, see :func:`write_vectors`."""
    write_vectors(outlines, path, "outlines")
