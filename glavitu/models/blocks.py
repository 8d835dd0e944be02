"""The convolution blocks that the fusion and the ResU-Net share."""

import torch
from torch import Tensor, nn

#: Constants of the published model; PyTorch counts momentum the other way round from Keras' 0.99.
NORM_EPSILON = 1e-3
NORM_MOMENTUM = 0.01
NEGATIVE_SLOPE = 0.2


class DoubleConv(nn.Sequential):
    """Twice (convolution 3x3, batch norm, leaky ReLU), then spatial dropout.

    Maps (B, in_channels, H, W) to (B, out_channels, H, W).

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        dropout: Rate of dropping whole channels in training.
    """

    def __init__(self, in_channels: int, out_channels: int, dropout: float = 0.0) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels, eps=NORM_EPSILON, momentum=NORM_MOMENTUM),
            nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels, eps=NORM_EPSILON, momentum=NORM_MOMENTUM),
            nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True),
            nn.Dropout2d(dropout),
        )


class ProjectedResidual(nn.Module):
    """Double convolution plus a 1x1 projection of its input, also where the widths agree.

    Maps (B, in_channels, H, W) to (B, out_channels, H, W).

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        dropout: Rate of dropping whole channels in training.
    """

    def __init__(self, in_channels: int, out_channels: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.convolutions = DoubleConv(in_channels, out_channels, dropout)
        self.projection = nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of both paths."""
        out: Tensor = self.projection(x) + self.convolutions(x)
        return out


class UpConv(nn.Module):
    """Nearest neighbour x2, convolution 2x2 without bias, batch norm; no activation.

    Maps (B, in_channels, H, W) to (B, out_channels, 2 H, 2 W).

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(in_channels, out_channels, 2, bias=False)
        self.norm = nn.BatchNorm2d(out_channels, eps=NORM_EPSILON, momentum=NORM_MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        """Upsample and convolve."""
        # The same as upsampling, padding bottom and right as Keras' 'same' does, and convolving,
        # but with 9 instead of 16 products for each value, and no upsampled copy.
        x = nn.functional.conv_transpose2d(
            x,
            _upsampling_kernel(self.convolution.weight),
            self.convolution.bias,
            stride=2,
            padding=1,
            output_padding=1,
        )
        out: Tensor = self.norm(x)
        return out


def _upsampling_kernel(weight: Tensor) -> Tensor:
    """Kernel (in, out, 3, 3) that a transposed convolution spreads each value with.

    In one dimension the 2 x upsampled value at i meets the weights w0 and w1: position 2 i - 1 gets
    w1, 2 i gets w0 + w1, and 2 i + 1 gets w0.
    """
    weight = weight.transpose(0, 1).flip(2, 3)
    corners = ((1, 0, 1, 0), (1, 0, 0, 1), (0, 1, 1, 0), (0, 1, 0, 1))
    padded = [nn.functional.pad(weight, corner) for corner in corners]
    return padded[0] + padded[1] + padded[2] + padded[3]


def initialise(module: nn.Module) -> None:
    """Give convolutions and dense layers Glorot uniform kernels and zero biases.

    Use with :meth:`torch.nn.Module.apply`.
    """
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def global_mean(x: Tensor) -> Tensor:
    """Mean over height and width: (B, C, H, W) to (B, C)."""
    return torch.mean(x, dim=(2, 3))
