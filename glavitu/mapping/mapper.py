"""Mapping a scene: the model is streamed over it window by window, from disk to disk."""

import inspect
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ParamSpec, Protocol, cast

import geopandas
import rasterio
import torch
from tqdm import tqdm

from glavitu.confidence.calibration import RAW_NOTICE
from glavitu.errors import InputError
from glavitu.files import is_local, opened
from glavitu.mapping.cog import Layer, write_cog
from glavitu.mapping.devices import Predictor, device_name
from glavitu.mapping.location import (
    LocationOf,
    location_encoding,
    optimised_region,
    same_for_all,
)
from glavitu.mapping.map_folder import (
    CLASSES,
    CONFIDENCE,
    PREVIEW,
    PROBABILITY,
    FileNames,
    FinishedMap,
)
from glavitu.mapping.options import Decides, MapOptions, keyword_parameters
from glavitu.mapping.output_folder import (
    ROWS_FILE,
    RUN_FILE,
    ChangedError,
    NoDataError,
    finished_run,
    full_disk_told,
    publish,
    working,
    write_run,
)
from glavitu.mapping.prediction import Counts, Finish, Layout, predict_scene
from glavitu.mapping.preview import write_preview
from glavitu.mapping.provenance import described, provenance, raster_tags
from glavitu.mapping.room import check_room
from glavitu.mapping.row_store import RowStore
from glavitu.mapping.scene_check import check_scene, known_trainings, say_what_is_missing
from glavitu.mapping.scene_model import SceneModel
from glavitu.mapping.smoothing import NODATA, smoothed_strips
from glavitu.mapping.vectors import write_vector_files
from glavitu.outlines.vector_files import check_vector_path
from glavitu.rasters.names import files_behind
from glavitu.rasters.scene import Scene
from glavitu.rasters.sources import Files
from glavitu.rasters.target_grid import target_grid
from glavitu.rasters.units import units_of
from glavitu.regions import region_index
from glavitu.windows import window_stride

__all__ = ["MapResult", "SceneModel", "map_scene"]

logger = logging.getLogger(__name__)

#: What ``map_scene`` returns.
MapResult = FinishedMap

#: Rasters of a map.
LAYERS = {
    CLASSES: Layer("classes", "uint8", NODATA, "mode"),
    CONFIDENCE: Layer("confidence", "float32", math.nan, "average"),
    PROBABILITY: Layer("probability", "float32", math.nan, "average"),
}

SMOOTHED_FILE = "smoothed"

#: However wide a scene and however large the blocks of its files.
MOST_CACHE_BYTES = 2**30

#: GDAL decodes and encodes blocks of a file with all cores.
GDAL_OPTIONS = {"GDAL_NUM_THREADS": "ALL_CPUS"}

P = ParamSpec("P")


class MapScene(Protocol[P]):
    """Type of :func:`map_scene`: its keywords are the fields of :class:`MapOptions`."""

    def __call__(
        self,
        model: SceneModel,
        files: Mapping[str, Files],
        output: str | Path,
        *args: P.args,
        **options: P.kwargs,
    ) -> FinishedMap:
        """Map the glaciers of a scene."""


def _taking(
    options: Callable[P, MapOptions],
) -> Callable[[Callable[..., FinishedMap]], MapScene[P]]:
    """Give a function the keywords of the options, for type checkers, help and editors."""

    def with_signature(function: Callable[..., FinishedMap]) -> MapScene[P]:
        own = inspect.signature(function)
        positional = list(own.parameters.values())[:-1]
        signature = own.replace(parameters=[*positional, *keyword_parameters()])
        vars(function)["__signature__"] = signature
        return cast(MapScene[P], function)

    return with_signature


