"""Confusion counts of the glacier class, pooled per region."""

from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torchmetrics import Metric

from glavitu.classes import GLACIER
from glavitu.classes import UNKNOWN as UNKNOWN_CLASS
from glavitu.metrics.scores import COUNTS, with_scores
from glavitu.regions import UNKNOWN, region_name


def most_probable(probabilities: Tensor, dim: int = 1) -> Tensor:
    """Return the class with the highest probability, the first of equals.

    The same as ``argmax``, which on a CPU is ten times slower along any dimension but the last.

    Args:
        probabilities: Class probabilities or logits.
        dim: Axis of the classes.

    Returns:
        int64, the shape without ``dim``.
    """
    return probabilities.max(dim).indices


def confusion_counts(prediction: Tensor, mask: Tensor) -> Tensor:
    """Count true and false positives and negatives of the glacier class.

    Args:
        prediction: int (B, H, W), predicted classes.
        mask: int (B, H, W), true classes, 255 where they are unknown, on the same device.

    Returns:
        int64 (B, 4): TP, FP, FN, TN in pixels; those of an unknown class are none of these.
    """
    predicted, true = prediction == GLACIER, mask == GLACIER
    false = ~true & (mask != UNKNOWN_CLASS)
    pairs = ((predicted, true), (predicted, false), (~predicted, true), (~predicted, false))
    return torch.stack([(a & b).sum(dim=(1, 2)) for a, b in pairs], dim=1)


class RegionConfusion(Metric):
    """Pools true and false positives and negatives of the glacier class over regions.

    The evaluation of Maslov et al. (2025): pixels are pooled per region, then IoU, precision,
    recall, F1 and accuracy follow. The state is summed over processes.

    Example:
        >>> import torch
        >>> metric = RegionConfusion()
        >>> prediction, mask = torch.tensor([[[1, 1, 0]]]), torch.tensor([[[1, 0, 0]]])
        >>> metric.update(prediction, mask, region=torch.tensor([5]))
        >>> metric.table()[["region", "iou"]].values.tolist()
        [['HMA', 0.5]]
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    counts: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Rows are regions, the last one unknown; columns TP, FP, FN, TN.
        zeros = torch.zeros(UNKNOWN + 1, 4, dtype=torch.long)
        self.add_state("counts", default=zeros, dist_reduce_fx="sum")

    def update(self, prediction: Tensor, mask: Tensor, region: Tensor) -> None:
        """Count a batch.

        Args:
            prediction: int (B, H, W), predicted classes.
            mask: int (B, H, W), true classes, 255 where they are unknown.
            region: int64 (B,), region indices, 11 for unknown.
        """
        counts = confusion_counts(prediction, mask)
        self.counts.index_add_(0, region.to(self.counts.device), counts.to(self.counts.device))

    def compute(self) -> Tensor:
        """Return the counts, int64 (12, 4): per region TP, FP, FN, TN."""
        return self.counts

    def table(self) -> pd.DataFrame:
        """Return one row per region that has pixels, with counts and scores.

        Ratios are NaN where they are undefined, such as the IoU of a region where neither truth
        nor prediction has a glacier.
        """
        counts = pd.DataFrame(self.compute().cpu().numpy(), columns=list(COUNTS))
        counts.insert(0, "region", [region_name(index) for index in range(len(counts))])
        table = with_scores(counts)
        return table[table["pixels"] > 0].reset_index(drop=True)
