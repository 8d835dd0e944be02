import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from glavitu.confidence.curves import (
    CALIBRATORS,
    ConfidenceCurve,
    fit_curve,
)
from glavitu.errors import InputError
from glavitu.metrics import Reliability, ReliabilityHistogram
from glavitu.models.entropy import confidence

METHODS = list(CALIBRATORS)


def too_sure(seed: int, sharpness: float = 2.5) -> Reliability:
    """Predictions whose logits are ``sharpness`` times too large, of two classes."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(4, 100, 100, generator=generator)
    mask = torch.rand(4, 100, 100, generator=generator) < logits.sigmoid()
    glacier = (sharpness * logits).sigmoid()
    metric = Reliability()
    metric.update(torch.stack([1 - glacier, glacier], 1), mask.long(), torch.tensor([0, 1, 2, 3]))
    return metric


def histogram_of(sure: np.ndarray, accuracy: np.ndarray, counts: np.ndarray, bins: int = 1000):
    """A histogram with points of these values, each in its bin."""
    histogram = np.zeros((3, bins))
    index = np.minimum(sure * bins, bins - 1).astype(int)
    np.add.at(histogram.T, index, np.stack([counts, counts * sure, counts * accuracy], 1))
    return histogram


def test_kernel_ridge_solves_the_published_system():
    n, sums, right = (values.numpy() for values in too_sure(0).histogram())
    x, y, weight = [], [], []
    largest = max(n[i : i + 10].sum() for i in range(0, 1000, 10))
    for i in range(0, 1000, 10):
        pixels = n[i : i + 10].sum()
        if pixels:
            x.append(sums[i : i + 10].sum() / pixels)
            y.append(right[i : i + 10].sum() / pixels)
            weight.append((pixels / largest) ** 0.1)
    x, y, weight = np.array([*x, 0, 1]), np.array([*y, 0, 1]), np.array([*weight, 1, 1])
    kernel = np.exp(-np.abs(x[:, None] - x))
    coefficients = np.linalg.solve(kernel + np.diag(0.01 * (1 - weight)), y)
    raw = np.random.default_rng(0).random(5000)
    expected = (np.exp(-np.abs(raw[:, None] - x)) @ coefficients).clip(0, 1)
    calibrated = fit_curve("kernel_ridge", n, sums, right)(torch.from_numpy(raw))
    assert np.abs(calibrated.numpy() - expected).max() < 1e-4
    assert np.abs(calibrated.numpy() - raw).max() > 0.1


def test_kernel_ridge_goes_through_the_fullest_bin_and_the_ends():
    counts = np.array([10, 1000, 30])
    histogram = histogram_of(np.array([0.205, 0.505, 0.905]), np.array([0.6, 0.8, 0.9]), counts)
    curve = fit_curve("kernel_ridge", *histogram)
    points = curve(torch.tensor([0, 0.505, 1], dtype=torch.float64))
    assert points.tolist() == pytest.approx([0, 0.8, 1])


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_kernel_ridge_of_one_bin_at_an_end_keeps_its_accuracy(end):
    histogram = histogram_of(np.array([end]), np.array([0.75]), np.array([8]))
    curve = fit_curve("kernel_ridge", *histogram)
    assert curve(torch.tensor([end])).item() == pytest.approx(0.75)
    assert curve(torch.tensor([1 - end])).item() == pytest.approx(1 - end)


@pytest.mark.parametrize("method", METHODS)
def test_perfect_calibration_gives_nearly_the_identity(method):
    sure = accuracy = np.linspace(0.6, 0.98, 39) + 0.0005
    if method == "temperature":
        # What a temperature of 1 leaves as it is: the accuracy is the larger probability.
        sure = confidence(torch.from_numpy(np.stack([1 - accuracy, accuracy])), dim=0).numpy()
    curve = fit_curve(method, *histogram_of(sure, accuracy, np.linspace(1e5, 1e6, 39)))
    assert np.abs(curve(torch.from_numpy(sure)).numpy() - accuracy).max() < 2e-3


@pytest.mark.parametrize("method", METHODS)
def test_calibration_error_falls_on_fresh_draws(method):
    curve = fit_curve(method, *too_sure(0).histogram())
    fresh = too_sure(1).histogram()
    before, after = fresh, fresh.recalibrated(curve)
    assert before.expected_calibration_error() > 0.05
    assert after.expected_calibration_error() < 0.3 * before.expected_calibration_error()


def test_temperature_is_found():
    curve = fit_curve("temperature", *too_sure(0, sharpness=2.5).histogram())
    larger = torch.tensor([0.6, 0.9, 0.99, 0.9999], dtype=torch.float64)
    calibrated = curve(confidence(torch.stack([1 - larger, larger]), dim=0))
    temperatures = larger.logit() / calibrated.logit()
    assert temperatures.tolist() == pytest.approx([2.5] * 4, rel=0.05)


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 5.0])
def test_tempering_is_accurate_between_the_knots(sharpness):
    curve = fit_curve("temperature", *too_sure(0, sharpness).histogram())
    larger = torch.linspace(0.5, 1 - 1e-6, 20_001, dtype=torch.float64)
    calibrated = curve(confidence(torch.stack([1 - larger, larger]), dim=0))
    logit = larger.logit()
    temperature = logit[10_000] / calibrated[10_000].logit()
    assert (calibrated - (logit / temperature).sigmoid()).abs().max() < 1e-4


def test_isotonic_pools_bins_that_fall_by_their_pixels():
    histogram = histogram_of(np.array([0.2, 0.6]), np.array([0.9, 0.5]), np.array([30, 10]))
    curve = fit_curve("isotonic", *histogram)
    assert curve(torch.tensor([0.0, 0.2, 0.6, 1.0])).tolist() == pytest.approx([0.8] * 4)


@pytest.mark.parametrize("method", ["isotonic", "temperature"])
def test_never_falls(method):
    curve = fit_curve(method, *too_sure(0).histogram())
    calibrated = curve(torch.linspace(0, 1, 10_001, dtype=torch.float64))
    assert (calibrated.diff() >= -1e-12).all()
    assert calibrated[-1] > calibrated[0]


@pytest.mark.parametrize("method", METHODS)
def test_one_region_of_many_can_be_fitted(method):
    metric = too_sure(0)
    regions = metric.histogram(per_region=True)
    curve = fit_curve(method, *(values[2] for values in regions))
    region = ReliabilityHistogram(*(values[2] for values in regions))
    after = region.recalibrated(curve).expected_calibration_error(10)
    assert after < 0.5 * region.expected_calibration_error(10)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_shape_and_dtype_stay_and_results_are_confidences(method, dtype):
    curve = fit_curve(method, *too_sure(0).histogram())
    raw = torch.linspace(0, 1, 24).reshape(2, 3, 4).to(dtype)
    calibrated = curve(raw)
    assert (calibrated.shape, calibrated.dtype) == (raw.shape, dtype)
    assert ((calibrated >= 0) & (calibrated <= 1)).all()
    # The curves are steep, so that the rounding of raw confidence shows.
    exact = curve(raw.double())
    assert (calibrated.double() - exact).abs().max() <= torch.finfo(dtype).eps
    assert curve(raw[0, 0, 0]).shape == ()
    assert curve(raw[:0]).shape == (0, 3, 4)
    assert torch.equal(curve(raw.mT), calibrated.mT)


def test_maps_on_the_device_of_the_confidence():
    curve = ConfidenceCurve([0.0, 1.0], [0.0, 0.5], "isotonic")
    assert curve(torch.empty(2, 3, device="meta")).device.type == "meta"


def test_no_confidence_stays_none_and_others_are_clipped():
    curve = ConfidenceCurve([0.2, 0.8], [-0.5, 1.5], "isotonic")
    calibrated = curve(torch.tensor([math.nan, 0.0, 0.2, 0.5, 0.8, 1.0]))
    assert calibrated[0].isnan()
    assert calibrated[1:].tolist() == pytest.approx([0, 0, 0.5, 1, 1])


def test_knots_that_coincide_in_float32_are_no_harm():
    x, y = [0.0, 0.5, 0.5 + 1e-12, 1 - 1e-12, 1.0], [0.0, 0.2, 0.6, 0.8, 1.0]
    calibrated = ConfidenceCurve(x, y, "isotonic")(torch.tensor([0.25, 0.5, 0.75, 1.0]))
    assert calibrated[:3].tolist() == pytest.approx([0.1, 0.6, 0.7])
    assert 0.8 <= calibrated[3] <= 1


@pytest.mark.parametrize("method", METHODS)
def test_curves_survive_a_checkpoint_without_pickles(method, tmp_path):
    curve = fit_curve(method, *too_sure(0).histogram())
    torch.save({"calibration": curve.to_dict()}, tmp_path / "checkpoint")
    stored = torch.load(tmp_path / "checkpoint", weights_only=True)["calibration"]
    again = ConfidenceCurve.from_dict(stored)
    raw = torch.rand(100)
    assert again.method == method
    assert torch.equal(again(raw), curve(raw))


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"method": "isotonic", "x": [0.0, 1.0]},
        {"method": "isotonic", "x": [0.0, 1.0], "y": ["a", "b"]},
        {"method": "isotonic", "x": [0.0, 1.0], "y": [0.0, None]},
        {"method": "isotonic", "x": [0.0, 1.0], "y": [0.0]},
        {"method": "isotonic", "x": [0.0], "y": [0.0]},
        {"method": "isotonic", "x": [1.0, 0.0], "y": [0.0, 1.0]},
        {"method": "isotonic", "x": [0.0, 1.0], "y": [0.0, math.nan]},
    ],
)
def test_broken_curves_are_refused(values):
    with pytest.raises(InputError, match="fit the curve again"):
        ConfidenceCurve.from_dict(values)


@pytest.mark.parametrize("method", METHODS)
def test_nothing_to_fit_is_refused(method):
    with pytest.raises(InputError, match="no pixels"):
        fit_curve(method, *np.zeros((3, 1000)))


def test_other_unusable_histograms_are_refused():
    one = histogram_of(np.array([0.5]), np.array([1.0]), np.array([7]))
    with pytest.raises(InputError, match="in one bin"):
        fit_curve("isotonic", *one)
    with pytest.raises(InputError, match="choose from kernel_ridge, isotonic, temperature"):
        fit_curve("platt", *one)
    with pytest.raises(InputError, match=r"\(1000,\), \(1000,\), \(999,\)"):
        fit_curve("isotonic", one[0], one[1], one[2, 1:])
    with pytest.raises(InputError, match="give one histogram"):
        fit_curve("isotonic", *np.ones((3, 12, 1000)))
    with pytest.raises(InputError, match="between 0 and"):
        fit_curve("isotonic", one[0], one[1], one[2] + 1)
    with pytest.raises(InputError, match="has 150 bins"):
        fit_curve("kernel_ridge", *np.ones((3, 150)))


def test_curves_are_applied_without_scikit_learn():
    code = (
        "import sys, torch\n"
        "from glavitu.confidence.curves import ConfidenceCurve\n"
        "ConfidenceCurve([0.0, 1.0], [0.0, 1.0], 'isotonic')(torch.rand(3))\n"
        "sys.exit('sklearn' in sys.modules or 'scipy' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
