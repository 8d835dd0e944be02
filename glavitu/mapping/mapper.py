"""Mapping a scene: the model is streamed over it window by window, from disk to disk."""

import json
import logging
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import rasterio
import torch
from tqdm import tqdm

from glavitu.confidence.calibration import RAW_NOTICE
from glavitu.errors import InputError
from glavitu.files import when_complete
from glavitu.mapping.cog import Layer, write_cog
from glavitu.mapping.devices import Predictor, device_name
from glavitu.mapping.location import location_encoding, optimised_region, same_for_all
from glavitu.mapping.output_folder import (
    ROWS_FILE,
    RUN_FILE,
    NoDataError,
    finished_run,
    full_disk_told,
    opened,
    publish,
    working,
)
from glavitu.mapping.prediction import Finish, Layout, predict_scene
from glavitu.mapping.preview import write_preview
from glavitu.mapping.provenance import provenance, raster_tags
from glavitu.mapping.row_store import RowStore
from glavitu.mapping.scene_model import SceneModel
from glavitu.mapping.smoothing import NODATA, smoothed_strips
from glavitu.mapping.vectors import write_vector_files
from glavitu.outlines.vector_files import check_vector_path
from glavitu.rasters.scene import Scene
from glavitu.rasters.sources import Files
from glavitu.rasters.target_grid import target_grid
from glavitu.rasters.units import units_of
from glavitu.regions import region_index
from glavitu.windows import window_stride

__all__ = ["MapResult", "SceneModel", "map_scene"]

logger = logging.getLogger(__name__)

#: Rasters of a map.
LAYERS = {
    "outlines.tif": Layer("classes", "uint8", NODATA, "mode"),
    "confidence.tif": Layer("confidence", "float32", math.nan, "average"),
    "probability.tif": Layer("probability", "float32", math.nan, "average"),
}

SMOOTHED_FILE = "smoothed"

#: However wide a scene and however large the blocks of its files.
MOST_CACHE_BYTES = 2**30

#: GDAL decodes and encodes blocks of a file with all cores.
GDAL_OPTIONS = {"GDAL_NUM_THREADS": "ALL_CPUS"}


class MapResult(NamedTuple):
    """The files of a map, and what they add up to."""

    classes: Path
    confidence: Path
    outlines: Path
    preview: Path
    run: Path
    probability: Path | None
    confidence_bands: Path | None
    glaciers: int
    area_km2: float


