"""A figure of a comparison: areas, their deviations, and the distances."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from glavitu.compare.summary import Summary
from glavitu.compare.table import MATCHED
from glavitu.pictures import as_text

COLOURS = dict(zip(MATCHED, ("#2b7bba", "#e08214", "#4d9221", "#8e4a9e"), strict=True))

#: Percent that the deviations show, at least and at most; what is beyond stands in the last bins.
NARROWEST, WIDEST = 10.0, 100.0


def write_figure(table: pd.DataFrame, summary: Summary, path: Path) -> None:
    """Write the figure as PNG.

    Args:
        table: What :func:`glavitu.compare.table.compare_glaciers` gives.
        summary: What :func:`glavitu.compare.summary.summarise` gives.
        path: Where to.
    """
    matched = table[table["match"].isin(MATCHED)]
    figure = Figure(figsize=(15.0, 5.2), dpi=110, layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.15, 1, 1))
    _draw_areas(left, matched)
    _draw_deviations(middle, matched["area_deviation_percent"], summary)
    _draw_distances(right, matched)
    predicted, reference = (as_text(Path(file["path"]).name) for file in summary["files"][:2])
    missed, false = (summary["glaciers"][kind] for kind in ("missed", "false"))
    figure.suptitle(
        f"{predicted} against {reference}: {len(matched):,} matched, {missed['glaciers']:,} missed "
        f"({missed['reference_km2']:.2f} km²), {false['glaciers']:,} false "
        f"({false['predicted_km2']:.2f} km²)",
        fontsize=12,
    )
    figure.savefig(path, format="png")


def _draw_areas(axes: Axes, matched: pd.DataFrame) -> None:
    areas = matched[["reference_km2", "predicted_km2"]].to_numpy()
    low, high = areas.min() / 1.5, areas.max() * 1.5
    axes.plot([low, high], [low, high], color="#555555", linewidth=1, label="equal")
    if "experts" in matched:
        mean, least, most = (
            matched[f"experts_{name}"].to_numpy(float)
            for name in ("km2", "min_percent", "max_percent")
        )
        axes.hlines(
            matched["predicted_km2"],
            mean * (1 + least / 100),
            mean * (1 + most / 100),
            color="#999999",
            linewidth=1.5,
            label="range of the experts",
        )
    for kind in MATCHED:
        part = matched[matched["match"] == kind]
        if len(part):
            axes.scatter(
                part["reference_km2"],
                part["predicted_km2"],
                s=22,
                color=COLOURS[kind],
                alpha=0.75,
                linewidths=0,
                label=f"{kind} ({len(part):,})",
            )
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), aspect="equal")
    axes.set_xlabel("reference area, km²")
    axes.set_ylabel("predicted area, km²")
    axes.set_title("Areas", loc="left", fontsize=11)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=9)


def _draw_deviations(axes: Axes, deviation: pd.Series, summary: Summary) -> None:
    wide = float(np.clip(deviation.abs().max(), NARROWEST, WIDEST))
    bins = list(np.linspace(-wide, wide, 42))
    axes.hist(deviation.clip(-wide, wide), bins=bins, color="#2b7bba")
    axes.axvline(0, color="#555555", linewidth=1)
    found = summary["area_deviation_percent"]
    for name, text, style in (
        ("area_weighted_mean", "area-weighted mean", "-"),
        ("median", "median", "--"),
    ):
        axes.axvline(
            np.clip(found[name], -wide, wide),
            color="#c0392b",
            linestyle=style,
            label=f"{text} {found[name]:+.1f} %",
        )
    axes.set_ylim(top=1.25 * axes.get_ylim()[1])
    axes.set_xlabel("area deviation, % of the reference")
    axes.set_ylabel("glaciers")
    beyond = int((deviation.abs() > wide).sum())
    shown = f", {beyond:,} beyond {wide:.0f} %" if beyond else ""
    axes.set_title(f"Deviations{shown}", loc="left", fontsize=11)
    axes.legend(fontsize=9)


def _draw_distances(axes: Axes, matched: pd.DataFrame) -> None:
    names = ("mean", "median", "p95")
    for offset, direction, text, colour in (
        (-0.18, "to_reference", "predicted to reference", "#2b7bba"),
        (0.18, "to_predicted", "reference to predicted", "#e08214"),
    ):
        boxes = axes.boxplot(
            [matched[f"{direction}_{name}_m"] for name in names],
            positions=np.arange(3) + offset,
            widths=0.3,
            patch_artist=True,
            medianprops={"color": "black"},
            flierprops={"marker": ".", "markersize": 4, "markeredgecolor": "#777777"},
        )
        for box in boxes["boxes"]:
            box.set(facecolor=colour, alpha=0.75)
        boxes["boxes"][0].set_label(text)
    axes.set_xticks(range(3), ["mean", "median", "95th percentile"])
    axes.set_yscale("symlog", linthresh=10)
    axes.set_ylim(0, max(10, 2 * axes.get_ylim()[1]))
    axes.set_ylabel("distance between outlines, m")
    axes.set_title("Distances, one value per glacier", loc="left", fontsize=11)
    axes.grid(axis="y", alpha=0.25)
    axes.legend(fontsize=9)
