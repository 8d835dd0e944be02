"""Calibrating a checkpoint: measure its confidence on tiles, fit curves, write what came of it."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tqdm import tqdm

from glavitu._version import __version__
from glavitu.confidence.calibration import (
    Calibration,
    describe_inference,
    fit_calibration,
)
from glavitu.confidence.curves import CALIBRATORS
from glavitu.confidence.diagram import draw_reliability
from glavitu.confidence.scores import calibration_scores, pool
from glavitu.errors import InputError
from glavitu.files import all_when_complete
from glavitu.metrics import Reliability
from glavitu.tasks.checkpoints import read_checkpoint, write_checkpoint
from glavitu.tasks.glavitu import GlaViTUTask

#: Bins of raw confidence in ``calibration.json``.
BINS = 100


class FittedCalibration(NamedTuple):
    """A calibration, and what it was fitted to.

    Attributes:
        calibration: The curves.
        reliability: The counts that they were fitted to.
        scores: See :func:`glavitu.confidence.scores.calibration_scores`.
    """

    calibration: Calibration
    reliability: Reliability
    scores: dict[str, Any]


def calibrate(
    task: GlaViTUTask,
    tiles: Iterable[Mapping[str, Any]],
    method: str = "kernel_ridge",
    per_region: bool = False,
    progress: bool = True,
) -> FittedCalibration:
    """Predict whole tiles, and fit curves from their confidence to how often they are right.

    With several processes, each has tiles of its own and all get the same curves.

    Args:
        task: A trained task in eval mode; it is left as it is.
        tiles: Batches of tiles that were not trained on, without padding, such as
            :meth:`glavitu.datamodules.GlacierDataModule.whole_tiles` gives.
        method: ``'kernel_ridge'`` as published, ``'isotonic'`` or ``'temperature'``.
        per_region: Fit a curve to each region too.
        progress: Show a progress bar.

    Raises:
        InputError: If the method is unknown, or the pixels are too few for it.
    """
    check_method(method)
    reliability = Reliability().to(task.device)
    with torch.inference_mode():
        for batch in tqdm(tiles, desc="Calibrating", unit="tile", disable=not progress):
            inputs = {k: batch[k].to(task.device) for k in ("image", "location") if k in batch}
            reliability.update(task.predict_tiles(inputs), batch["mask"], batch["region"])
    histogram = reliability.histogram(per_region=True)
    inference = describe_inference(task.inference)
    calibration = fit_calibration(method, histogram, per_region, inference)
    return FittedCalibration(calibration, reliability, calibration_scores(reliability, calibration))


def check_method(method: str) -> None:
    """Check the name of a method before anything long is done.

    Raises:
        InputError: If it is unknown.
    """
    if method not in CALIBRATORS:
        raise InputError(f"unknown calibration {method!r}; choose from {', '.join(CALIBRATORS)}")


def put_calibration(path: str | Path, calibration: Calibration) -> None:
    """Put a calibration into a checkpoint; all else in it stays, and so does it if this fails.

    Args:
        path: The checkpoint.
        calibration: What its weights were calibrated to.

    Raises:
        InputError: If the file is no checkpoint.
    """
    checkpoint = read_checkpoint(path)
    checkpoint["calibration"] = calibration.to_dict()
    write_checkpoint(checkpoint, Path(path).resolve())


def write_calibration(
    folder: Path, fitted: FittedCalibration, checkpoint: str | Path, split: str
) -> tuple[Path, Path]:
    """Write ``calibration.json`` and ``reliability.png``.

    Args:
        folder: Where to; it is made where it is missing.
        fitted: What :func:`calibrate` gives.
        checkpoint: The checkpoint that was calibrated.
        split: The part of the data whose tiles it was fitted to.

    Returns:
        The paths of the two files.
    """
    calibration, reliability, scores = fitted
    raw = reliability.histogram()
    bins = raw.rebin(BINS)
    written = {
        "glavitu": __version__,
        "checkpoint": str(checkpoint),
        "split": split,
        "method": calibration.method,
        "scores": scores,
        "bins": {
            "pixels": bins.counts.tolist(),
            "confidence": _plain(bins.confidence),
            "accuracy": _plain(bins.accuracy),
        },
        **calibration.to_dict(),
    }
    values, picture = folder / "calibration.json", folder / "reliability.png"
    calibrated = pool(calibration.recalibrated(reliability.histogram(per_region=True)))
    title = f"{calibration.method.replace('_', ' ')} calibration on {split} tiles"
    with all_when_complete(picture, values) as (drawn, told):
        draw_reliability(raw, calibrated, title).savefig(drawn)
        told.write_text(json.dumps(written, indent=1, allow_nan=False) + "\n")
    return values, picture


def _plain(values: torch.Tensor) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]