def map_scene(
    model: SceneModel,
    files: Mapping[str, Files],
    output: str | Path,
    *,
    crs: str | None = None,
    resolution: float | None = None,
    bounds: Sequence[float] | None = None,
    aoi: str | Path | None = None,
    scales: Mapping[str, tuple[float, float]] | None = None,
    decibels: bool = False,
    slope_percent: bool = False,
    region: str | None = None,
    optimise_region: bool = False,
    batch_size: int | None = None,
    overlap: float = 0.5,
    probability: bool = False,
    smoothing: int = 0,
    min_area_km2: float = 0.0,
    vector_format: str = "gpkg",
    overwrite: bool = False,
    progress: bool = True,
) -> MapResult:
    """Map the glaciers of a scene.

    Windows of the model's size step by half of it and are blended as published (Maslov et al. 2025,
    doi 10.1038/s41467-024-54956-x). Memory grows with the scene's width and with the number of
    outlines, not with its height. The model is put in evaluation mode; on the CPU a copy with
    folded batch norms predicts, on a CUDA GPU it predicts in bfloat16.

    What is interrupted, even by a power cut or a full disk, goes on where it stopped when it is
    called again in the same way, and gives the same pixels. Its finished rows wait in a hidden
    folder in ``output``. Of a map that is complete already the result is returned at once.

    Args:
        model: A trained model, such as ``GlaViTUTask.from_checkpoint("best_iou.ckpt", "tta")``;
            what its probabilities are the mean of, the model decides.
        files: Rasters by the name of their feature group: one, several that are parts of one, or a
            folder of them, in any CRS, pixel size and extent; see :class:`Scene`.
        output: Folder for ``outlines.tif`` (uint8, 1 = glacier, 255 = no data),
            ``confidence.tif`` (float32, 0 to 1, NaN = no data; calibrated where the model is, as
            the tag ``confidence`` tells), ``outlines.gpkg``
            (:func:`~glavitu.outlines.from_raster.outlines_from_raster`), where the model is
            calibrated ``confidence_bands.gpkg`` (confidence under 0.95), ``preview.png`` and
            ``run.json``, which tells how they were made. It is made where it does not exist; files
            in it appear, or are replaced, only when all are complete.
        crs: Coordinate reference system of the map, such as ``'EPSG:32645'``. The map has the
            pixels of the optical raster, or of the first group's without one, where nothing else is
            said.
        resolution: Size of its pixels, in units of the CRS.
        bounds: Its left, bottom, right and top, in units of the CRS.
        aoi: File of polygons in any CRS; the map is the rectangle around them.
        scales: Scale and offset of stored values by the name of their group, such as
            ``{"optical": (0.0001, 0.0)}``; by default those of the files' own tags.
        decibels: Sigma0 is in decibels.
        slope_percent: Slope is in percent.
        region: Code of the scene's region, for a model that knows regions or is calibrated per
            region; None is unknown.
        optimise_region: Look for the region vector of a scene of unknown region, see
            :func:`~glavitu.mapping.region_optimisation.optimise_region`.
        batch_size: Windows predicted at once; by default 1 on the CPU, where more only take memory,
            else 4.
        overlap: Part of a window's width that it shares with the next, from 0 to below 1: less is
            quicker, more is smoother. 0.5 is the published one.
        probability: Also write ``probability.tif``, the probability of glacier (float32, 0 to 1).
        smoothing: Side in pixels of a median filter over the classes, odd; 0 for none. With one,
            outlines are straightened by up to a pixel too.
        min_area_km2: Leave out smaller outlines.
        vector_format: Of outlines and confidence bands: ``'gpkg'``, ``'parquet'``, ``'shp'`` or
            ``'geojson'``.
        overwrite: Replace another map in the folder, and remove unfinished ones.
        progress: Show a progress bar, and what comes after it.

    Returns:
        The files written, the number of outlines and their area.

    Raises:
        InputError: If the rasters or the options cannot be used, no pixel has data, the output
            holds another map or is in use, or the disk is full.
    """
    output = Path(output)
    if batch_size is None:
        batch_size = default_batch_size(model.device)
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}; give 1 or more")
    if smoothing < 0 or (smoothing and smoothing % 2 == 0):
        raise InputError(
            f"smoothing is {smoothing}; give the side of a square of pixels around one, an odd "
            "number such as 5, or 0 for no smoothing"
        )
    if not min_area_km2 >= 0:
        raise InputError(f"the smallest area is {min_area_km2} km2; give 0 or more")
    if optimise_region and region is not None:
        raise InputError(
            f"region {region!r} is given, so there is none to optimise; leave out one of the two"
        )
    stride = window_stride(model.image_size, overlap)
    rasters = [name for name in LAYERS if probability or name != "probability.tif"]
    outlines_name, bands_name = (f"{n}.{vector_format}" for n in ("outlines", "confidence_bands"))
    check_vector_path(output / outlines_name)
    names = [*rasters, outlines_name, "preview.png"]
    calibrated = model.calibration is not None
    if calibrated:
        names.append(bands_name)

    model.eval()
    reference = files.get("optical", next(iter(files.values()), ()))
    grid = target_grid(reference, crs=crs, resolution=resolution, bounds=bounds, aoi=aoi)
    units = units_of(model.features, scales, decibels, slope_percent)
    options = {
        "grid": {"crs": grid.crs.to_string(), "transform": grid.transform[:6], "shape": grid.shape},
        "scales": scales,
        "decibels": decibels,
        "slope_percent": slope_percent,
        "region": region,
        "optimise_region": optimise_region,
        "batch_size": batch_size,
        "overlap": overlap,
        "probability": probability,
        "smoothing": smoothing,
        "min_area_km2": min_area_km2,
        "vector_format": vector_format,
    }
    with (
        rasterio.Env(**GDAL_OPTIONS),
        Scene(files, model.features, grid=grid, units=units) as scene,
        rasterio.Env(GDAL_CACHEMAX=_cache_bytes(scene)),
    ):
        for path in [path for paths in scene.inputs.values() for path in paths]:
            if path.resolve() in [(output / name).resolve() for name in [*names, RUN_FILE]]:
                raise InputError(f"{path} would be overwritten by the map; choose another output")
        location_of = location_encoding(model, scene, region, optimise_region)
        run = provenance(model, scene.inputs, options)
        with opened(output):
            written = finished_run(output, run, names, overwrite)
            if written is not None:
                logger.warning(f"{output}: this map is complete already; nothing is done again")
                return _result(output, written)
            if not calibrated:
                logger.warning(RAW_NOTICE)
            layout = Layout.of(scene, model.image_size, stride)
            predictor = Predictor(model, batch_size, layout.windows)
            fields = {LAYERS[name].field: LAYERS[name].kind for name in rasters}
            with (
                working(output, run) as work,
                RowStore(work / ROWS_FILE, scene.width, fields) as store,
                full_disk_told(output, work, 3 * store.row_bytes * scene.height),
            ):
                stages = _Stages(progress)
                if optimise_region:
                    with stages("region", "Optimising the region"):
                        run["region"] = optimised_region(work, model, scene, progress)
                    shares = torch.tensor(run["region"]["vector"])
                    location_of = same_for_all(shares)
                source = ", ".join(map(str, scene.files.values()))
                finish = Finish(store, model.calibration, region_index(region), source)
                with stages("predicting", _beginning(store, scene)):
                    counts = predict_scene(predictor, scene, layout, location_of, finish, progress)
                if not _any_data(store):
                    raise NoDataError(_nothing_to_map(scene))
                with stages("rasters", f"Writing {', '.join(rasters)}"):
                    _write_rasters(work, store, rasters, smoothing, scene, raster_tags(run))
                with stages("vectorising", f"Vectorising to {outlines_name}"):
                    outlines, vectors = write_vector_files(
                        work / "outlines.tif",
                        work / "confidence.tif",
                        scene,
                        work / outlines_name,
                        work / bands_name if calibrated else None,
                        min_area_km2=min_area_km2,
                        smoothed=smoothing > 0,
                        progress=progress,
                    )
                with stages("preview", "Drawing preview.png"):
                    write_preview(work / "preview.png", scene, outlines, work / "confidence.tif")
                run |= {
                    "date": datetime.now(UTC).isoformat(timespec="seconds"),
                    "device_name": device_name(model.device),
                    "windows": counts._asdict(),
                    "seconds": stages.seconds,
                    "glaciers": len(outlines),
                    "area_km2": float(outlines["area_km2"].sum()),
                    "files": [*rasters, *(path.name for path in vectors), "preview.png"],
                }
                with when_complete(work / RUN_FILE) as partial:
                    partial.write_text(json.dumps(run, indent=2))
            return _result(output, publish(work, output))


