"""Pictures of the test tiles that a model predicts worst."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch import LightningModule, Trainer
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from glavitu.callbacks.results import ResultsCallback
from glavitu.classes import GLACIER, UNKNOWN
from glavitu.confidence.calibration import Calibration
from glavitu.errors import check_number
from glavitu.features import FeatureGroup
from glavitu.files import stem_of, when_complete
from glavitu.metrics.region_confusion import confusion_counts, most_probable
from glavitu.models.entropy import confidence
from glavitu.pictures import (
    MASK_COLOURS,
    UNKNOWN_COLOUR,
    as_text,
    composite,
    shown_mask,
    stretched,
)

#: Largest height or width of a panel in pixels; larger tiles are thinned out.
SIZE = 512

ERRORS = {
    "true negative": "#f2efe9",
    "true positive": "#2b7bba",
    "false positive": "#e08214",
    "false negative": "#c2185b",
    "unknown": UNKNOWN_COLOUR,
}


@dataclass(frozen=True)
class Sample:
    """A tile, thinned out for a picture.

    Attributes:
        iou: IoU of the whole tile, infinite where neither truth nor prediction has a glacier.
        image: RGBA, uint8 (H, W, 4).
        bands: Names of the channels shown.
        truth: uint8 (H, W), 1 = glacier, 0 = not, 255 = unknown.
        prediction: bool (H, W), the glacier as predicted.
        confidence: (H, W) in [0, 1].
        calibrated: Whether it is calibrated, not raw.
    """

    iou: float
    image: npt.NDArray[np.uint8]
    bands: str
    truth: npt.NDArray[np.uint8]
    prediction: npt.NDArray[np.bool_]
    confidence: npt.NDArray[np.float32]
    calibrated: bool = False


class WorstTiles(ResultsCallback):
    """Draws the test tiles with the lowest IoU: image, truth, prediction, confidence and errors.

    Each becomes ``samples/<tile>.png``, and what an earlier test left in ``samples`` goes. Tiles
    whose labels are all unknown are none of them. Needs
    what :class:`~glavitu.callbacks.RegionReport` needs for tiles, and the feature groups of the
    image as the task's ``features``. Keeps no more tiles in memory than are drawn, thinned out.

    Args:
        samples: Number of tiles to draw, over all processes; 0 for none.
        output: Folder for ``samples``; by default that of the test's other reports, or the run's.
    """

    def __init__(self, samples: int = 16, output: str | None = None) -> None:
        super().__init__(output)
        check_number("worst_tiles.samples", samples, 0, whole=True)
        self.samples = samples
        self._worst: dict[int, Sample] = {}

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start anew."""
        super().on_test_start(trainer, pl_module)
        self._worst = {}
        self._tiles = self.results.tiles if self.samples > 0 else None

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the tiles of a batch that are among the worst of this process."""
        if self._tiles is None:
            return
        counts = self.results.count(outputs, batch, (dataloader_idx, batch_idx))
        if counts is None:
            return
        features: Any = pl_module.features
        calibration: Calibration | None = getattr(pl_module, "calibration", None)
        for index, number in enumerate(batch["tile"].tolist()):
            if not counts[index].any():
                continue
            curve = None
            if calibration is not None:
                curve = partial(calibration, region=self._tiles[number].region)
            image, mask = batch["image"][index], batch["mask"][index]
            self._worst[number] = thin_out(
                image, mask, outputs[index], features, curve, counts[index]
            )
            if len(self._worst) > self.samples:
                best = max(self._worst, key=lambda kept: (self._worst[kept].iou, kept))
                del self._worst[best]

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw those of this process that are among the worst of all processes."""
        if self._tiles is None:
            return
        folder = self.folder / "samples"
        if trainer.is_global_zero:
            # What tells of an earlier test would tell of these pictures.
            (self.folder / "report.json").unlink(missing_ok=True)
            for path in folder.glob("*.png"):
                path.unlink()
        # All processes wait here for each other, so nothing new is removed.
        for number in self._worst_of_all(pl_module) & self._worst.keys():
            tile, sample = self._tiles[number], self._worst[number]
            with when_complete(folder / f"{stem_of(tile.name)}.png") as path:
                draw_sample(sample, tile.name).savefig(path)

    def _worst_of_all(self, module: LightningModule) -> set[int]:
        # As many rows in each process; what is left over is worse than no tile.
        rows = torch.full((self.samples, 2), torch.inf, dtype=torch.float64)
        for row, (number, sample) in zip(rows, self._worst.items(), strict=False):
            row[0], row[1] = sample.iou, number
        gathered: Any = module.all_gather(rows)
        ranked = sorted(tuple(row) for row in gathered.reshape(-1, 2).tolist())
        return {int(number) for _, number in ranked[: self.samples] if number != torch.inf}


