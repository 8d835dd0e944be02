"""Large scenes to map, and what a map of one takes in a process of its own.

A scene is written as a satellite's files come, reflectance as integers in UTM and elevation in
degrees, and mapped by a threshold on one band, which costs next to nothing and shows what all else
costs, or by a small GlaViTU. What it took is printed as JSON:

    python -m benchmarks.speed.scenes FOLDER threshold
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.measuring import peak_mb

MODELS = ("GlaViTU", "threshold")
WEST, NORTH, PIXEL = 400_000.0, 5_500_000.0, 10.0
STAGES = ("predicting", "rasters", "vectorising", "preview")


def write_scene(folder: Path, height: int, width: int) -> None:
    """Write optical.tif and dem.tif of a land of hills, white above a line."""
    import rasterio
    from rasterio.transform import from_origin
    from rasterio.warp import transform_bounds

    common = {"driver": "GTiff", "tiled": True, "compress": "deflate", "zlevel": 1}
    optical = {"count": 6, "dtype": "uint16", "nodata": 0, "crs": "EPSG:32632", **common}
    optical |= {"height": height, "width": width}
    optical["transform"] = from_origin(WEST, NORTH, PIXEL, PIXEL)
    rng = np.random.default_rng(0)
    x = np.arange(width) * PIXEL
    with rasterio.open(folder / "optical.tif", "w", bigtiff="if_safer", **optical) as file:
        file.scales, file.offsets = [1e-4] * 6, [0.0] * 6
        for row in range(0, height, 256):
            y = np.arange(row, min(row + 256, height)) * PIXEL
            white = _hills(WEST + x[None], NORTH - y[:, None]) > 0.35
            noise = rng.integers(0, 500, (6, *white.shape), dtype=np.uint16)
            values = 1500 + 6000 * white.astype(np.uint16) + noise
            file.write(values, window=((row, row + len(y)), (0, width)))
    bounds = (WEST, NORTH - height * PIXEL, WEST + width * PIXEL, NORTH)
    west, south, east, north = transform_bounds("EPSG:32632", 4326, *bounds)
    west, south, east, north = west - 0.01, south - 0.01, east + 0.01, north + 0.01
    step = 1 / 3600
    rows, cols = round((north - south) / step), round((east - west) / step)
    latitudes = north - (np.arange(rows) + 0.5) * step
    longitudes = west + (np.arange(cols) + 0.5) * step
    dem = {"height": rows, "width": cols, "count": 1, "dtype": "float32", "crs": "EPSG:4326"}
    dem |= common | {"transform": from_origin(west, north, step, step)}
    with rasterio.open(folder / "dem.tif", "w", **dem) as file:
        heights = _hills(longitudes[None] * 73_000, latitudes[:, None] * 111_000)
        file.write((2000 + 800 * heights).astype(np.float32), 1)


def _hills(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (np.sin(x / 900) + np.cos(y / 1300) + np.sin((x + y) / 300)) / 3


def threshold_model() -> Any:
    """Make a model that costs next to nothing, calibrated so that all outputs are written."""
    import torch

    from glavitu.confidence.calibration import Calibration
    from glavitu.confidence.curves import ConfidenceCurve
    from glavitu.features import resolve_features

    class Threshold(torch.nn.Module):
        features, num_classes, location = resolve_features(("optical", "dem")), 2, None
        image_size, device, calibration = 384, torch.device("cpu"), None

        def predict_probabilities(
            self, image: torch.Tensor, location: torch.Tensor | None
        ) -> torch.Tensor:
            glacier = torch.sigmoid(image[:, 2] * 40 - 12)
            return torch.stack([1 - glacier, glacier], 1)

    model = Threshold()
    model.calibration = Calibration(ConfidenceCurve([0, 1], [0.5, 1], "kernel_ridge"))
    return model


def map_one(folder: Path, kind: str) -> None:
    """Map a scene and print what it took: seconds, and the peak before and after in MB."""
    import torch

    from glavitu.mapping import map_scene
    from glavitu.tasks import GlaViTUTask

    torch.manual_seed(0)
    model = threshold_model()
    if kind == "GlaViTU":
        calibration = model.calibration
        model = GlaViTUTask(model_args={"width": 8, "depth": 1, "heads": 2})
        model.calibration = calibration
    before = peak_mb()
    files = {"optical": folder / "optical.tif", "dem": folder / "dem.tif"}
    start = time.perf_counter()
    result = map_scene(model, files, folder / "map", progress=False)
    wall = time.perf_counter() - start
    run = json.loads(result.run.read_text())
    cost = {"imported_mb": before, "peak_mb": peak_mb(), "wall_s": wall}
    print(
        json.dumps(cost | {key: run[key] for key in ("glavitu", "seconds", "windows", "glaciers")})
    )


def map_apart(folder: Path, kind: str, threads: int | None = None) -> dict[str, Any]:
    """Map a scene in a process of its own and return what it took."""
    some = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.speed.scenes", folder, kind],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=os.environ | some,
    )
    cost: dict[str, Any] = json.loads(done.stdout)
    return cost


def main() -> None:
    """Map what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene", type=Path, help="folder that write_scene filled")
    parser.add_argument("model", choices=MODELS)
    options = parser.parse_args()
    map_one(options.scene, options.model)


if __name__ == "__main__":
    main()
