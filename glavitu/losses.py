"""The focal loss of the published training."""

import torch
from torch import Tensor, nn


class FocalLoss(nn.Module):
    """Multi-class focal loss with label smoothing (Lin et al. 2017, doi 10.1109/ICCV.2017.324).

    The mean over pixels of the sum over classes of -(1 - p)^gamma t log p, with p the softmax
    probability clipped to [1e-7, 1 - 1e-7] and t the smoothed one-hot target, as in Maslov et al.
    (2025).

    Args:
        gamma: Focusing exponent; 0 gives the cross-entropy.
        label_smoothing: s in t = (1 - s) one-hot + s / classes, in [0, 1).

    Example:
        >>> import torch
        >>> loss = FocalLoss()
        >>> loss(torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long))
        tensor(0.1733)
    """

    def __init__(self, gamma: float = 2.0, label_smoothing: float = 0.1) -> None:
        super().__init__()
        self.gamma = gamma
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            logits: (B, classes, H, W).
            target: int64 (B, H, W), class indices.

        Returns:
            Scalar float32.
        """
        classes = logits.shape[1]
        # Half precision cannot tell 1 - 1e-7 from 1.
        p = logits.float().softmax(1).clamp(1e-7, 1 - 1e-7)
        one_hot = nn.functional.one_hot(target, classes).movedim(-1, 1)
        smooth = (1 - self.label_smoothing) * one_hot + self.label_smoothing / classes
        return torch.mean(torch.sum(-((1 - p) ** self.gamma) * smooth * p.log(), dim=1))
