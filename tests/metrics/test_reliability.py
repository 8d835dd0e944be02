import math

import pytest
import torch
from torchmetrics.functional.classification import binary_calibration_error

from glavitu.errors import InputError
from glavitu.metrics import Reliability, ReliabilityHistogram
from glavitu.metrics.reliability import RESOLUTION, bin_index
from glavitu.models.entropy import confidence


def tiles(count: int, size: int = 32, classes: int = 2, seed: int = 0):
    """Random probabilities, masks and regions."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(count, classes, size, size, generator=generator)
    mask = torch.randint(classes, (count, size, size), generator=generator)
    return logits.softmax(1), mask, torch.randint(12, (count,), generator=generator)


def histogram_of(sure: torch.Tensor, right: torch.Tensor) -> ReliabilityHistogram:
    index = bin_index(sure, RESOLUTION)
    return ReliabilityHistogram(
        torch.bincount(index, minlength=RESOLUTION),
        torch.bincount(index, sure.double(), minlength=RESOLUTION),
        torch.bincount(index[right], minlength=RESOLUTION),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bins", [10, 100, 1000])
def test_an_edge_belongs_to_the_bin_above_and_one_to_the_last(dtype, bins):
    edges = torch.arange(bins, dtype=dtype) / bins
    assert torch.equal(bin_index(edges, bins), torch.arange(bins))
    below = torch.nextafter(edges[1:], torch.zeros((), dtype=dtype))
    assert torch.equal(bin_index(below, bins), torch.arange(bins - 1))
    assert bin_index(torch.ones(1, dtype=dtype), bins).item() == bins - 1


@pytest.mark.parametrize("bins", [10, 20, 50, 100, 1000])
def test_expected_calibration_error_is_that_of_torchmetrics(bins):
    torch.manual_seed(0)
    sure = torch.rand(20000, dtype=torch.float64)
    right = torch.rand(20000) < sure**2
    histogram = histogram_of(sure, right)
    expected = binary_calibration_error(sure, right.long(), n_bins=bins)
    assert histogram.expected_calibration_error(bins).item() == pytest.approx(expected.item())
    expected = binary_calibration_error(sure, right.long(), n_bins=bins, norm="max")
    assert histogram.maximum_calibration_error(bins).item() == pytest.approx(expected.item())


def test_errors_by_hand():
    counts = torch.tensor([10, 0, 0, 30])
    sums = torch.tensor([1.0, 0, 0, 27], dtype=torch.float64)
    histogram = ReliabilityHistogram(counts, sums, torch.tensor([5, 0, 0, 24]))
    # Gaps of 0.4 and 0.1 at 10 and 30 pixels.
    assert histogram.expected_calibration_error(4).item() == pytest.approx(0.175)
    assert histogram.maximum_calibration_error(4).item() == pytest.approx(0.4)
    # 28 of 40 expected and 29 of 40 right.
    assert histogram.expected_calibration_error(1).item() == pytest.approx(1 / 40)
    assert histogram.rebin(2).accuracy.tolist() == [0.5, 0.8]


@pytest.mark.filterwarnings("ignore:The ``compute`` method:UserWarning")
def test_bins_that_do_not_divide_the_resolution_are_refused():
    with pytest.raises(InputError, match="into 7; give a divisor of 1000"):
        Reliability().histogram().rebin(7)


def test_update_counts_every_pixel_in_its_region():
    probabilities, mask, region = tiles(5)
    metric = Reliability()
    metric.update(probabilities, mask, region)
    histogram = metric.histogram(per_region=True)
    for index in range(12):
        of = region == index
        sure, right = confidence(probabilities[of]), probabilities[of].argmax(1) == mask[of]
        expected = histogram_of(sure.flatten(), right.flatten())
        assert torch.equal(histogram.counts[index], expected.counts)
        assert torch.equal(histogram.correct[index], expected.correct)
        difference = histogram.confidence_sums[index] - expected.confidence_sums
        assert difference.abs().max() <= 1e-6 * of.sum()
    pooled = metric.histogram()
    assert pooled.counts.sum() == mask.numel()
    assert torch.equal(pooled.correct, histogram.correct.sum(0))


def test_undecided_pixels_are_not_glacier():
    metric = Reliability()
    metric.update(torch.full((1, 2, 1, 3), 0.5), torch.tensor([[[0, 0, 1]]]), torch.tensor([0]))
    histogram = metric.histogram()
    assert (histogram.counts[0].item(), histogram.correct[0].item()) == (3, 2)


def test_large_tiles_are_counted_in_parts_without_change(monkeypatch):
    whole, parts = Reliability(), Reliability()
    batch = tiles(2, classes=3)
    whole.update(*batch)
    monkeypatch.setattr("glavitu.metrics.reliability.CHUNK", 100)
    parts.update(*batch)
    for a, b in zip(whole.histogram(), parts.histogram(), strict=True):
        assert torch.equal(a, b)
    assert parts.brier_score().item() == pytest.approx(whole.brier_score().item(), abs=1e-6)


def test_states_of_processes_add_up_to_that_of_all_tiles():
    probabilities, mask, region = tiles(6)
    together, first, second = Reliability(), Reliability(), Reliability()
    together.update(probabilities, mask, region)
    # Tiles are shared out and come in another order.
    for metric, mine in ((first, [4, 0]), (second, [5, 1, 3, 2])):
        for tile in mine:
            metric.update(*(values[tile : tile + 1] for values in (probabilities, mask, region)))
    first.merge_state(second)
    for a, b in zip(first.histogram(True), together.histogram(True), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(first.squared_errors, together.squared_errors)


def test_billions_of_pixels_are_counted_exactly():
    metric = Reliability()
    batch = tiles(1)
    metric.update(*batch)
    once, score = metric.histogram(), metric.brier_score()
    times = 10_000_000  # of 1024 pixels each
    for state in (metric.counts, metric.confidence_sums, metric.correct, metric.squared_errors):
        state.mul_(times)
    metric.update(*batch)
    histogram = metric.histogram()
    assert torch.equal(histogram.counts, once.counts * (times + 1))
    assert torch.equal(histogram.correct, once.correct * (times + 1))
    assert metric.brier_score().item() == pytest.approx(score.item(), abs=1e-12)


def test_brier_score_of_two_classes_is_that_of_the_glacier():
    metric = Reliability()
    glacier = torch.tensor([[[0.9, 0.2]], [[0.6, 0.5]]])
    mask = torch.tensor([[[1, 0]], [[0, 1]]])
    metric.update(torch.stack([1 - glacier, glacier], 1), mask, torch.tensor([0, 3]))
    score = metric.brier_score(per_region=True)
    assert score[0].item() == pytest.approx((0.1**2 + 0.2**2) / 2, abs=1e-6)
    assert score[3].item() == pytest.approx((0.6**2 + 0.5**2) / 2, abs=1e-6)
    assert metric.brier_score().item() == pytest.approx(score[[0, 3]].mean().item())


def test_brier_score_of_more_classes_is_summed_over_them():
    metric = Reliability()
    probabilities = torch.tensor([0.5, 0.3, 0.2]).reshape(1, 3, 1, 1)
    metric.update(probabilities, torch.tensor([[[2]]]), torch.tensor([11]))
    assert metric.brier_score().item() == pytest.approx(0.25 + 0.09 + 0.64, abs=1e-6)


@pytest.mark.filterwarnings("ignore:The ``compute`` method:UserWarning")
def test_scores_of_regions_without_pixels_are_undefined():
    metric = Reliability()
    assert math.isnan(metric.brier_score())
    assert math.isnan(metric.histogram().expected_calibration_error())
    assert math.isnan(metric.histogram().maximum_calibration_error())
    probabilities, mask, _ = tiles(1)
    metric.update(probabilities, mask, torch.tensor([4]))
    histogram = metric.histogram(per_region=True)
    for score in (
        histogram.expected_calibration_error(10),
        histogram.maximum_calibration_error(10),
        metric.brier_score(per_region=True),
    ):
        assert score.isfinite().nonzero().tolist() == [[4]]


def test_pixels_without_a_probability_are_left_out():
    probabilities, mask, region = tiles(1)
    broken = probabilities.clone()
    broken[0, 1, :4] = math.nan
    metric, expected = Reliability(), Reliability()
    metric.update(broken, mask, region)
    expected.update(probabilities[:, :, 4:], mask[:, 4:], region)
    assert torch.equal(metric.counts, expected.counts)
    assert metric.brier_score().item() == pytest.approx(expected.brier_score().item(), abs=1e-6)


def test_recalibrating_the_histogram_is_close_to_mapping_each_pixel():
    torch.manual_seed(0)
    sure = torch.rand(100_000, dtype=torch.float64)
    right = torch.rand(100_000) < sure.sqrt()
    moved = histogram_of(sure, right).recalibrated(torch.sqrt)
    exact = histogram_of(sure.sqrt(), right)
    assert moved.counts.sum() == exact.counts.sum()
    assert moved.correct.sum() == exact.correct.sum()
    for bins, tolerance in ((10, 1e-4), (100, 2e-3)):
        error = moved.expected_calibration_error(bins).item()
        assert error == pytest.approx(exact.expected_calibration_error(bins).item(), abs=tolerance)


def test_recalibrating_moves_each_region_alone():
    metric = Reliability()
    metric.update(*tiles(3))
    histogram = metric.histogram(per_region=True)
    moved = histogram.recalibrated(lambda sure: 1 - sure)
    assert torch.equal(moved.counts.sum(1), histogram.counts.sum(1))
    for index in range(12):
        alone = ReliabilityHistogram(*(values[index] for values in histogram))
        assert torch.equal(alone.recalibrated(lambda sure: 1 - sure).counts, moved.counts[index])


@pytest.mark.parametrize("classes", [2, 3])
def test_unknown_pixels_change_no_bit(classes):
    probabilities = torch.rand(2, classes, 40, 30).softmax(1)
    mask = torch.randint(classes, (2, 40, 30))
    unknown = torch.rand(2, 40, 30) < 0.4
    states = []
    for _ in range(2):
        metric = Reliability()
        other = torch.where(unknown[:, None], torch.rand(probabilities.shape), probabilities)
        metric.update(other, mask.masked_fill(unknown, 255), torch.tensor([5, 2]))
        states.append(metric.metric_state)
    for name, state in states[0].items():
        assert torch.equal(state, states[1][name]), name
    assert states[0]["counts"].sum() == (~unknown).sum()
    right = (probabilities.argmax(1) == mask) & ~unknown
    assert states[0]["correct"].sum() == right.sum()
