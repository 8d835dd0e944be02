"""Time and memory of vectorising a synthetic class raster with all attributes.

python -m benchmarks.speed.vectorising

The raster has about 10,000 glaciers and terrain of its own; making it is not counted, and is done
in another process, so that peak memory is that of vectorising. The wall time of each part is
given beside CPU time, for the machine may be busy with other work. Both kinds of polygons, outlines
and bands of low confidence, are made one after the other here; a map makes them at the same time.
"""

import argparse
import multiprocessing
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin
from scipy import ndimage

from benchmarks.speed.measuring import peak_mb, save
from glavitu.outlines.attributes import Strip
from glavitu.outlines.from_raster import outlines_from_raster
from glavitu.outlines.uncertain_bands import confidence_bands
from glavitu.outlines.vector_files import write_vectors

CRS, GRID = "EPSG:32645", from_origin(400_000, 3_200_000, 10, 10)
RASTERS = ("classes", "confidence", "elevation", "slope", "aspect")


def terrain(size: int) -> np.ndarray:
    """Noise of several scales, float32 (size, size), about 0 to 1."""
    rng = np.random.default_rng(0)
    values = np.zeros((size, size), np.float32)
    for step, weight in ((12, 0.3), (48, 1.0), (256, 1.0)):
        coarse = rng.standard_normal((size // step + 3,) * 2).astype(np.float32)
        values += weight * ndimage.zoom(coarse, step, order=1)[:size, :size]
    return values / 8 + 0.5


def write_scene(folder: Path, size: int) -> None:
    """Write the rasters: tiled, compressed GeoTIFFs."""
    values = terrain(size)
    edge = np.float32(np.quantile(values[::16, ::16], 0.75))
    classes = ndimage.median_filter((values > edge).astype(np.uint8), 3)
    layers = {
        "classes": classes,
        "confidence": np.minimum(1, 8 * np.abs(values - edge)) ** 0.25,
        "elevation": 5000 * values,
        "slope": 60 * np.abs(values - np.roll(values, 40)),
        "aspect": 360 * np.roll(values, 80) % 360,
    }
    for name, layer in layers.items():
        options = {"nodata": 255} if name == "classes" else {"nodata": np.nan}
        with rasterio.open(
            folder / f"{name}.tif",
            "w",
            driver="GTiff",
            height=size,
            width=size,
            count=1,
            dtype=layer.dtype,
            crs=CRS,
            transform=GRID,
            tiled=True,
            compress="deflate",
            zlevel=1,
            **options,
        ) as file:
            file.write(layer, 1)


def measure(folder: Path, size: int, simplification: float) -> dict:
    """Vectorise and write, and return what it took."""
    files = {name: rasterio.open(folder / f"{name}.tif") for name in RASTERS}
    classes, confidence = (rasterio.band(files[name], 1) for name in RASTERS[:2])
    target = folder / "polygons.gpkg"
    times = {}

    def read_strip(row: int, rows: int) -> Strip:
        window = ((row, row + rows), (0, size))
        return Strip(*(files[name].read(1, window=window) for name in RASTERS[1:]))

    def timed(name: str, work):
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        times[name] = {
            "wall_s": round(time.perf_counter() - wall, 2),
            "cpu_s": round(time.process_time() - cpu, 2),
            "peak_mb": peak_mb(),
        }
        return result

    imported = peak_mb()
    outlines = timed(
        "outlines",
        lambda: outlines_from_raster(
            classes,
            GRID,
            CRS,
            read_strip=read_strip,
            simplification=simplification,
            area_interval=True,
        ),
    )
    timed("write_outlines", lambda: write_vectors(outlines, target, "outlines"))
    bands = timed("bands", lambda: confidence_bands(confidence, GRID, CRS))
    timed("write_bands", lambda: write_vectors(bands, target, "bands"))
    return {
        "size": size,
        "wall_s": sum(step["wall_s"] for step in times.values()),
        "cpu_s": sum(step["cpu_s"] for step in times.values()),
        "peak_gib": peak_mb() / 1024,
        "glaciers": len(outlines),
        "vertices": int(outlines.geometry.count_coordinates().sum()),
        "bands": len(bands),
        "band_vertices": int(bands.geometry.count_coordinates().sum()),
        "imported_mb": imported,
        "steps": times,
    }


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=10_980)
    parser.add_argument("--simplification", type=float, default=1.0)
    parser.add_argument("--data", type=Path, help="folder for the rasters, kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.data or Path(temporary)
        if not (folder / "aspect.tif").exists():
            maker = multiprocessing.get_context("spawn").Process(
                target=write_scene, args=(folder, options.size)
            )
            maker.start()
            maker.join()
        with rasterio.Env(GDAL_CACHEMAX=1 << 27):  # else it grows to 5 % of the memory
            report = measure(folder, options.size, options.simplification)
    save("vectorising", report)


if __name__ == "__main__":
    main()
