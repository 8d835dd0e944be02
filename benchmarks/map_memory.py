"""Peak memory of a map by the height of the scene, with a model that costs next to nothing.

    python benchmarks/map_memory.py --output benchmarks/results/map_memory.json

Each scene is written as noise with eight float channels and mapped in a process of its own; what is
compared is the largest resident memory of these processes.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HEIGHTS = (4_000, 40_000)
BANDS = 8
WINDOW = 384


def write_scene(path: Path, height: int, width: int) -> None:
    import rasterio
    from rasterio.transform import from_origin

    rng = np.random.default_rng(0)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=height,
        width=width,
        count=BANDS,
        dtype="float32",
        crs="EPSG:32645",
        transform=from_origin(500_000, 5_000_000, 10, 10),
        tiled=True,
        bigtiff="if_safer",
    ) as file:
        shape = np.sin(np.arange(width, dtype=np.float32) / 300)
        for row in range(0, height, 256):
            rows = np.arange(row, min(row + 256, height), dtype=np.float32)[:, None]
            values = np.cos(rows / 300) + shape + rng.normal(0, 0.01, (BANDS, len(rows), width))
            file.write(values.astype(np.float32), window=((row, row + len(rows)), (0, width)))


def map_one(path: Path) -> None:
    """Map a scene and print the run's seconds, and the peak before and after in MB."""
    import torch

    from glavitu.features import FeatureGroup
    from glavitu.mapping import map_scene

    class Threshold(torch.nn.Module):
        features = (
            FeatureGroup("all", tuple(map(str, range(BANDS))), (0.0,) * BANDS, (1.0,) * BANDS),
        )
        num_classes, location, image_size, calibration = 2, None, WINDOW, None
        device = torch.device("cpu")

        def predict_probabilities(
            self, image: torch.Tensor, location: torch.Tensor | None
        ) -> torch.Tensor:
            glacier = torch.sigmoid(image[:, 0] * 8 - 4)
            return torch.stack([1 - glacier, glacier], 1)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    result = map_scene(Threshold(), {"all": path}, path.with_suffix(""), progress=False)
    run = json.loads(result.run.read_text())
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    told = {key: run[key] for key in ("seconds", "windows", "glaciers")}
    print(json.dumps({"imported_mb": before, "peak_mb": after, **told}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scene", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--width", type=int, default=4_000)
    parser.add_argument("--heights", type=int, nargs="+", default=HEIGHTS)
    parser.add_argument("--folder", help="where scenes and maps go for the time being")
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    options = parser.parse_args()
    if options.scene:
        map_one(options.scene)
        return
    results = []
    for height in options.heights:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            scene = Path(folder, "scene.tif")
            write_scene(scene, height, options.width)
            command = [sys.executable, __file__, "--scene", str(scene)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        result = {"height": height, "width": options.width, **json.loads(done.stdout)}
        results.append(result)
        print(result, flush=True)
    if options.output:
        options.output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
