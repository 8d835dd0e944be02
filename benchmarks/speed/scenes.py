"""Peak memory of a map, and the time of its stages, by the size of the scene.

Each scene is written as a satellite's files come, reflectance as integers in UTM and elevation in
degrees, and mapped in a process of its own: by a threshold on one band, which costs next to nothing
and shows what all else costs, or by a small GlaViTU. Results that are there already are kept:

    python -m benchmarks.speed.scenes run
    python -m benchmarks.speed.scenes table
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parents[1] / "results" / "map_scenes.json"

#: Model, height and width.
SCENES = (
    ("threshold", 4_000, 4_000),
    ("threshold", 40_000, 4_000),
    ("threshold", 10_980, 10_980),
    ("GlaViTU", 10_980, 10_980),
)
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
    before = _peak()
    files = {"optical": folder / "optical.tif", "dem": folder / "dem.tif"}
    start = time.perf_counter()
    result = map_scene(model, files, folder / "map", progress=False)
    wall = time.perf_counter() - start
    run = json.loads(result.run.read_text())
    told = {key: run[key] for key in ("glavitu", "seconds", "windows", "glaciers")}
    print(json.dumps({"imported_mb": before, "peak_mb": _peak(), "wall_s": wall, **told}))


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def run(folder: str | None) -> None:
    """Measure what is not there yet."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for kind, height, width in SCENES:
        name = f"{kind}-{height}x{width}"
        if name in results:
            continue
        print(f"== {name}", flush=True)
        with tempfile.TemporaryDirectory(dir=folder) as scene:
            write_scene(Path(scene), height, width)
            command = [sys.executable, "-m", "benchmarks.speed.scenes", "one", scene, kind]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        results[name] = {"model": kind, "height": height, "width": width}
        results[name] |= {"threads": os.environ.get("OMP_NUM_THREADS"), **json.loads(done.stdout)}
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def table() -> str:
    """Make the table of Markdown."""
    head = (
        "model",
        "scene",
        "windows",
        *(f"{name}, s" for name in STAGES),
        "peak, MB",
        "of it, MB",
    )
    lines = [f"| {' | '.join(head)} |", "| --- |" + " --- |" * (len(head) - 1)]
    for entry in json.loads(RESULTS.read_text()).values():
        cells = [entry["model"], f"{entry['height']:,} x {entry['width']:,}"]
        cells += [f"{entry['windows']['predicted']:,}"]
        cells += [f"{entry['seconds'][name]:.0f}" for name in STAGES]
        cells += [f"{entry['peak_mb']:,}", f"{entry['peak_mb'] - entry['imported_mb']:,}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    scenes = commands.add_parser("run", help="write and map the scenes")
    scenes.add_argument("--folder", help="where scenes and maps go for the time being")
    one = commands.add_parser("one", help="map one scene that is written")
    one.add_argument("scene", type=Path)
    one.add_argument("model", choices=sorted({scene[0] for scene in SCENES}))
    commands.add_parser("table", help="print the table")
    options = parser.parse_args()
    if options.command == "run":
        run(options.folder)
    elif options.command == "one":
        map_one(options.scene, options.model)
    else:
        print(table())


if __name__ == "__main__":
    main()
