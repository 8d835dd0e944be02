"""Mapping a scene: the model is streamed over it window by window, from disk to disk."""

import logging
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import rasterio
import torch
from torch import Tensor
from tqdm import tqdm

from glavitu.calibration import RAW_NOTICE, Calibration, confidence_tag
from glavitu.confidence import confidence
from glavitu.datasets.scene import Scene
from glavitu.errors import InputError
from glavitu.features import FeatureGroup
from glavitu.mapping.outlines import GLACIER, outlines_from_raster, write_outlines
from glavitu.mapping.preview import write_preview
from glavitu.regions import UNKNOWN, coordinate_vector, region_index, region_vector
from glavitu.windows import Padding, Window, blend_bands, centred_padding, window_starts

logger = logging.getLogger(__name__)

#: Value of ``outlines.tif`` where nothing is known.
NODATA = 255


class SceneModel(Protocol):
    """What mapping asks of a model; ``GlaViTUTask`` gives it."""

    @property
    def features(self) -> tuple[FeatureGroup, ...]:
        """Feature groups of the input channels, in order."""

    @property
    def num_classes(self) -> int:
        """Number of classes; class 1 is glacier."""

    @property
    def location(self) -> str | None:
        """Location encoding: ``'region'``, ``'coordinates'`` or None."""

    @property
    def image_size(self) -> int:
        """Window size in pixels, a multiple of 16."""

    @property
    def calibration(self) -> Calibration | None:
        """What turns raw into calibrated confidence, None where there is nothing."""

    @property
    def device(self) -> torch.device:
        """Where the model's weights are."""

    def eval(self) -> Any:
        """Turn dropout and the like off."""

    def predict_probabilities(self, image: Tensor, location: Tensor | None) -> Tensor:
        """Probabilities (B, classes, H, W) of images (B, C, H, W), maybe means of several runs."""


class MapResult(NamedTuple):
    """The files of a map, and what they add up to."""

    classes: Path
    confidence: Path
    outlines: Path
    preview: Path
    glaciers: int
    area_km2: float


LocationOf = Callable[[Sequence[Window]], Tensor | None]


def map_scene(
    model: SceneModel,
    files: Mapping[str, str | Path],
    output: str | Path,
    *,
    region: str | None = None,
    batch_size: int = 4,
    progress: bool = True,
) -> MapResult:
    """Map the glaciers of a scene.

    Windows of the model's size step by half of it and are blended as published. Memory grows with
    the scene's width and with the number of outlines, not with its height. The model is put in
    evaluation mode.

    Args:
        model: A trained model, such as ``GlaViTUTask.from_checkpoint("best_iou.ckpt", "tta")``;
            what its probabilities are the mean of, the model decides.
        files: Rasters on one grid by the name of their feature group, see :class:`Scene`.
        output: Folder for ``outlines.tif`` (uint8, 1 = glacier, 255 = no data),
            ``confidence.tif`` (float32, 0 to 1, NaN = no data; calibrated where the model is, as
            the tag ``confidence`` tells), ``outlines.gpkg`` and ``preview.png``. It is made where
            it does not exist; files in it appear, or are replaced, only when all four are complete.
        region: Code of the scene's region, for a model that knows regions or is calibrated per
            region; None is unknown.
        batch_size: Windows predicted at once.
        progress: Show a progress bar.

    Returns:
        The files written, the number of outlines and their area.

    Raises:
        InputError: If the rasters or the options cannot be used, or no pixel has data.
    """
    output = Path(output)
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}; give 1 or more")
    if output.exists() and not output.is_dir():
        raise InputError(f"{output} is a file, but the output must be a folder; name another")
    result = MapResult(
        output / "outlines.tif",
        output / "confidence.tif",
        output / "outlines.gpkg",
        output / "preview.png",
        glaciers=0,
        area_km2=0.0,
    )
    finals = result[:4]
    for path in map(Path, files.values()):
        if path.resolve() in [final.resolve() for final in finals]:
            raise InputError(f"{path} would be overwritten by the map; choose another output")

    with Scene(files, model.features) as scene:
        location_of = _location_encoding(model, scene, region)
        if model.calibration is None:
            logger.warning(RAW_NOTICE)
        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{output}: the folder cannot be made ({error.strerror}); choose another output"
            ) from error
        # All is written in a hidden folder beside its place: whatever fails, nothing half stays.
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=output) as folder:
            partials = [Path(folder, final.name) for final in finals]
            classes, certain, vectors, preview = partials
            _predict_rasters(
                model,
                scene,
                location_of,
                region_index(region),
                classes,
                certain,
                batch_size,
                progress,
            )
            with rasterio.open(classes) as ones, rasterio.open(certain) as sure:
                outlines = outlines_from_raster(
                    rasterio.band(ones, 1), scene.transform, scene.crs, rasterio.band(sure, 1)
                )
            write_outlines(outlines, vectors)
            write_preview(preview, scene, outlines, certain)
            for partial, final in zip(partials, finals, strict=True):
                _replace(partial, final)
    return result._replace(glaciers=len(outlines), area_km2=float(outlines["area_km2"].sum()))


