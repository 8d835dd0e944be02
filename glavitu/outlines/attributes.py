"""What an inventory tells of each glacier."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import shapely
from rasterio.transform import Affine
from tqdm import tqdm

from glavitu.arrays import FloatArray, Geometries
from glavitu.outlines.area_interval import UncertainPixels
from glavitu.outlines.label_strips import Labels, LabelStrips
from glavitu.outlines.measures import Measures
from glavitu.outlines.zonal import (
    Extremes,
    Mean,
    RoundedMedian,
)
from glavitu.threads import prefetch

#: Pixels worked on at once, so that memory does not grow with the scene.
STRIP_PIXELS = 1 << 20

#: Calibrated confidence under which a pixel is uncertain.
CERTAIN = 0.95

#: Code of RGI 7.0 for a glacier whose aspect is not known.
NO_ASPECT = 9

Columns = dict[str, npt.NDArray[Any]]


class Strip(NamedTuple):
    """Rasters in some rows of a scene, float32 (rows, W), NaN where missing; None if there is none.

    Attributes:
        confidence: 0 to 1.
        elevation: Metres.
        slope: Degrees, 0 to 90.
        aspect: Direction in which the surface falls, degrees clockwise from north, NaN where flat.
    """

    confidence: FloatArray | None = None
    elevation: FloatArray | None = None
    slope: FloatArray | None = None
    aspect: FloatArray | None = None


#: Gives the strip of so many rows from the row on; the same rasters in every strip.
ReadStrip = Callable[[int, int], Strip]


def confidence_strips(confidence: Any) -> ReadStrip:
    """Make strips of nothing but confidence.

    Args:
        confidence: (H, W), NaN where missing; an array or a ``rasterio.Band``.
    """

    def read_strip(row: int, rows: int) -> Strip:
        if isinstance(confidence, np.ndarray):
            return Strip(confidence[row : row + rows])
        window = ((row, row + rows), (0, confidence.shape[1]))
        return Strip(confidence.ds.read(confidence.bidx, window=window))

    return read_strip


def raster_attributes(
    geometries: Geometries,
    transform: Affine,
    shape: tuple[int, int],
    read_strip: ReadStrip,
    area_interval: bool = False,
    progress: bool = True,
) -> Columns:
    """Gather what rasters tell of polygons, in one pass over strips of the rasters.

    Args:
        geometries: Polygons that do not overlap, (n,).
        transform: From the rasters' pixels to their coordinates.
        shape: Rows and columns of the rasters.
        read_strip: Reads the rasters, from above to below.
        area_interval: Count the uncertain pixels inside and beyond; for calibrated confidence.
        progress: Show a progress bar.

    Returns:
        Columns (n,) of the rasters that are there, NaN where a polygon has no value in its pixels:
        ``zmin_m``, ``zmax_m``, ``zmed_m`` (within 0.5 m), ``zmean_m``, ``slope_deg`` (mean),
        ``aspect_deg`` (direction of the mean of unit vectors, 0 to 360), ``aspect_sec`` (1 = north,
        clockwise to 8 = north-west, 9 = not known), ``mean_confidence``, and, of the interval,
        ``uncertain_inside`` and ``uncertain_beyond`` (pixels, see
        :class:`glavitu.outlines.area_interval.UncertainPixels`).
    """
    height, width = shape
    n = len(geometries)
    labels = LabelStrips(geometries, transform, width)
    means = {name: Mean(n) for name in ("confidence", "elevation", "slope", "sine", "cosine")}
    extremes, median, uncertain = Extremes(n), RoundedMedian(n), UncertainPixels(n)
    rows = min(height, max(1, STRIP_PIXELS // width))
    # Without a polygon one row tells which columns there would be.
    starts = range(0, height, rows) if n else range(1)

    def read(row: int) -> tuple[Strip, Labels]:
        count = min(rows, height - row) if n else 1
        return read_strip(row, count), labels.read(row, count)

    with ThreadPoolExecutor(1, "strips") as reader:
        strips = prefetch(reader, read, starts)
        for strip, label in tqdm(
            strips, desc="Describing", unit="strip", total=len(starts), disable=not progress
        ):
            inside = np.flatnonzero(label)
            polygon = label.ravel()[inside].astype(np.int64) - 1
            for name, values in strip._asdict().items():
                if values is None:
                    continue
                values = values.ravel()[inside]
                known = np.isfinite(values)
                pixels, values = polygon[known], values[known]
                if name == "aspect":
                    means["sine"].add(pixels, np.sin(np.radians(values)))
                    means["cosine"].add(pixels, np.cos(np.radians(values)))
                else:
                    means[name].add(pixels, values)
                if name == "elevation":
                    extremes.add(pixels, values)
                    median.add(pixels, values)
            if area_interval and strip.confidence is not None:
                uncertain.add(label, strip.confidence < CERTAIN)

    columns: Columns = {}
    if area_interval and strip.confidence is not None:
        columns["uncertain_inside"], columns["uncertain_beyond"] = uncertain.compute()
    if strip.elevation is not None:
        columns["zmin_m"], columns["zmax_m"] = extremes.compute()
        columns["zmed_m"] = median.compute()
        columns["zmean_m"] = means["elevation"].compute()
    if strip.slope is not None:
        columns["slope_deg"] = means["slope"].compute()
    if strip.aspect is not None:
        columns |= _aspect(means["sine"], means["cosine"])
    if strip.confidence is not None:
        columns["mean_confidence"] = means["confidence"].compute()
    return columns


def area_bounds(
    columns: Columns, geometries: Geometries, measures: Measures, transform: Affine
) -> Columns:
    """Turn counts of uncertain pixels into square kilometres.

    A pixel of a glacier is as large as the glacier's area on Earth is for its area in pixels.

    Args:
        columns: Of :func:`raster_attributes`.
        geometries: The glaciers.
        measures: Of the same glaciers.
        transform: From the rasters' pixels to the glaciers' coordinates.

    Returns:
        ``area_min_km2`` and ``area_max_km2``.
    """
    pixel = measures.area_km2 * abs(transform.determinant) / shapely.area(geometries)
    return {
        "area_min_km2": np.maximum(measures.area_km2 - columns["uncertain_inside"] * pixel, 0),
        "area_max_km2": measures.area_km2 + columns["uncertain_beyond"] * pixel,
    }


def _aspect(sine: Mean, cosine: Mean) -> Columns:
    east, north = sine.compute(), cosine.compute()
    # Where slopes of all directions cancel out, there is none.
    known = np.hypot(east, north) > 1e-6
    degrees = np.where(known, np.degrees(np.arctan2(east, north)) % 360, np.nan)
    sector = np.full(len(degrees), NO_ASPECT, dtype=np.int64)
    sector[known] = np.floor((degrees[known] + 22.5) / 45).astype(np.int64) % 8 + 1
    return {"aspect_deg": degrees, "aspect_sec": sector}
