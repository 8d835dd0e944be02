"""Confusion counts of the glacier class, pooled per region."""

from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torchmetrics import Metric

from glavitu.regions import UNKNOWN, region_name

GLACIER = 1


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
            mask: int (B, H, W), true classes.
            region: int64 (B,), region indices, 11 for unknown.
        """
        predicted, true = prediction == GLACIER, mask == GLACIER
        pairs = ((predicted, true), (predicted, ~true), (~predicted, true), (~predicted, ~true))
        counts = torch.stack([(a & b).sum(dim=(1, 2)) for a, b in pairs], dim=1)
        self.counts.index_add_(0, region.to(self.counts.device), counts.to(self.counts.device))

    def compute(self) -> Tensor:
        """Return the counts, int64 (12, 4): per region TP, FP, FN, TN."""
        return self.counts

    def table(self) -> pd.DataFrame:
        """Return one row per region that has pixels, with counts and scores.

        Ratios are NaN where they are undefined, such as the IoU of a region where neither truth
        nor prediction has a glacier.
        """
        counts = self.compute().cpu().double()
        tp, fp, fn, tn = counts.unbind(1)
        table = pd.DataFrame(
            {
                "region": [region_name(i) for i in range(len(counts))],
                "pixels": counts.sum(1).long().numpy(),
                "glacier_share": ((tp + fn) / counts.sum(1)).numpy(),
                "iou": (tp / (tp + fp + fn)).numpy(),
                "precision": (tp / (tp + fp)).numpy(),
                "recall": (tp / (tp + fn)).numpy(),
                "f1": (2 * tp / (2 * tp + fp + fn)).numpy(),
                "accuracy": ((tp + tn) / counts.sum(1)).numpy(),
                **{
                    name: column.long().numpy()
                    for name, column in zip(("tp", "fp", "fn", "tn"), counts.T, strict=True)
                },
            }
        )
        return table[table["pixels"] > 0].reset_index(drop=True)