def _location_encoding(model: SceneModel, scene: Scene, region: str | None) -> LocationOf:
    """Return what gives the location vectors (n, L) of windows, or None."""
    per_region = model.calibration is not None and model.calibration.regions
    if region is not None and model.location != "region" and not per_region:
        raise InputError(
            f"region {region!r} was given, but this model takes no region; leave the region out, "
            "or choose a checkpoint trained with region encoding or calibrated per region"
        )
    if model.location == "region":
        index = region_index(region)
        if index == UNKNOWN:
            logger.warning("No region given: the scene is mapped as of an unknown region.")
        vector = region_vector(index)
        return lambda windows: vector.expand(len(windows), -1)
    if model.location == "coordinates":
        return lambda windows: torch.stack(
            [coordinate_vector(*scene.centre(window)) for window in windows]
        )
    return lambda windows: None


class _WindowPredictor:
    """Predicts the windows that :func:`blend_bands` asks for, and remembers which pixels count.

    Attributes:
        valid: bool (window, padded width) of the current row of windows.
    """

    def __init__(
        self,
        model: SceneModel,
        scene: Scene,
        location_of: LocationOf,
        vertical: Padding,
        horizontal: Padding,
        bar: "tqdm[Any]",
    ) -> None:
        self.model = model
        self.scene = scene
        self.location_of = location_of
        self.top, self.left = vertical.before, horizontal.before
        self.bar = bar
        self.valid = np.zeros((model.image_size, horizontal.size), dtype=bool)

    def __call__(self, row: int, cols: list[int]) -> Tensor:
        size, classes = self.model.image_size, self.model.num_classes
        images, windows, places = [], [], []
        for place, col in enumerate(cols):
            window = Window(row - self.top, col - self.left, size, size)
            image, valid = self.scene.read(window)
            self.valid[:, col : col + size] = valid
            if valid.any():
                images.append(image)
                windows.append(window)
                places.append(place)
        # Windows without data are not predicted; none of their pixels reaches the map.
        probabilities = torch.full((len(cols), classes, size, size), 1 / classes)
        if images:
            probabilities[places] = self._predict(torch.stack(images), windows)
        self.bar.update(len(cols))
        return probabilities

    def _predict(self, images: Tensor, windows: Sequence[Window]) -> Tensor:
        location = self.location_of(windows)
        if location is not None:
            location = location.to(self.model.device)
        predicted = self.model.predict_probabilities(images.to(self.model.device), location)
        predicted = predicted.float().cpu()
        if not predicted.isfinite().all():
            raise InputError(
                "the model's probabilities are not finite; check the checkpoint, and the units of "
                f"the rasters ({', '.join(map(str, self.scene.files.values()))})"
            )
        return predicted


def _predict_rasters(
    model: SceneModel,
    scene: Scene,
    location_of: LocationOf,
    region: int,
    classes_path: Path,
    confidence_path: Path,
    batch_size: int,
    progress: bool,
) -> None:
    """Write the class raster and the confidence raster band by band."""
    size, stride = model.image_size, model.image_size // 2
    vertical, horizontal = centred_padding(scene.height, size), centred_padding(scene.width, size)
    count = len(window_starts(vertical.size, size, stride)) * len(
        window_starts(horizontal.size, size, stride)
    )
    columns = slice(horizontal.before, horizontal.before + scene.width)
    anything = False
    model.eval()
    with (
        torch.inference_mode(),
        tqdm(total=count, desc="Mapping", unit="window", disable=not progress) as bar,
        _create(classes_path, scene, "uint8", NODATA, predictor=2) as classes_file,
        _create(confidence_path, scene, "float32", np.nan, predictor=3) as confidence_file,
    ):
        confidence_file.update_tags(confidence=confidence_tag(model.calibration))
        predict = _WindowPredictor(model, scene, location_of, vertical, horizontal, bar)
        for start, probabilities in blend_bands(
            predict, vertical.size, horizontal.size, size, stride, model.num_classes, batch_size
        ):
            first = max(0, vertical.before - start)
            last = min(probabilities.shape[1], vertical.before + scene.height - start)
            if last <= first:
                continue
            band = probabilities[:, first:last, columns]
            valid = predict.valid[first:last, columns]
            anything |= bool(valid.any())
            glacier = (band.argmax(0) == GLACIER).numpy()
            sure = confidence(band, dim=0)
            if model.calibration is not None:
                sure = model.calibration(sure, region)
            row = start + first - vertical.before
            rows = ((row, row + last - first), (0, scene.width))
            classes_file.write(np.where(valid, glacier, NODATA).astype(np.uint8), 1, window=rows)
            shown = np.where(valid, sure.numpy(), np.float32(np.nan))
            confidence_file.write(shown, 1, window=rows)
    if not anything:
        raise InputError(_nothing_to_map(scene))


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


def _create(path: Path, scene: Scene, dtype: str, nodata: float, predictor: int) -> Any:
    return rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=scene.height,
        width=scene.width,
        count=1,
        dtype=dtype,
        nodata=nodata,
        crs=scene.crs,
        transform=scene.transform,
        tiled=True,
        blockxsize=256,
        blockysize=256,
        compress="deflate",
        predictor=predictor,
        bigtiff="if_safer",
    )


def _replace(partial: Path, final: Path) -> None:
    # What other programs keep beside an older file (statistics, a log of SQLite) would now lie.
    for suffix in (".aux.xml", "-wal", "-shm", "-journal"):
        final.with_name(final.name + suffix).unlink(missing_ok=True)
    os.replace(partial, final)
