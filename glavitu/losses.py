"""Losses by their names: that of the published training, and what one compares it with."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from glavitu.errors import InputError


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
        # Products of whole numbers would be of torch's default type, which `*-true` precisions set.
        one_hot = nn.functional.one_hot(target, classes).movedim(-1, 1).to(p.dtype)
        smooth = (1 - self.label_smoothing) * one_hot + self.label_smoothing / classes
        return torch.mean(torch.sum(-((1 - p) ** self.gamma) * smooth * p.log(), dim=1))


def _of_smp(name: str) -> nn.Module:
    from segmentation_models_pytorch import losses  # a second, which most runs do not need

    made: nn.Module = getattr(losses, name)("multiclass")
    return made


#: Losses by name, each made of gamma and the label smoothing; they take logits (B, classes, H, W)
#: and class indices (B, H, W).
LOSSES: dict[str, Callable[[float, float], nn.Module]] = {
    "focal": FocalLoss,
    "cross_entropy": lambda gamma, smoothing: nn.CrossEntropyLoss(label_smoothing=smoothing),
    "dice": lambda gamma, smoothing: _of_smp("DiceLoss"),
    "jaccard": lambda gamma, smoothing: _of_smp("JaccardLoss"),
}


def build_loss(
    loss: str | nn.Module, gamma: float = 2.0, label_smoothing: float = 0.1
) -> nn.Module:
    """Make a loss by its name.

    Args:
        loss: A key of :data:`LOSSES`, a module, which is taken as it is, or the class of a module
            that was given once.
        gamma: Focusing exponent of the focal loss.
        label_smoothing: Label smoothing of the focal loss and the cross-entropy, in [0, 1).

    Returns:
        A module of logits and class indices. A class's name gives one that only says what is
        missing, since a checkpoint may name any code, and testing and mapping need no loss.

    Raises:
        InputError: If the name is unknown.
    """
    if isinstance(loss, nn.Module):
        return loss
    if "." in loss:
        return MissingLoss(loss)
    if loss not in LOSSES:
        known = ", ".join(LOSSES)
        raise InputError(f"unknown loss {loss!r}; choose from {known}, or give a module")
    return LOSSES[loss](gamma, label_smoothing)


class MissingLoss(nn.Module):
    """Stands for a loss that a checkpoint names and does not hold.

    Args:
        class_path: Its class.
    """

    def __init__(self, class_path: str) -> None:
        super().__init__()
        self.class_path = class_path

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Say what is missing.

        Raises:
            InputError: Always.
        """
        raise InputError(
            f"the loss {self.class_path} was given as a module and is no part of the checkpoint; "
            "give it again: loss=... in Python, model.loss with class_path in a configuration, or "
            f"one of {', '.join(LOSSES)}"
        )

    def _load_from_state_dict(self, *args: object) -> None:
        """Leave what the loss kept in the checkpoint."""