@_taking(MapOptions)
def map_scene(
    model: SceneModel, files: Mapping[str, Files], output: str | Path, **options: Any
) -> FinishedMap:
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
        **options: What :class:`~glavitu.mapping.options.MapOptions` takes.

    Returns:
        The finished map: its files, the number of outlines and their area.

    Raises:
        InputError: If the rasters or the options cannot be used, no pixel has data, the output
            holds another map or is in use, or the disk is full.
    """
    output = Path(output)
    chosen = MapOptions(**options).on(model.device)
    stride = window_stride(model.image_size, chosen.overlap)
    names = FileNames.of(chosen, calibrated=model.calibration is not None)
    check_vector_path(output / names.outlines)
    model.eval()
    with _scene(model, files, chosen) as scene:
        _check_inputs_stay(scene, output, names)
        location_of = location_encoding(model, scene, chosen.region, chosen.optimise_region)
        run = provenance(model, scene.inputs, chosen.facts(scene.grid))
        with opened(output):
            written = finished_run(output, run, names.all, chosen.overwrite)
            if written is not None:
                logger.warning(f"{output}: this map is complete already; nothing is done again")
                return FinishedMap(output, written)
            if model.calibration is None:
                logger.warning(RAW_NOTICE)
            say_what_is_missing(scene)
            # Models of others need not say it.
            mirrored = getattr(model, "mirrored", False)
            layout = Layout.of(scene, model.image_size, stride, mirrored)
            with working(output, run) as work:
                _Work(model, scene, chosen, names, output, work, run).map(layout, location_of)
            return FinishedMap(output, publish(work, output))


@contextmanager
def _scene(model: SceneModel, files: Mapping[str, Files], options: MapOptions) -> Iterator[Scene]:
    """Open the scene on the grid of the map, with GDAL's cache as large as it needs."""
    reference = files.get("optical", next(iter(files.values()), ()))
    grid = target_grid(reference, **options.deciding(Decides.GRID))
    units = units_of(
        model.features, options.scales, options.decibels, options.slope_percent, options.nodata
    )
    with (
        rasterio.Env(**GDAL_OPTIONS),
        Scene(files, model.features, grid=grid, units=units) as scene,
        rasterio.Env(GDAL_CACHEMAX=_cache_bytes(scene)),
    ):
        yield scene


def _cache_bytes(scene: Scene) -> int:
    """Bytes of blocks that GDAL keeps: those of the next rows, and of the files being written."""
    return min(2**25 + 2 * scene.cache_bytes, MOST_CACHE_BYTES)


def _check_inputs_stay(scene: Scene, output: Path, names: FileNames) -> None:
    written = [(output / name).resolve() for name in [*names.all, RUN_FILE]]
    for name in [name for names in scene.inputs.values() for name in names]:
        if any(Path(file).resolve() in written for file in files_behind(name)):
            raise InputError(f"{name} would be overwritten by the map; choose another output")


