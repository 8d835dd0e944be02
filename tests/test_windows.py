import math

import numpy as np
import pytest
import torch

from glavitu.errors import InputError
from glavitu.models.blending import (
    blend_bands,
    blend_weights,
    predict_blended,
)
from glavitu.windows import (
    centred_padding,
    mirrored_pixels,
    window_starts,
    window_stride,
)


def blend_directly(predict, image, window, stride, mirrored=False):
    """Spell the published prediction out, in numpy and on the whole image at once."""
    channels, height, width = image.shape
    padded_height = window * (height // window + 1)
    padded_width = window * (width // window + 1)
    top, left = (padded_height - height) // 2, (padded_width - width) // 2
    padded = np.zeros((channels, padded_height, padded_width))
    padded[:, top : top + height, left : left + width] = image
    if mirrored:
        bottom, right = padded_height - top - height, padded_width - left - width
        padded = np.pad(image, ((0, 0), (top, bottom), (left, right)), mode="reflect")
    y, x = np.mgrid[-1 : 1 : window * 1j, -1 : 1 : window * 1j]
    weights = np.exp(-(np.hypot(x, y) ** 2) / 2)
    total, weight = 0 * padded[:1].repeat(2, 0), 0 * padded[0]
    for row in range(0, padded_height - window + 1, stride):
        for col in range(0, padded_width - window + 1, stride):
            part = np.s_[..., row : row + window, col : col + window]
            total[part] += weights * predict(padded[part])
            weight[part] += weights
    return (total / weight)[:, top : top + height, left : left + width]


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(("height", "width"), [(20, 33), (16, 16), (5, 47), (1, 1), (64, 15)])
def test_blending_is_the_published_one(height, width, mirrored):
    window = 16
    image = np.random.default_rng(0).random((3, height, width))
    ramp = np.linspace(0, 1, window)  # what is said of a pixel depends on its place in the window

    def predict(part):
        glacier = 1 / (1 + np.exp(-(part[0] + part.mean() + ramp[:, None] - 2 * ramp)))
        return np.stack([1 - glacier, glacier])

    blended = predict_blended(
        lambda batch: torch.stack([torch.from_numpy(predict(part.numpy())) for part in batch]),
        torch.from_numpy(image),
        window=window,
        stride=window // 2,
        classes=2,
        batch_size=3,
        mirrored=mirrored,
    )
    assert blended.shape == (2, height, width)
    expected = blend_directly(predict, image, window, window // 2, mirrored)
    np.testing.assert_allclose(blended.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_an_axis_is_mirrored_at_both_borders(size):
    expected = np.pad(np.arange(size), (9, 11), mode="reflect")
    np.testing.assert_array_equal(mirrored_pixels(-9, size + 11, size), expected)


def test_batch_size_changes_nothing():
    image = torch.rand(1, 40, 50)

    def predict(batch):
        return torch.cat([batch, batch.mean((2, 3), keepdim=True) - batch], dim=1)

    one, many = (predict_blended(predict, image, 16, 8, 2, size) for size in (1, 100))
    torch.testing.assert_close(one, many)


def test_constant_predictions_stay_constant():
    probabilities = torch.tensor([0.1, 0.2, 0.7])

    def predict(batch):
        return probabilities[None, :, None, None].expand(len(batch), 3, 16, 16)

    blended = predict_blended(predict, torch.zeros(1, 30, 41), 16, 8, 3)
    torch.testing.assert_close(blended, probabilities[:, None, None].expand(3, 30, 41))


def test_a_stride_that_leaves_a_rest_covers_all():
    assert window_starts(40, 16, 10) == [0, 10, 20, 24]

    def predict(row, cols):
        return [(col, torch.full((2, 16, 16), 0.5)) for col in cols]

    bands = list(blend_bands(predict, 40, 35, window=16, stride=10, classes=2))
    assert [row for row, _ in bands] == [0, 10, 20, 24]
    blended = torch.cat([band for _, band in bands], dim=1)
    torch.testing.assert_close(blended, torch.full((2, 40, 35), 0.5))


@pytest.mark.parametrize("stride", [4, 7, 8, 12, 16])
def test_bands_from_any_row_on_are_those_of_the_whole_to_the_bit(stride):
    height, width, window = 50, 40, 16
    said = torch.rand(height, width, 2, window, window)  # of the window at each row and column

    def bands(first_row):
        predicted = []

        def predict(row, cols):
            predicted.append(row)
            return [(col, said[row, col]) for col in cols if (row + col) % 5]

        found = list(blend_bands(predict, height, width, window, stride, 2, first_row=first_row))
        assert found[0][0] == first_row
        assert all(row + window > first_row for row in predicted)
        return torch.cat([band for _, band in found], dim=1)

    whole = bands(0)
    assert whole.shape == (2, height, width)
    for first_row in (1, 15, 16, 23, 49):
        rest = bands(first_row)
        torch.testing.assert_close(rest, whole[:, first_row:], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("overlap", [0, 0.25, 0.5, 0.75, 1 - 1 / 16])
def test_windows_of_any_overlap_step_by_whole_pixels(overlap):
    stride = window_stride(384, overlap)
    assert stride == 384 * (1 - overlap)
    starts = window_starts(768, 384, stride)
    assert (starts[0], starts[-1]) == (0, 384)


@pytest.mark.parametrize("overlap", [-0.5, 1, 0.3, 0.999, math.nan, math.inf])
def test_other_overlaps_are_refused(overlap):
    with pytest.raises(InputError, match="overlap is .* such as 0, 0.25, 0.5 or 0.75"):
        window_stride(384, overlap)


@pytest.mark.parametrize(
    ("size", "expected"),
    [(383, (0, 1, 384)), (384, (192, 192, 768)), (385, (191, 192, 768)), (1, (191, 192, 384))],
)
def test_centred_padding_is_the_published_one(size, expected):
    assert centred_padding(size, 384) == expected


def test_published_windows_end_at_the_border():
    assert window_starts(768, 384, 192) == [0, 192, 384]


def test_weights_fall_from_the_centre():
    weights = blend_weights(17)
    assert weights[8, 8] == 1
    torch.testing.assert_close(weights[0, 0], torch.tensor(np.exp(-1.0), dtype=torch.float32))
    torch.testing.assert_close(weights[8, 0], torch.tensor(np.exp(-0.5), dtype=torch.float32))
