import pytest
import torch

from glavitu.confidence.training_values import (
    FEWEST_WINDOWS,
    TOLERANCE,
    TrainingValues,
    differences,
)
from glavitu.confidence.window_measures import WindowHistograms, measure_window
from glavitu.errors import InputError
from glavitu.features import DEM, FeatureGroup

TWO = (FeatureGroup("two", ("a", "b"), (0.0, 0.0), (100.0, 100.0)),)


def images(low, high, count=64, ratio=1.0) -> torch.Tensor:
    """Windows of one level each; the second channel is so many times the first."""
    levels = torch.linspace(low, high, count)[:, None, None, None]
    return levels * torch.tensor([1.0, ratio])[:, None, None] * torch.ones(count, 2, 16, 16)


def trained(low=0.2, high=0.4, count=64) -> TrainingValues:
    histograms = WindowHistograms(TWO)
    histograms.add(images(low, high, count))
    return TrainingValues.counted(histograms)


def compare(values, windows) -> dict:
    measured = torch.stack([measure_window(window, TWO) for window in windows])
    return {d.measure.name: d for d in differences(values, measured, TWO)}


def test_what_lies_within_the_range_is_no_difference():
    found = compare(trained(), images(0.25, 0.3, 5))
    assert set(found) == {"two.a", "two.b", "two.a-b"}
    assert all(d.distance == 0 for d in found.values())


def test_distances_are_counted_in_widths_of_the_range():
    found = compare(trained(), images(0.5, 0.5, 3))
    assert found["two.a"].distance == pytest.approx((0.5 - 0.4) / (0.4 - 0.2), abs=0.02)
    assert found["two.a"].distance > TOLERANCE
    assert found["two.a-b"].distance == 0
    assert "two (a)" in found["two.a"].in_words
    assert "is 50 in a typical window here, and was 19.9 to 40" in found["two.a"].in_words


def test_the_typical_window_counts_not_a_single_one():
    windows = images(0.3, 0.3, 5)
    windows[:2] = 0.9
    assert compare(trained(), windows)["two.a"].distance == 0


def test_how_channels_relate_tells_what_each_alone_does_not():
    found = compare(trained(), images(0.25, 0.3, 5, ratio=1.3))
    assert found["two.a"].distance == found["two.b"].distance == 0
    assert found["two.a-b"].distance > TOLERANCE
    assert "(a - b) / (a + b) is -0.13" in found["two.a-b"].in_words


def test_what_is_not_known_is_left_out():
    windows = images(0.3, 0.3, 3)
    windows[:, 1] = 0
    assert set(compare(trained(), windows)) == {"two.a"}


def test_of_published_minima_and_maxima_a_scene_is_not_to_be_beyond():
    values = TrainingValues.published(TWO)
    assert values.enough
    assert values.tolerance == 0
    assert max(d.distance for d in compare(values, images(0.01, 0.99, 5)).values()) == 0
    assert compare(values, images(1.05, 1.05, 5))["two.a"].distance > values.tolerance


def test_few_windows_are_not_enough():
    assert trained().enough
    assert not trained(count=FEWEST_WINDOWS - 1).enough


def test_parts_of_a_training_are_joined():
    joined = trained(0.2, 0.4).joined(trained(0.3, 0.6, 100))
    assert joined.windows == 164
    assert compare(joined, images(0.55, 0.55, 3))["two.a"].distance == 0
    assert compare(joined, images(0.21, 0.21, 3))["two.a"].distance == 0
    # A channel that was missing in one part is known from the other.
    empty = WindowHistograms(TWO)
    empty.add(torch.zeros(3, 2, 16, 16))
    torch.testing.assert_close(TrainingValues.counted(empty).joined(trained()).low, trained().low)


def test_they_travel_as_plain_values():
    values = trained()
    again = TrainingValues.from_dict(values.to_dict(), TWO)
    torch.testing.assert_close((again.low, again.high), (values.low, values.high))
    assert again.windows == values.windows


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"low": None}, "low, high and windows"),
        ({"windows": "many"}, "low, high and windows"),
        ({"high": torch.ones(3)}, r"shapes \(11,\) and \(3,\)"),
        ({"low": "a"}, "low, high and windows"),
    ],
)
def test_what_is_no_such_value_is_said(change, message):
    with pytest.raises(InputError, match=message):
        TrainingValues.from_dict(trained().to_dict() | change, TWO)
    with pytest.raises(InputError, match="shapes"):
        TrainingValues.from_dict(trained().to_dict(), (*TWO, DEM))
