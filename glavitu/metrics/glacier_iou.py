"""Mean glacier IoU of windows."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics.segmentation import MeanIoU

from glavitu.classes import UNKNOWN


class GlacierIoU(MeanIoU):
    """Mean IoU of the glacier class over the windows that have a glacier, true or predicted.

    Pixels whose class is unknown, 255, count nowhere.

    Args:
        num_classes: Number of classes; class 1 is the glacier.

    Example:
        >>> import torch
        >>> metric = GlacierIoU(2)
        >>> predictions = torch.tensor([[[1, 1]], [[0, 0]]])
        >>> metric(predictions, torch.tensor([[[1, 0]], [[0, 0]]]))
        tensor(0.5000)
    """

    def __init__(self, num_classes: int, **kwargs: Any) -> None:
        super().__init__(
            num_classes=num_classes,
            include_background=False,
            per_class=True,
            input_format="index",
            **kwargs,
        )

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count windows.

        Args:
            preds: int64 (B, H, W), predicted classes.
            target: int64 (B, H, W), true classes, 255 where they are unknown.
        """
        unknown = target == UNKNOWN
        # Where both say that there is no glacier, neither intersection nor union grows.
        super().update(preds.masked_fill(unknown, 0), target.masked_fill(unknown, 0))

    def compute(self) -> Tensor:
        """Compute the mean: float32 in [0, 1], not a number where no window has a glacier."""
        iou = super().compute().reshape(-1)[0]
        # torchmetrics says -1 where neither truth nor prediction has any glacier at all.
        return torch.where(iou < 0, torch.nan, iou)
