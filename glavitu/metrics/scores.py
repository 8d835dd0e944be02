"""Scores, each named once: for tables, ``report.json``, pages, figures and the terminal.

To add a score of the glacier class, add it to :data:`SCORES`; all of these have it then.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from glavitu.regions import UNKNOWN, region_name

#: Columns of counts of pixels: true and false positives and negatives of the glacier class.
COUNTS = ("tp", "fp", "fn", "tn")


class Score(NamedTuple):
    """A score of the glacier class.

    Attributes:
        label: What a reader is told.
        of: Computes it of TP, FP, FN and TN; 0 / 0 where it is undefined.
    """

    label: str
    of: Callable[[Any, Any, Any, Any], Any]


#: Scores of the glacier class by the name of their column, in [0, 1].
SCORES: dict[str, Score] = {
    "glacier_share": Score("glacier share", lambda tp, fp, fn, tn: (tp + fn) / (tp + fp + fn + tn)),
    "iou": Score("IoU", lambda tp, fp, fn, tn: tp / (tp + fp + fn)),
    "precision": Score("precision", lambda tp, fp, fn, tn: tp / (tp + fp)),
    "recall": Score("recall", lambda tp, fp, fn, tn: tp / (tp + fn)),
    "f1": Score("F1", lambda tp, fp, fn, tn: 2 * tp / (2 * tp + fp + fn)),
    "accuracy": Score("accuracy", lambda tp, fp, fn, tn: (tp + tn) / (tp + fp + fn + tn)),
}

#: Scores of confidence by their key, of raw confidence and, where a curve is known, calibrated.
CONFIDENCE_SCORES: dict[str, str] = {
    "ece_raw": "ECE raw",
    "ece_calibrated": "ECE calibrated",
    "mce_raw": "MCE raw",
    "mce_calibrated": "MCE calibrated",
    "brier": "Brier score",
}

#: Those that stand beside the scores of the glacier class; MCE is noisy where pixels are few.
BESIDE_SCORES = ("ece_raw", "ece_calibrated", "brier")

LABELS: dict[str, str] = {name: score.label for name, score in SCORES.items()} | CONFIDENCE_SCORES


def in_mean(regions: Iterable[str]) -> npt.NDArray[np.bool_]:
    """Tell which rows count in a mean over regions: those of known regions.

    Args:
        regions: Code of each row's region.

    Returns:
        bool (rows,), True for all where no region is known.
    """
    known = np.array([region != region_name(UNKNOWN) for region in regions], dtype=np.bool_)
    return known if known.any() else ~known


def with_scores(counts: pd.DataFrame) -> pd.DataFrame:
    """Add the scores of the glacier class to counts of pixels.

    Args:
        counts: Columns ``tp``, ``fp``, ``fn`` and ``tn``, and any others that tell what was
            counted.

    Returns:
        The other columns, then ``pixels``; ``glacier_share`` (TP + FN) / pixels; ``iou``
        TP / (TP + FP + FN); ``precision`` TP / (TP + FP); ``recall`` TP / (TP + FN); ``f1``
        2 TP / (2 TP + FP + FN); ``accuracy`` (TP + TN) / pixels, all in [0, 1] and NaN where the
        denominator is 0; then the counts.
    """
    counted = {name: counts[name] for name in COUNTS}
    scores = {name: score.of(*counted.values()) for name, score in SCORES.items()}
    others = counts.drop(columns=list(COUNTS))
    return others.assign(pixels=sum(counted.values()), **scores, **counted)