def default_batch_size(device: torch.device) -> int:
    """Return how many windows are predicted at once on a device, where nobody says."""
    return 1 if device.type == "cpu" else 4


def _result(output: Path, run: Mapping[str, Any]) -> MapResult:
    suffix = run["options"]["vector_format"]

    def if_written(name: str) -> Path | None:
        return output / name if name in run["files"] else None

    return MapResult(
        classes=output / "outlines.tif",
        confidence=output / "confidence.tif",
        outlines=output / f"outlines.{suffix}",
        preview=output / "preview.png",
        run=output / RUN_FILE,
        probability=if_written("probability.tif"),
        confidence_bands=if_written(f"confidence_bands.{suffix}"),
        glaciers=run["glaciers"],
        area_km2=run["area_km2"],
    )


class _Stages:
    """Times the stages of a map, and says what is being done.

    Attributes:
        seconds: Of each stage so far.
    """

    def __init__(self, progress: bool) -> None:
        self.progress = progress
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str, words: str) -> Iterator[None]:
        """Time a stage."""
        self.say(words)
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 3)

    def say(self, words: str) -> None:
        """Tell people something, where they are to see progress."""
        if self.progress:
            tqdm.write(words, file=sys.stderr)


def _cache_bytes(scene: Scene) -> int:
    """Bytes of blocks that GDAL keeps: those of the next rows, and of the files being written."""
    return min(2**25 + 2 * scene.cache_bytes, MOST_CACHE_BYTES)


def _beginning(store: RowStore, scene: Scene) -> str:
    size = f"{scene.height:,} x {scene.width:,} pixels"
    done = f", going on after row {store.rows:,}" if store.rows else ""
    return f"Mapping {size}{done}"


def _any_data(store: RowStore) -> bool:
    return any(bool((strip["classes"] != NODATA).any()) for _, strip in store.strips())


def _nothing_to_map(scene: Scene) -> str:
    empty = scene.files_without_data()
    if empty:
        return (
            f"no pixel has data in {', '.join(map(str, empty))}; check the nodata value, which "
            "rio info shows, or choose another scene"
        )
    return (
        f"no pixel has data in all of {', '.join(map(str, scene.files.values()))}; their data must "
        "overlap, choose files of the same place"
    )


def _write_rasters(
    work: Path,
    store: RowStore,
    rasters: Sequence[str],
    smoothing: int,
    scene: Scene,
    tags: Mapping[str, str],
) -> None:
    for name in rasters:
        layer = LAYERS[name]
        if layer.field != "classes" or not smoothing:
            write_cog(work / name, store, layer, scene, tags)
            continue
        (work / SMOOTHED_FILE).unlink(missing_ok=True)
        kinds = {layer.field: layer.kind}
        with RowStore(work / SMOOTHED_FILE, store.width, kinds) as smoothed:
            for strip in smoothed_strips(store, layer.field, smoothing):
                smoothed.append({layer.field: strip})
            write_cog(work / name, smoothed, layer, scene, tags)
