import pytest
import torch
from torch import nn

from glavitu.models.blocks import UpConv


@pytest.mark.parametrize(("channels", "size"), [((4, 2), (5, 7)), ((6, 3), (1, 1))])
def test_an_upsampling_convolution_equals_its_definition(channels, size):
    torch.manual_seed(0)
    up = UpConv(*channels).double().eval()
    x = torch.rand(2, channels[0], *size, dtype=torch.double, requires_grad=True)
    upsampled = nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
    expected = up.norm(up.convolution(nn.functional.pad(upsampled, (0, 1, 0, 1))))
    found = up(x)
    torch.testing.assert_close(found, expected)
    weight = torch.rand_like(found)
    wanted = [x, up.convolution.weight]
    for ours, theirs in zip(
        torch.autograd.grad((found * weight).sum(), wanted),
        torch.autograd.grad((expected * weight).sum(), wanted),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)