def thin_out(
    image: Tensor,
    mask: Tensor,
    probabilities: Tensor,
    features: Sequence[FeatureGroup],
    curve: Callable[[Tensor], Tensor] | None = None,
    counts: Tensor | None = None,
) -> Sample:
    """Keep of a tile what a picture needs.

    Args:
        image: float (C, H, W), scaled.
        mask: int (H, W), true classes, 255 where they are unknown.
        probabilities: float (classes, H, W), class probabilities, on any device.
        features: Feature groups of the image's channels.
        curve: Maps raw to calibrated confidence, where the checkpoint has such a curve.
        counts: int (4,), TP, FP, FN and TN of the tile; counted here by default.
    """
    step = ceil(max(mask.shape) / SIZE)
    thin = (slice(None, None, step), slice(None, None, step))
    group, channels = composite(features)
    first = sum(len(g) for g in features[: list(features).index(group)])
    picture = image[(slice(None), *thin)][[first + channel for channel in channels]]
    if counts is None:
        prediction, truth = most_probable(probabilities, 0), mask.to(probabilities.device)
        counts = confusion_counts(prediction[None], truth[None])[0]
    tp, fp, fn, _ = counts.tolist()
    thinned = probabilities[(slice(None), *thin)]
    sure = confidence(thinned, 0)
    return Sample(
        iou=tp / (tp + fp + fn) if tp + fp + fn else torch.inf,
        image=(255 * stretched(picture.float().cpu().numpy())).round().astype(np.uint8),
        bands=" / ".join(group.channels[channel] for channel in channels),
        # What compares makes its own memory, so that the whole tile is not kept.
        truth=_truth(mask[thin]),
        prediction=(most_probable(thinned, 0) == GLACIER).cpu().numpy(),
        confidence=(sure if curve is None else curve(sure)).cpu().numpy(),
        calibrated=curve is not None,
    )


def _truth(mask: Tensor) -> npt.NDArray[np.uint8]:
    truth = (mask == GLACIER).to(torch.uint8).masked_fill_(mask == UNKNOWN, UNKNOWN)
    array: npt.NDArray[np.uint8] = truth.cpu().numpy()
    return array


def draw_sample(sample: Sample, name: str) -> Figure:
    """Draw a tile as a strip of five panels.

    Args:
        sample: The tile.
        name: Its name.

    Returns:
        A figure that belongs to no window.
    """
    height, width = sample.truth.shape
    panel = 3.0 * np.clip(height / width, 0.3, 2.0)
    figure = Figure(figsize=(16.0, panel + 0.9), dpi=120, layout="constrained")
    axes = figure.subplots(1, 5)
    # Colours and limits are for classes; a picture in RGBA takes no notice of them.
    classes: dict[str, Any] = {"cmap": MASK_COLOURS, "vmin": 0, "vmax": 1}
    # The order of the colours: true negative, true positive, false positive, false negative, and
    # unknown.
    true, unknown = sample.truth == GLACIER, sample.truth == UNKNOWN
    errors = np.select(
        [unknown, sample.prediction & true, sample.prediction, true], [4, 1, 2, 3], default=0
    )
    certain = f"confidence ({'calibrated' if sample.calibrated else 'raw'})"
    panels: list[tuple[str, Any, dict[str, Any]]] = [
        (sample.bands, sample.image, {}),
        ("truth", shown_mask(sample.truth), classes),
        ("prediction", sample.prediction, classes),
        (certain, sample.confidence, {"cmap": "viridis", "vmin": 0, "vmax": 1}),
        ("errors", errors, {"cmap": ListedColormap(list(ERRORS.values())), "vmin": 0, "vmax": 4}),
    ]
    for place, (title, picture, options) in zip(axes, panels, strict=True):
        drawn = place.imshow(picture, interpolation="nearest", **options)
        place.set_title(as_text(title), fontsize=10)
        place.set_axis_off()
        if title == certain:
            figure.colorbar(drawn, ax=place, shrink=0.9, pad=0.02)
    figure.legend(
        handles=[
            Patch(facecolor=colour, edgecolor="#999999", linewidth=0.5, label=text)
            for text, colour in ERRORS.items()
            if text != "true negative" and (text != "unknown" or unknown.any())
        ],
        loc="outside lower right",
        ncols=3,
        fontsize=9,
        frameon=False,
    )
    known = "no glacier" if np.isinf(sample.iou) else f"IoU {sample.iou:.3f}"
    figure.suptitle(f"{as_text(name)}, {known}", x=0.01, ha="left", fontsize=11)
    return figure
