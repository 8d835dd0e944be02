"""Losses by their names: that of the published training, and what one compares it with.

Unknown pixels (:data:`glavitu.classes.UNKNOWN`) are in none of them, and a batch that has no other
has a loss of 0.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from glavitu.classes import UNKNOWN
from glavitu.errors import InputError


class FocalLoss(nn.Module):
    """Multi-class focal loss with label smoothing (Lin et al. 2017, doi 10.1109/ICCV.2017.324).

    The mean over known pixels of the sum over classes of -(1 - p)^gamma t log p, with p the softmax
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
            target: int64 (B, H, W), class indices, 255 where they are unknown.

        Returns:
            Scalar float32.
        """
        classes = logits.shape[1]
        known = target != UNKNOWN
        # Half precision cannot tell 1 - 1e-7 from 1.
        p = logits.float().softmax(1).clamp(1e-7, 1 - 1e-7)
        one_hot = _one_hot(target, known, classes).to(p)
        smooth = (1 - self.label_smoothing) * one_hot + self.label_smoothing / classes
        losses = torch.sum(-((1 - p) ** self.gamma) * smooth * p.log(), dim=1)
        return losses.masked_fill(~known, 0).sum() / _count(known)


class CrossEntropyLoss(nn.Module):
    """PyTorch's cross-entropy, the mean over known pixels; 0 where there are none.

    Args:
        label_smoothing: As in PyTorch, in [0, 1).
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss, see :meth:`FocalLoss.forward`."""
        total = nn.functional.cross_entropy(
            logits.float(),  # the sum leaves the range of half precision
            target,
            ignore_index=UNKNOWN,
            reduction="sum",
            label_smoothing=self.label_smoothing,
        )
        return total / _count(target != UNKNOWN)


class OverlapLoss(nn.Module):
    """A loss of segmentation-models-pytorch's over regions, of known pixels alone.

    Args:
        name: ``'DiceLoss'`` or ``'JaccardLoss'``.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        from segmentation_models_pytorch import losses  # a second, which most runs do not need

        # Of several labels, since then a pixel may have none; and not every release can ignore one.
        self.loss: nn.Module = getattr(losses, name)("multilabel", from_logits=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss, see :meth:`FocalLoss.forward`."""
        known = target != UNKNOWN
        p = logits.float().softmax(1).masked_fill(~known[:, None], 0)
        one_hot = _one_hot(target, known, logits.shape[1])
        return torch.as_tensor(self.loss(p, one_hot * known[:, None]))


def _one_hot(target: Tensor, known: Tensor, classes: int) -> Tensor:
    """Return int64 (B, classes, H, W), with some class where none is known."""
    return nn.functional.one_hot(target.masked_fill(~known, 0), classes).movedim(-1, 1)


def _count(known: Tensor) -> Tensor:
    """Count pixels, 1 where there are none."""
    return known.sum().clamp_min(1)


#: Losses by name, each made of gamma and the label smoothing; they take logits (B, classes, H, W)
#: and class indices (B, H, W), 255 where the class is unknown.
LOSSES: dict[str, Callable[[float, float], nn.Module]] = {
    "focal": FocalLoss,
    "cross_entropy": lambda gamma, smoothing: CrossEntropyLoss(smoothing),
    "dice": lambda gamma, smoothing: OverlapLoss("DiceLoss"),
    "jaccard": lambda gamma, smoothing: OverlapLoss("JaccardLoss"),
}


def build_loss(
    loss: str | nn.Module, gamma: float = 2.0, label_smoothing: float = 0.1
) -> nn.Module:
    """Make a loss by its name.

    Args:
        loss: A key of :data:`LOSSES`; a module, which must itself leave out pixels whose class is
            255, unknown: of one that has an ``ignore_index``, as PyTorch's and those of
            segmentation-models-pytorch do, it becomes 255; or the class of a module that was given
            once.
        gamma: Focusing exponent of the focal loss.
        label_smoothing: Label smoothing of the focal loss and the cross-entropy, in [0, 1).

    Returns:
        A module of logits and class indices. A class's name gives one that only says what is
        missing, since a checkpoint may name any code, and testing and mapping need no loss.

    Raises:
        InputError: If the name is unknown, or a module ignores another class than 255.
    """
    if isinstance(loss, nn.Module):
        ignored = getattr(loss, "ignore_index", UNKNOWN)
        if ignored in (None, -100):  # what these have where nobody chose
            loss.ignore_index = UNKNOWN  # type: ignore[assignment]
        elif ignored != UNKNOWN:
            raise InputError(
                f"the loss {type(loss).__name__} has ignore_index {ignored}, but labels are "
                f"{UNKNOWN} where nobody knows the class, and beyond rasters; make it with "
                f"ignore_index={UNKNOWN}"
            )
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
