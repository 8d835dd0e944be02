"""What the augmentations share: draws of which samples are augmented, places in windows."""

import torch
from torch import Tensor

Params = dict[str, Tensor]


def drawn(p: float, samples: int, device: torch.device) -> Tensor:
    """Draw which samples are augmented, bool (B, 1)."""
    return torch.rand(samples, 1, device=device, dtype=torch.float32) < p


def centres(size: int, device: torch.device) -> Tensor:
    """Centres of a side's pixels as shares of the side."""
    return (torch.arange(size, device=device, dtype=torch.float32) + 0.5) / size
