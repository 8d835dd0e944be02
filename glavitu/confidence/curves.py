"""Curves from raw to calibrated confidence, fitted on a reliability histogram.

Calibrated confidence is the expected accuracy: of the pixels that a curve gives 0.9, nine in ten
are expected to be classified right. All methods fit from the histogram alone, and all give a
:class:`ConfidenceCurve`, plain numbers that are applied without scikit-learn.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from glavitu.errors import InputError
from glavitu.models.entropy import EPSILON, confidence

Array = NDArray[np.float64]

#: Equal bins of raw confidence that the kernel ridge curve is fitted to (Maslov et al. 2025).
KERNEL_RIDGE_BINS = 100


class ConfidenceCurve:
    """A function from raw to calibrated confidence, linear between its knots.

    Left of the first and right of the last knot it is constant, and results are clipped to [0, 1].

    Args:
        x: Raw confidence of the knots, ascending, at least two.
        y: Calibrated confidence at the knots.
        method: How it was fitted, one of :data:`CALIBRATORS`.

    Raises:
        InputError: If the knots are not such numbers.
    """

    def __init__(self, x: Sequence[float] | Array, y: Sequence[float] | Array, method: str) -> None:
        self.x = torch.as_tensor(x, dtype=torch.float64)
        self.y = torch.as_tensor(y, dtype=torch.float64)
        self.method = method
        same = self.x.ndim == 1 and self.x.shape == self.y.shape and len(self.x) >= 2
        finite = bool(self.x.isfinite().all() and self.y.isfinite().all())
        if not same or not finite or bool((self.x.diff() <= 0).any()):
            raise InputError(
                f"the knots of a {method} confidence curve have the shapes {tuple(self.x.shape)} "
                f"and {tuple(self.y.shape)}; there must be two lists of the same length, at least "
                "2, of finite numbers, the first ascending; fit the curve again"
            )

    def __call__(self, raw: Tensor) -> Tensor:
        """Map raw confidence to calibrated confidence.

        Args:
            raw: Raw confidence, floating, any shape, on any device.

        Returns:
            The same shape, dtype and device, in [0, 1]; NaN where ``raw`` is NaN.
        """
        wide = raw.to(torch.promote_types(raw.dtype, torch.float32)).contiguous()
        x, y = self.x.to(wide), self.y.to(wide)
        right = torch.bucketize(wide, x[1:-1], right=True) + 1
        left = right - 1
        # Knots may coincide in lower precision.
        width = (x[right] - x[left]).clamp_min(torch.finfo(wide.dtype).tiny)
        share = ((wide - x[left]) / width).clamp(0, 1)
        return torch.lerp(y[left], y[right], share).clamp(0, 1).to(raw.dtype)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for checkpoints and JSON; :meth:`from_dict` reads them."""
        return {"method": self.method, "x": self.x.tolist(), "y": self.y.tolist()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ConfidenceCurve":
        """Build a curve from the values of :meth:`to_dict`.

        Raises:
            InputError: If they are not such values.
        """
        try:
            return cls(values["x"], values["y"], str(values["method"]))
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise InputError(
                "a stored confidence curve must have the keys method, x and y, the last two lists "
                f"of numbers; fit the curve again ({error})"
            ) from error


def fit_curve(
    method: str,
    counts: ArrayLike | Tensor,
    confidence_sums: ArrayLike | Tensor,
    correct: ArrayLike | Tensor,
) -> ConfidenceCurve:
    """Fit a curve to a reliability histogram.

    Args:
        method: ``'kernel_ridge'``, ``'isotonic'`` or ``'temperature'``.
        counts: (bins,), number of pixels in equal bins of raw confidence.
        confidence_sums: (bins,), sum of their raw confidences.
        correct: (bins,), how many of them are classified right. The three are what
            :class:`~glavitu.metrics.ReliabilityHistogram` holds.

    Raises:
        InputError: If the method is unknown, there are no pixels or too few bins with pixels, or
            the arrays are no histogram.
    """
    if method not in CALIBRATORS:
        raise InputError(f"unknown calibration {method!r}; choose from {', '.join(CALIBRATORS)}")
    histogram = [_array(values) for values in (counts, confidence_sums, correct)]
    if len({values.shape for values in histogram}) > 1 or histogram[0].ndim != 1:
        raise InputError(
            "counts, confidence_sums and correct have the shapes "
            f"{', '.join(str(values.shape) for values in histogram)}; give one histogram, such as "
            "that of one region, with as many bins in each"
        )
    n, sums, right = histogram
    ordered = (n >= 0) & (sums >= 0) & (sums <= n) & (right >= 0) & (right <= n)
    if not ordered.all():
        raise InputError(
            "in some bins the sum of confidence or the number of right pixels is not between 0 and "
            "the number of pixels; give the histogram as Reliability.histogram() returns it"
        )
    if not n.any():
        raise InputError(
            "there are no pixels to fit a confidence curve to; give tiles that have a mask"
        )
    return CALIBRATORS[method](n, sums, right)


def _kernel_ridge(counts: Array, sums: Array, correct: Array) -> ConfidenceCurve:
    """Fit the published curve: accuracy by kernel ridge regression on confidence.

    Points are the mean confidence and accuracy of 100 equal bins, empty ones dropped, and (0, 0)
    and (1, 1). The kernel is Laplacian with gamma 1, and each point has an alpha of its own, 0.01
    (1 - w), w = (n / max n)^0.1 and 1 for the added points: the curve goes exactly through those
    and the fullest bin. It is not forced to be monotone. Its table is accurate to 1e-5.

    Source: Maslov et al. (2025), doi 10.1038/s41467-024-54956-x.
    """
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.metrics.pairwise import laplacian_kernel

    if counts.size % KERNEL_RIDGE_BINS:
        raise InputError(
            f"the histogram has {counts.size} bins; kernel ridge calibration needs a multiple of "
            f"{KERNEL_RIDGE_BINS}"
        )
    merged = np.stack([counts, sums, correct]).reshape(3, KERNEL_RIDGE_BINS, -1).sum(2)
    n, sums, correct = merged[:, merged[0] > 0]
    x, y, alpha = sums / n, correct / n, 0.01 * (1 - (n / n.max()) ** 0.1)
    for end in (0.0, 1.0):
        # Where the fullest bin sits on an end, two exact points would contradict each other.
        if not (np.abs(x[alpha == 0] - end) < 1e-9).any():
            x, y, alpha = np.append(x, end), np.append(y, end), np.append(alpha, 0.0)
    # KernelRidge takes one alpha for all points, and of an array silently just the first, hence
    # the kernel matrix with the alphas on its diagonal.
    kernel = laplacian_kernel(x[:, None], gamma=1) + np.diag(alpha)
    coefficients = KernelRidge(alpha=0, kernel="precomputed").fit(kernel, y).dual_coef_
    # The curve has its kinks at the points and is smooth between them.
    knots = np.union1d(x, np.linspace(0, 1, 201))
    values = laplacian_kernel(knots[:, None], x[:, None], gamma=1) @ coefficients
    return ConfidenceCurve(knots, values, "kernel_ridge")


def _isotonic(counts: Array, sums: Array, correct: Array) -> ConfidenceCurve:
    """Fit the never falling curve with the least squared error over pixels.

    It is monotone and takes any such form, and is constant beyond the confidences that it saw.
    """
    from sklearn.isotonic import IsotonicRegression

    seen = counts > 0
    if seen.sum() < 2:
        raise InputError(
            "all pixels have their confidence in one bin, which is too few for isotonic "
            "calibration; give more tiles, or choose kernel_ridge"
        )
    regression = IsotonicRegression(y_min=0, y_max=1)
    n = counts[seen]
    regression.fit(sums[seen] / n, correct[seen] / n, sample_weight=n)
    return ConfidenceCurve(regression.X_thresholds_, regression.y_thresholds_, "isotonic")


def _temperature(counts: Array, sums: Array, correct: Array) -> ConfidenceCurve:
    """Fit the one temperature T that divides the logits, by the likelihood of right and wrong.

    Of two classes raw confidence 1 - H determines the larger probability p, so it is inverted, and
    the calibrated confidence is the tempered larger probability 1 / (1 + exp(-logit(p) / T)).
    It is monotone and never below 0.5. T is searched for in [1/50, 50]. For more classes 1 - H does
    not determine p: the curve is of the same family and fits the accuracy as well as one
    number can, but is no temperature of the logits.

    Source: Guo et al. (2017), On Calibration of Modern Neural Networks.
    """
    from scipy.optimize import minimize_scalar

    # Dense at 0, where p rises as the square root of confidence.
    largest = np.log((1 - EPSILON) / EPSILON)
    logits = largest * np.linspace(0, 1, 2001) ** 2
    probabilities = torch.from_numpy(np.stack([logits, -logits])).sigmoid()
    knots = confidence(probabilities, dim=0).numpy()

    seen = counts > 0
    n, right = counts[seen], correct[seen]
    logit = np.interp(sums[seen] / n, knots, logits)

    def loss(log_temperature: float) -> float:
        tempered = logit * np.exp(-log_temperature)
        wrong = n - right
        total = right @ np.logaddexp(0, -tempered) + wrong @ np.logaddexp(0, tempered)
        return float(total / n.sum())

    bounds = (-np.log(50), np.log(50))
    temperature = np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x)
    values = torch.from_numpy(logits / temperature).sigmoid().numpy()
    return ConfidenceCurve(knots, values, "temperature")


def _array(values: ArrayLike | Tensor) -> Array:
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    return np.asarray(values, dtype=np.float64)


#: Methods of :func:`fit_curve` by name.
CALIBRATORS: dict[str, Callable[[Array, Array, Array], ConfidenceCurve]] = {
    "kernel_ridge": _kernel_ridge,
    "isotonic": _isotonic,
    "temperature": _temperature,
}
