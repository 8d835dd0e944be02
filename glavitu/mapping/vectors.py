"""The vector files of a map."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import geopandas
import rasterio

from glavitu.outlines.attributes import ReadStrip, Strip
from glavitu.outlines.from_raster import large_enough, outlines_from_raster, write_outlines
from glavitu.outlines.uncertain_bands import confidence_bands
from glavitu.outlines.vector_files import write_vectors
from glavitu.rasters.scene import Scene
from glavitu.windows import Window

# The first two are for glavitu.mapping to hand on.
__all__ = ["outlines_from_raster", "write_outlines", "write_vector_files"]

#: How outlines are straightened where the classes are smoothed, so that none moves by more than a
#: pixel; see :func:`glavitu.outlines.polygons.polygons_of`.
SIMPLIFICATION = 0.75


def write_vector_files(
    classes: Path,
    confidence: Path,
    scene: Scene,
    outlines: Path,
    bands: Path | None,
    *,
    min_area_km2: float,
    smoothed: bool,
    progress: bool,
) -> tuple[geopandas.GeoDataFrame, int, list[Path]]:
    """Write the outlines of a map, and where it is uncertain.

    Args:
        classes: The class raster.
        confidence: The confidence raster.
        scene: The scene; what it knows of elevation goes to the outlines.
        outlines: Where the outlines go.
        bands: Where polygons of uncertain pixels go; None where confidence is not calibrated, and
            so neither these nor an interval of the area can be given.
        min_area_km2: Leave out smaller outlines.
        smoothed: Whether the stairs of pixels are straightened.
        progress: Show progress bars; of the outlines, which take as long as the bands beside them.

    Returns:
        The outlines, how many more were smaller, and all files that were written.
    """
    with ThreadPoolExecutor(1, "bands") as pool, rasterio.open(confidence) as sure:
        # Both take one core and about as long.
        others = None if bands is None else pool.submit(_write_bands, confidence, scene, bands)
        # Read row by row, of which threads of GDAL's would make a start each time.
        with rasterio.open(classes, num_threads=1) as ones:
            all_sizes = outlines_from_raster(
                rasterio.band(ones, 1),
                scene.transform,
                scene.crs,
                read_strip=_strips(sure, scene),
                simplification=SIMPLIFICATION if smoothed else 0.0,
                area_interval=bands is not None,
                progress=progress,
            )
        frame = large_enough(all_sizes, min_area_km2)
        written = write_vectors(frame, outlines, "outlines")
        if others is not None:
            written += others.result()
    return frame, len(all_sizes) - len(frame), written


def _write_bands(confidence: Path, scene: Scene, path: Path) -> list[Path]:
    with rasterio.open(confidence) as sure:
        bands = confidence_bands(
            rasterio.band(sure, 1), scene.transform, scene.crs, folder=path.parent
        )
    return write_vectors(bands, path, "confidence_bands")


def _strips(confidence: rasterio.DatasetReader, scene: Scene) -> ReadStrip:
    terrain = scene.terrain_group is not None

    def read_strip(row: int, rows: int) -> Strip:
        sure = confidence.read(1, window=((row, row + rows), (0, scene.width)))
        if not terrain:
            return Strip(sure)
        return Strip(sure, *scene.read_terrain(Window(row, 0, rows, scene.width)))

    return read_strip
