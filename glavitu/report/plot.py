"""The IoU of regions and tiles, several runs side by side, as shapes of an SVG.

That of a single run is in its ``report.png`` (:mod:`glavitu.report.region_figure`) already.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from glavitu.report.region_figure import spread
from glavitu.report.runs import Run

#: Pixels: height of an IoU of 1, space between regions, width that the bars fit into if they can.
HEIGHT, GAP, WIDTH = 300, 26, 1200
LEFT, TOP, BOTTOM = 48, 10, 30


@dataclass(frozen=True)
class Bar:
    """The IoU of a region in a run, in pixels of the plot."""

    run: int
    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True)
class Point:
    """The IoU of a tile in a run."""

    x: float
    y: float
    title: str


@dataclass(frozen=True)
class Label:
    """The name of a region, under the middle of its bars, or a value of the axis."""

    at: float
    text: str


@dataclass
class Plot:
    """All that is drawn; x to the right, y down, in pixels."""

    width: float
    height: float
    left: float = LEFT
    bottom: float = TOP + HEIGHT
    radius: float = 3.0
    regions: list[Label] = field(default_factory=list)
    ticks: list[Label] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)


def plot_regions(runs: Sequence[Run], regions: Sequence[str]) -> Plot:
    """Lay out a bar for each region and run, and a point for each tile.

    Args:
        runs: The runs.
        regions: Regions in the order of the plot. Where a run has no IoU, its place stays empty.
    """
    wide = float(np.clip((WIDTH / len(regions) - GAP) / len(runs), 10, 40))
    group = wide * len(runs) + GAP
    plot = Plot(LEFT + group * len(regions) + GAP, TOP + HEIGHT + BOTTOM)
    most = max(len(run.tiles) for run in runs) / len(regions)
    plot.radius = float(np.clip(15 / np.sqrt(max(1, most)), 1.5, 3.0))
    plot.ticks = [Label(_y(tick / 5), f"{tick / 5:.1f}") for tick in range(6)]
    for place, region in enumerate(regions):
        first = LEFT + GAP + group * place
        plot.regions.append(Label(first + wide * len(runs) / 2, region))
        for number, run in enumerate(runs):
            left = first + wide * number
            found = run.regions.loc[run.regions["region"] == region, "iou"].dropna()
            for iou in found:
                title = f"{run.name}, {region}: IoU {iou:.3f}"
                top = _y(iou)
                plot.bars.append(Bar(number, left + 1, top, wide - 2, plot.bottom - top, title))
            tiles = run.tiles[run.tiles["region"] == region].dropna(subset="iou")
            shifts = wide * spread(len(tiles))
            for name, iou, shift in zip(tiles["tile"], tiles["iou"], shifts, strict=True):
                title = f"{run.name}, {name}: IoU {iou:.3f}"
                plot.points.append(Point(float(left + wide / 2 + shift), _y(iou), title))
    return plot


def _y(iou: float) -> float:
    return TOP + HEIGHT * (1 - iou)
