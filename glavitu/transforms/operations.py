"""Augmentations that Kornia lacks, drawn per sample, for its containers."""

from collections.abc import Sequence
from typing import Any

import torch
from kornia.augmentation import AugmentationBase2D, IntensityAugmentationBase2D
from torch import Tensor

from glavitu.errors import InputError

Params = dict[str, Tensor]


class _PixelMove(AugmentationBase2D):
    """Moves whole pixels, those of a mask exactly as those of its image."""

    def apply_non_transform_mask(self, input: Tensor, *_: Any, **__: Any) -> Tensor:
        return input

    def apply_transform_mask(self, *args: Any, **kwargs: Any) -> Tensor:
        return self.apply_transform(*args, **kwargs)


class RandomQuarterTurn(_PixelMove):
    """Rotates square images by 90, 180 or 270 degrees, each as likely, without interpolation.

    Kornia's RandomRotation90 draws 180 degrees twice as often as the others, and interpolates.
    """

    def generate_parameters(self, batch_shape: Sequence[int]) -> Params:
        """Draw the quarter turns, counter-clockwise, of each sample."""
        return {"turns": torch.randint(1, 4, (batch_shape[0], 1, 1, 1), device=self.device)}

    def apply_transform(self, input: Tensor, params: Params, *_: Any, **__: Any) -> Tensor:
        """Rotate each sample.

        Raises:
            InputError: If the images are not square.
        """
        height, width = input.shape[-2:]
        if height != width:
            raise InputError(
                f"windows of {height} x {width} pixels cannot be rotated by 90 degrees; use square "
                "windows or set data.augmentation.rotation to 0"
            )
        turns = params["turns"].to(input.device)
        turned = torch.where(turns % 2 == 1, input.mT.flip(-2), input)
        return torch.where(turns >= 2, turned.flip(-2, -1), turned)


class RandomCropScale(_PixelMove):
    """Crops windows and scales the crops back to the windows' size with nearest neighbour.

    Kornia's RandomResizedCrop draws the crop's area, and for whole batches or none.

    Args:
        smallest: Smallest side of the crop as a share of the window's; U(smallest, 1) is drawn.
        p: Probability per sample.
    """

    def __init__(self, smallest: float, p: float) -> None:
        super().__init__(p=p)
        self.smallest = smallest

    def generate_parameters(self, batch_shape: Sequence[int]) -> Params:
        """Draw each crop's side, top and left as shares of the window."""
        draws = torch.rand(3, batch_shape[0], 1, device=self.device)
        side = 1 - (1 - self.smallest) * draws[0]
        return {"side": side, "top": (1 - side) * draws[1], "left": (1 - side) * draws[2]}

    def apply_transform(self, input: Tensor, params: Params, *_: Any, **__: Any) -> Tensor:
        """Fetch each pixel from the one under its centre."""
        height, width = input.shape[-2:]
        side = params["side"].to(input.device)
        rows = params["top"].to(input.device) + side * _centres(height, input.device)
        columns = params["left"].to(input.device) + side * _centres(width, input.device)
        # Rounding must not lead past the last pixel.
        rows = (rows * height).long().clamp(max=height - 1)
        columns = (columns * width).long().clamp(max=width - 1)
        source = (rows[:, :, None] * width + columns[:, None, :]).flatten(1)
        source = source[:, None].expand(-1, input.shape[1], -1)
        return input.flatten(2).gather(2, source).view_as(input)


class RandomPower(IntensityAugmentationBase2D):
    """Changes the contrast to x^g, g drawn per channel; what is not a number becomes 0.

    Kornia's RandomGamma draws one exponent for all channels and clamps values to [0, 1].

    Args:
        strength: s of g = U(1 - s, 1 + s).
        p: Probability per sample.
    """

    def __init__(self, strength: float, p: float) -> None:
        super().__init__(p=p)
        self.strength = strength

    def generate_parameters(self, batch_shape: Sequence[int]) -> Params:
        """Draw the exponent of each channel."""
        draws = torch.rand(*batch_shape[:2], 1, 1, device=self.device)
        return {"exponents": 1 + self.strength * (2 * draws - 1)}

    def apply_transform(self, input: Tensor, params: Params, *_: Any, **__: Any) -> Tensor:
        """Raise each channel to its power."""
        return input.pow(params["exponents"].to(input)).nan_to_num(nan=0.0)


class RandomOcclusion(IntensityAugmentationBase2D):
    """Sets a rectangle to 0 in all channels, its place drawn uniformly inside the window.

    Kornia's RandomErasing draws the rectangle's area and aspect ratio instead of its sides.

    Args:
        largest: Largest side of the rectangle as a share of the window's; each of its two sides is
            drawn from U(0, largest).
        p: Probability per sample.
    """

    def __init__(self, largest: float, p: float) -> None:
        super().__init__(p=p)
        self.largest = largest

    def generate_parameters(self, batch_shape: Sequence[int]) -> Params:
        """Draw each rectangle's height and width, and its top and left, as shares."""
        draws = torch.rand(2, 2, batch_shape[0], 1, device=self.device)
        sides = self.largest * draws[0]
        top, left = (1 - sides) * draws[1]
        return {"height": sides[0], "width": sides[1], "top": top, "left": left}

    def apply_transform(self, input: Tensor, params: Params, *_: Any, **__: Any) -> Tensor:
        """Set the pixels to 0 whose centres a rectangle covers."""
        height, width = input.shape[-2:]
        down = _centres(height, input.device) - params["top"].to(input.device)
        across = _centres(width, input.device) - params["left"].to(input.device)
        rows = (down >= 0) & (down < params["height"].to(input.device))
        columns = (across >= 0) & (across < params["width"].to(input.device))
        return input.masked_fill(rows[:, None, :, None] & columns[:, None, None, :], 0.0)


class RandomShift(IntensityAugmentationBase2D):
    """Adds a normally distributed value to each channel.

    Args:
        std: Standard deviation of the values.
        p: Probability per sample.
    """

    def __init__(self, std: float, p: float) -> None:
        super().__init__(p=p)
        self.std = std

    def generate_parameters(self, batch_shape: Sequence[int]) -> Params:
        """Draw the value of each channel."""
        return {"shifts": self.std * torch.randn(*batch_shape[:2], 1, 1, device=self.device)}

    def apply_transform(self, input: Tensor, params: Params, *_: Any, **__: Any) -> Tensor:
        """Add each channel's value."""
        return input + params["shifts"].to(input)


def _centres(size: int, device: torch.device) -> Tensor:
    """Centres of a side's pixels as shares of the side."""
    return (torch.arange(size, device=device) + 0.5) / size