@dataclass
class _Work:
    """Makes a map in the folder of a run.

    Attributes:
        model: The model, in evaluation mode.
        scene: The scene, open.
        options: How it is mapped.
        names: Names of the files.
        output: The output folder, for messages.
        folder: The folder of the run, where the files are written.
        run: What ``run.json`` is to hold.
    """

    model: SceneModel
    scene: Scene
    options: MapOptions
    names: FileNames
    output: Path
    folder: Path
    run: dict[str, Any]

    def __post_init__(self) -> None:
        self.stages = _Stages(self.options.progress)

    def map(self, layout: Layout, location_of: LocationOf) -> None:
        """Write all files; ``run.json``, which comes last, says that they are complete.

        Raises:
            InputError: If no pixel has data, or the disk is full.
        """
        predictor = Predictor(self.model, self.options.batch_size or 1, layout.windows)
        fields = {LAYERS[name].field: LAYERS[name].kind for name in self.names.rasters}
        with (
            RowStore(self.folder / ROWS_FILE, self.scene.width, fields) as store,
            full_disk_told(self.output, self.folder, 3 * store.row_bytes * self.scene.height),
        ):
            rows = (self.scene.height - store.rows) * store.row_bytes
            channels = sum(map(len, self.scene.groups))
            check_room(self.output, layout, channels, self.model.num_classes, rows)
            self.check()
            if self.options.optimise_region:
                location_of = self.find_region()
            counts = self.predict(store, predictor, layout, location_of)
            self.write_rasters(store)
            outlines, smaller, vectors = self.vectorise()
            with self.stages("preview", f"Drawing {PREVIEW}"):
                confidence = self.folder / CONFIDENCE
                write_preview(self.folder / PREVIEW, self.scene, outlines, confidence)
            self.write_run(counts, outlines, smaller, vectors)

    def check(self) -> None:
        """Warn where the scene does not look like what the model was trained on."""
        self.run["training_range"] = None
        if trainings := known_trainings(self.model):
            with self.stages("checking", "Comparing the scene with the training"):
                size = self.model.image_size
                self.run["training_range"] = check_scene(trainings, self.scene, size)

    def find_region(self) -> LocationOf:
        """Look for the region vector with which the model is surest."""
        with self.stages("region", "Optimising the region"):
            progress = self.options.progress
            self.run["region"] = optimised_region(self.folder, self.model, self.scene, progress)
        return same_for_all(torch.tensor(self.run["region"]["vector"]))

    def predict(
        self, store: RowStore, predictor: Predictor, layout: Layout, location_of: LocationOf
    ) -> Counts:
        """Predict the rows that are not in the store yet."""
        region = region_index(self.options.region)
        finish = Finish(store, self.model.calibration, region, _named(self.scene))
        with self.stages("predicting", _beginning(store, self.scene)):
            counts = predict_scene(
                predictor, self.scene, layout, location_of, finish, self.options.progress
            )
        if not _any_data(store):
            raise NoDataError(_nothing_to_map(self.scene))
        return counts

    def write_rasters(self, store: RowStore) -> None:
        """Write the rasters from the finished rows."""
        tags = raster_tags(self.run)
        with self.stages("rasters", f"Writing {', '.join(self.names.rasters)}"):
            for name in self.names.rasters:
                layer = LAYERS[name]
                if name != CLASSES or not self.options.smoothing:
                    write_cog(self.folder / name, store, layer, self.scene, tags)
                    continue
                (self.folder / SMOOTHED_FILE).unlink(missing_ok=True)
                kinds = {layer.field: layer.kind}
                with RowStore(self.folder / SMOOTHED_FILE, store.width, kinds) as smoothed:
                    for strip in smoothed_strips(store, layer.field, self.options.smoothing):
                        smoothed.append({layer.field: strip})
                    write_cog(self.folder / name, smoothed, layer, self.scene, tags)

    def vectorise(self) -> tuple[geopandas.GeoDataFrame, int, list[Path]]:
        """Write the vector files; return the outlines, how many were smaller, and the files."""
        names = self.names
        with self.stages("vectorising", f"Vectorising to {names.outlines}"):
            return write_vector_files(
                self.folder / CLASSES,
                self.folder / CONFIDENCE,
                self.scene,
                self.folder / names.outlines,
                None if names.bands is None else self.folder / names.bands,
                min_area_km2=self.options.min_area_km2,
                smoothed=self.options.smoothing > 0,
                progress=self.options.progress,
            )

    def write_run(
        self,
        counts: Counts,
        outlines: geopandas.GeoDataFrame,
        smaller: int,
        vectors: list[Path],
    ) -> None:
        """Write how all was made.

        Raises:
            InputError: If a raster was changed while the map was made of it.
        """
        local = {group: filter(is_local, names) for group, names in self.scene.inputs.items()}
        if not all(raster in self.run["inputs"] for raster in described(local)):
            raise ChangedError(
                f"{_named(self.scene)}: changed while it was mapped; run the same command again, "
                "which maps it as it is now"
            )
        self.run |= {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "device_name": device_name(self.model.device),
            "windows": counts._asdict(),
            "seconds": self.stages.seconds,
            "glaciers": len(outlines),
            "area_km2": float(outlines["area_km2"].sum()),
            "smaller_left_out": smaller,
        }
        files = [*self.names.rasters, *(path.name for path in vectors), PREVIEW]
        write_run(self.folder, self.run, files)


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
        """Time a stage, and tell people of it where they are to see progress."""
        if self.progress:
            tqdm.write(words, file=sys.stderr)
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 3)


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
        f"no pixel has data in all of {_named(scene)}; their data must overlap, choose files of "
        "the same place"
    )


def _named(scene: Scene) -> str:
    return ", ".join(map(str, scene.files.values()))
