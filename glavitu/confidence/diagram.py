"""The reliability diagram: accuracy against confidence, before and after calibration."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from glavitu.metrics import ReliabilityHistogram

#: Bins of the published diagram (Maslov et al. 2025).
BINS = 10

BAR, GAP, LINE = "#9fc1d6", "#c2410c", "#333333"


def draw_reliability(
    raw: ReliabilityHistogram, calibrated: ReliabilityHistogram | None, title: str
) -> Figure:
    """Draw the accuracy of pixels against their confidence, and how many pixels there are.

    Args:
        raw: Of raw confidence, (bins,), a multiple of 10 bins.
        calibrated: Of calibrated confidence; without it there is only one diagram.
        title: Title of the figure.
    """
    shown = {"raw confidence": raw}
    if calibrated is not None:
        shown["calibrated confidence"] = calibrated
    figure = Figure(figsize=(5.2 * len(shown), 6.4), dpi=110, layout="constrained")
    axes = figure.subplots(
        2, len(shown), sharex=True, sharey="row", squeeze=False, height_ratios=[3, 1]
    )
    for column, (name, histogram) in enumerate(shown.items()):
        upper, lower = axes[:, column]
        ece = histogram.expected_calibration_error().item()
        mce = histogram.maximum_calibration_error().item()
        upper.set_title(f"{name}: ECE {ece:.3f}, MCE {mce:.3f}", fontsize=11)
        _draw_accuracy(upper, histogram.rebin(BINS))
        _draw_shares(lower, histogram.rebin(BINS))
        lower.set_xlabel(name)
    axes[0, 0].set_ylabel("accuracy")
    axes[1, 0].set_ylabel("share of pixels")
    legend = axes[0, 0].get_legend_handles_labels()
    figure.legend(*legend, loc="outside lower center", ncols=2 * len(shown))
    figure.suptitle(f"{title}, {int(raw.counts.sum()):,} pixels")
    return figure


def _draw_accuracy(axes: Axes, histogram: ReliabilityHistogram) -> None:
    confidence, accuracy = histogram.confidence.numpy(), histogram.accuracy.numpy()
    axes.bar(
        _centres(),
        np.nan_to_num(accuracy),
        1 / BINS,
        color=BAR,
        edgecolor="white",
        label="accuracy",
    )
    axes.plot([0, 1], [0, 1], color=LINE, linestyle="--", linewidth=1, label="as it should be")
    axes.vlines(confidence, confidence, accuracy, color=GAP, linewidth=2, label="error")
    axes.plot(confidence, accuracy, "o", color=GAP, markersize=5, label="mean of a bin")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_axisbelow(True)
    axes.grid(alpha=0.3)


def _draw_shares(axes: Axes, histogram: ReliabilityHistogram) -> None:
    counts = histogram.counts.numpy()
    shares = counts / max(1, counts.sum())
    bars = axes.bar(_centres(), shares, 1 / BINS, color=BAR, edgecolor="white")
    axes.bar_label(bars, [_percent(share) for share in shares], fontsize=8, padding=1)
    axes.margins(y=0.25)


def _percent(share: float) -> str:
    if 0 < share < 0.001:
        return "<0.1 %"
    return f"{100 * share:.{0 if share >= 0.1 else 1}f} %" if share else ""


def _centres() -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    return (np.arange(BINS) + 0.5) / BINS
