"""The IoU of regions as bars, with that of their tiles as points; and of years and sensors."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure

from glavitu.metrics.scores import in_mean
from glavitu.pictures import as_text

#: Width of a bar, where regions are 1 apart.
WIDTH = 0.62


def draw_regions(regions: pd.DataFrame, tiles: pd.DataFrame | None = None) -> Figure:
    """Draw the IoU of each region as a bar, and that of its tiles as points.

    Args:
        regions: What :meth:`glavitu.metrics.RegionConfusion.table` gives.
        tiles: What :meth:`glavitu.metrics.TileConfusion.table` gives, where tiles are known. Those
            whose IoU is undefined, since neither truth nor prediction has a glacier, have no point.

    Returns:
        A figure that belongs to no window.
    """
    iou = regions["iou"].to_numpy(float)
    places = np.arange(len(regions))
    # A few bars stay slender.
    slots = max(4, len(regions))
    figure = Figure(figsize=(1.6 + 0.9 * slots, 4.8), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.bar(places, np.nan_to_num(iou), width=WIDTH, color="#9cc3e0", label="region")
    labels = []
    for place, (name, value) in enumerate(zip(regions["region"], iou, strict=True)):
        labels.append(f"{as_text(name)}\n" + ("no glacier" if np.isnan(value) else f"{value:.3f}"))
        if tiles is None:
            continue
        own = tiles.loc[tiles["region"] == name, "iou"]
        labels[-1] += f"\n{len(own):,} tile{'' if len(own) == 1 else 's'}"
        points = own.dropna().to_numpy(float)
        axes.scatter(
            place + WIDTH * spread(len(points)),
            points,
            s=float(np.clip(4000 / len(tiles), 5, 26)),
            color="#1d4f7c",
            alpha=0.65,
            linewidths=0,
            zorder=3,
            label="_" if place else "tile",
        )
    known = iou[~np.isnan(iou) & in_mean(regions["region"])]
    if len(known) > 1:
        text = f"mean {known.mean():.3f}, standard deviation {known.std(ddof=1):.3f}"
        axes.axhline(known.mean(), color="#c0392b", linewidth=1, label=text, zorder=2)
    axes.set_xticks(places, labels)
    axes.tick_params(axis="x", length=0)
    middle = (len(regions) - 1) / 2
    axes.set(xlim=(middle - slots / 2, middle + slots / 2), ylim=(0, 1.02))
    axes.set_ylabel("IoU of the glacier class")
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper right", ncols=3, fontsize=9, frameon=False)
    return figure


def draw_groups(groups: pd.DataFrame) -> Figure:
    """Draw the IoU of each region as bars, one for each year and sensor.

    Args:
        groups: Columns ``region``, ``year`` or ``sensor`` or both, and ``iou``.

    Returns:
        A figure that belongs to no window.
    """
    keys = [key for key in ("year", "sensor") if key in groups]
    labels = groups[keys].agg(", ".join, axis=1)
    names, regions = sorted(set(labels)), sorted(set(groups["region"]))
    width = 0.8 / len(names)
    figure = Figure(
        figsize=(2 + max(4, 0.28 * len(names) * len(regions)), 4.8), dpi=120, layout="constrained"
    )
    axes = figure.subplots()
    colours = colormaps["viridis"](np.linspace(0.05, 0.9, len(names)))
    for number, (name, colour) in enumerate(zip(names, colours, strict=True)):
        own = groups[labels == name].set_index("region")["iou"].reindex(regions)
        places = np.arange(len(regions)) + (number - (len(names) - 1) / 2) * width
        bars = axes.bar(places, own.fillna(0), 0.92 * width, color=colour, label=as_text(name))
        axes.bar_label(
            bars,
            ["" if np.isnan(value) else f"{value:.2f}" for value in own],
            fontsize=7,
            rotation=90 if len(names) * len(regions) > 12 else 0,
            padding=2,
        )
    axes.set_xticks(np.arange(len(regions)), list(map(as_text, regions)))
    axes.tick_params(axis="x", length=0)
    axes.set(ylim=(0, 1.1), ylabel="IoU of the glacier class")
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=4, fontsize=9, frameon=False)
    return figure


def spread(number: int) -> npt.NDArray[np.float64]:
    """Spread points evenly and without pattern, always alike.

    Args:
        number: How many points.

    Returns:
        Offsets (number,) in [-0.4, 0.4], 0 for a single point.
    """
    golden = (np.arange(number) * (np.sqrt(5) - 1) / 2 + 0.5) % 1
    return np.asarray(0.8 * (golden - 0.5))
