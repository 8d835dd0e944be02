"""How much longer a map takes than its parts must: the model, or reading and writing.

    python -m benchmarks.speed.scene_speed model
    python -m benchmarks.speed.scene_speed files

``model`` maps a scene with the published GlaViTU (random weights) and takes the wall time of
``map_scene``, from the first file opened to the last one in place, by the seconds that the same
predictor needs for as many windows that are ready in memory. These are timed in turns with the map
itself, for the speed of a machine drifts by more than what is measured: every third batch is
predicted once more, and that time is no part of the map's. Peak memory is that of the process over
what it has when all is imported.

``files`` maps a scene with a threshold on one band, so that all that is left is reading, cutting,
blending, writing rasters and polygons, and the picture. Beside it rasterio, in turns in the same
process: it reads all bands of the input once, block row by block row, and writes the map's rasters
once, with their types, compression, tiles and overviews; both may use all cores for that.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.measuring import alternate, ratio, save
from benchmarks.speed.scenes import threshold_model, write_scene

NAME = "scene_speed"
RASTERS = ("outlines.tif", "confidence.tif")
#: Batches after which one is predicted once more.
EVERY = 3


def files_of(scene: Path) -> dict[str, Path]:
    """Return the rasters of a scene that :func:`write_scene` wrote."""
    return {"optical": scene / "optical.tif", "dem": scene / "dem.tif"}


def model_round(scene: Path) -> dict[str, Any]:
    """Map a scene with the published model, in turns with the bare model."""
    import torch

    from glavitu.confidence.calibration import Calibration
    from glavitu.confidence.curves import ConfidenceCurve
    from glavitu.mapping import map_scene, mapper
    from glavitu.mapping.devices import Predictor
    from glavitu.tasks import GlaViTUTask

    imported = memory_mb("VmRSS")
    torch.manual_seed(0)
    model = GlaViTUTask(features=("optical", "dem"), image_size=384).eval()
    model.calibration = Calibration(ConfidenceCurve([0, 1], [0.5, 1], "kernel_ridge"))
    batches: list[int] = []
    again: list[float] = []

    class InTurns(Predictor):
        def __call__(self, images: torch.Tensor, location: torch.Tensor | None) -> torch.Tensor:
            predicted = super().__call__(images, location)
            batches.append(len(images))
            if len(batches) % EVERY == 0:
                start = time.perf_counter()
                super().__call__(images, location)
                again.append(time.perf_counter() - start)
            return predicted

    mapper.Predictor = InTurns
    start = time.perf_counter()
    result = map_scene(model, files_of(scene), scene / "map", progress=False)
    wall = time.perf_counter() - start - sum(again)
    peak = memory_mb("VmHWM")
    run = json.loads(result.run.read_text())
    window = sum(again) / sum(batches[EVERY - 1 :: EVERY])
    return {
        "windows": run["windows"]["predicted"],
        "batch_size": max(batches),
        "window_s": window,
        "map_s": wall,
        "ratio": wall / (window * run["windows"]["predicted"]),
        "peak_over_imports_mb": peak - imported,
        "stages_s": run["seconds"] | {"predicting": run["seconds"]["predicting"] - sum(again)},
    }


def memory_mb(key: str) -> int:
    """Resident memory of this process, MB of 2^20 bytes: VmRSS is now, VmHWM the most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith(key))


def measure_model(size: int, rounds: int, folder: Path) -> None:
    """Measure with the published model, each round in a process of its own."""
    write_scene(folder, size, size)
    done = []
    for _ in range(rounds):
        shutil.rmtree(folder / "map", ignore_errors=True)
        command = [
            sys.executable,
            "-m",
            "benchmarks.speed.scene_speed",
            "round",
            "--folder",
            str(folder),
        ]
        output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        done.append(json.loads(output))
        middle = statistics.median(one["ratio"] for one in done)
        peak = max(one["peak_over_imports_mb"] for one in done)
        save(
            NAME,
            {
                "model": {
                    "size": size,
                    "wall_by_windows_of_bare_model": middle,
                    "peak_over_imports_gib": peak / 1024,
                    "rounds": done,
                }
            },
        )


def written(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """Read a raster of a map, and how it is written."""
    import rasterio

    with rasterio.open(path) as file:
        profile = {key: file.profile[key] for key in ("crs", "transform", "nodata", "dtype")}
        profile |= {"height": file.height, "width": file.width, "count": 1, "driver": "COG"}
        profile |= {"compress": "deflate", "predictor": "yes", "num_threads": "all_cpus"}
        return file.read(1), profile | {"bigtiff": "if_safer"}


def measure_files(size: int, rounds: int, folder: Path) -> None:
    """Measure with a model that costs next to nothing, against rasterio."""
    import rasterio

    from glavitu.mapping import map_scene

    write_scene(folder, size, size)
    stages: dict[str, list[float]] = {}
    arrays: dict[str, tuple[Any, dict[str, Any]]] = {}
    windows = []

    def whole_map() -> None:
        shutil.rmtree(folder / "map", ignore_errors=True)
        result = map_scene(threshold_model(), files_of(folder), folder / "map", progress=False)
        run = json.loads(result.run.read_text())
        windows.append(run["windows"]["predicted"])
        for stage, seconds in run["seconds"].items():
            stages.setdefault(stage, []).append(seconds)

    def by_rasterio() -> None:
        if not arrays:  # in the round that does not count
            arrays.update((name, written(folder / "map" / name)) for name in RASTERS)
        with rasterio.Env(GDAL_NUM_THREADS="ALL_CPUS"):
            for path in files_of(folder).values():
                with rasterio.open(path) as file:
                    rows = file.block_shapes[0][0]
                    for row in range(0, file.height, rows):
                        file.read(window=((row, min(row + rows, file.height)), (0, file.width)))
            for name, (values, profile) in arrays.items():
                with rasterio.open(folder / name, "w", **profile) as file:
                    file.write(values, 1)

    times = alternate({"map": whole_map, "rasterio": by_rasterio}, rounds)
    bytes_written = sum(path.stat().st_size for path in (folder / "map").iterdir())
    middle = {stage: statistics.median(seconds[1:]) for stage, seconds in stages.items()}
    rasters = [
        (predicting + writing) / reference
        for predicting, writing, reference in zip(
            stages["predicting"][1:], stages["rasters"][1:], times["rasterio"], strict=True
        )
    ]
    save(
        NAME,
        {
            "files": {
                "size": size,
                "windows": windows[0],
                "windows_a_second": windows[0] / statistics.median(times["map"]),
                "windows_a_second_rasterio": windows[0] / statistics.median(times["rasterio"]),
                "rate_by_rasterio": ratio(times, "rasterio", to="map"),
                "rate_by_rasterio_rasters_only": 1 / statistics.median(rasters),
                "bytes_written_a_pixel": bytes_written / size**2,
                "stages_s": middle,
                "seconds": times,
            }
        },
    )


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("model", "files", "round"), help="round is for itself")
    parser.add_argument("--size", type=int, help="pixels a side (1,900 for model, 8,000 for files)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where scene and map go; kept")
    options = parser.parse_args()
    if options.what == "round":
        print(json.dumps(model_round(options.folder)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        if options.what == "model":
            measure_model(options.size or 1_900, options.rounds, folder)
        else:
            measure_files(options.size or 8_000, options.rounds, folder)


if __name__ == "__main__":
    main()
