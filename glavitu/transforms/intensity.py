"""Contrast, occlusion, shift and noise of batches."""

from collections.abc import Sequence
from typing import Any

import torch
from kornia.augmentation import AugmentationBase2D
from torch import Tensor

from glavitu.transforms.augmentation import Augmentation
from glavitu.transforms.draws import Params, centres, drawn


class RandomIntensity(AugmentationBase2D):
    """Changes the values of a feature group: contrast, a rectangle of zeros, shifts and noise.

    Kornia's RandomGamma draws one exponent for all channels and clamps values to [0, 1], its
    RandomErasing draws the rectangle's area and aspect ratio instead of its sides, and a chain of
    its augmentations passes over the whole batch several times for each, into new memory. Here
    images are changed in place, and samples that are not drawn by parameters that change nothing.

    Args:
        augmentation: Probabilities and strengths.
    """

    def __init__(self, augmentation: Augmentation) -> None:
        super().__init__(p=1.0)  # each change has a probability of its own
        self.augmentation = augmentation

    def generate_parameters(self, batch_shape: Sequence[int]) -> Params:
        """Draw, for each sample, what :meth:`apply_transform` does to it."""
        a, (n, channels, _, _), device = self.augmentation, batch_shape, self.device
        contrast = drawn(a.contrast, n, device)
        exponents = a.contrast_strength * (2 * torch.rand(n, channels, device=device) - 1)
        occluded = drawn(a.occlusion, n, device)
        draws = torch.rand(2, 2, n, 1, device=device)
        sides = a.occlusion_size * draws[0] * occluded
        shifted = drawn(a.shift, n, device)
        shifts = a.shift_std * torch.randn(n, channels, device=device)
        noisy = drawn(a.noise, n, device)
        return {
            "exponents": (1 + exponents * contrast)[:, :, None, None],
            "rectangles": torch.cat([*sides, *((1 - sides) * draws[1])], dim=1),
            "shifts": (shifts * shifted)[:, :, None, None],
            "noise_stds": (a.noise_std * noisy)[:, :, None, None],
        }

    def apply_transform(self, input: Tensor, params: Params, *_: Any, **__: Any) -> Tensor:
        """Change images (B, C, H, W) in place; what a power makes not a number becomes 0."""
        names = ("exponents", "rectangles", "shifts", "noise_stds")
        values = (input, *(params[name] for name in names))
        # On a CPU a sample at a time, since it fits into its caches.
        at_once = 1 if input.device.type == "cpu" else len(input)
        for part in zip(*(torch.split(value, at_once) for value in values), strict=True):
            change(*part)
        return input


def change(
    image: Tensor,
    exponents: Tensor,
    rectangles: Tensor,
    shifts: Tensor,
    noise_stds: Tensor,
) -> None:
    """Change images in place, those on a CPU only where it makes a difference.

    Args:
        image: (B, C, H, W).
        exponents: (B, C, 1, 1), 1 to leave the contrast.
        rectangles: (B, 4), heights, widths, tops and lefts as shares of the window.
        shifts: (B, C, 1, 1).
        noise_stds: (B, 1, 1, 1), standard deviations of the noise, which is drawn here.
    """
    if not _idle(exponents, 1.0):
        image.pow_(exponents).nan_to_num_(nan=0.0)
    if not _idle(rectangles[:, :2], 0.0):
        height, width, top, left = rectangles[:, :, None].unbind(1)
        rows = _covered(image.shape[-2], top, height)
        columns = _covered(image.shape[-1], left, width)
        image.masked_fill_(rows[:, None, :, None] & columns[:, None, None, :], 0.0)
    if not _idle(shifts, 0.0):
        image.add_(shifts)
    if not _idle(noise_stds, 0.0):
        image.addcmul_(torch.randn_like(image), noise_stds)


def _idle(values: Tensor, nothing: float) -> bool:
    """Whether values change nothing; never told where the host would have to wait for a device."""
    return values.device.type == "cpu" and bool((values == nothing).all())


def _covered(size: int, start: Tensor, length: Tensor) -> Tensor:
    """Tell which pixels of a side have their centres in a part of it."""
    past = centres(size, start.device) - start
    return (past >= 0) & (past < length)
