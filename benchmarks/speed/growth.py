"""How cost grows: a table and the figure of docs/performance.md."""

from typing import NamedTuple

from benchmarks import ROOT
from benchmarks.pages import markdown
from benchmarks.speed import measuring

FIGURE = ROOT / "docs" / "images" / "growth.png"


class Growth(NamedTuple):
    """One line of how cost grows."""

    cost: str
    size: str
    sizes: list[float]
    costs: list[float]


def growths() -> list[Growth]:
    """What was measured against scenes, tiles and workers."""
    scenes = measuring.load("scene_growth")["figures"]["2 threads"]
    loader = measuring.load("loader_growth")["figures"]
    tiles, workers = loader["tiles"], loader["workers"]
    pixels = [count / 1e6 for count in scenes["pixels"]]
    working = [number for number in workers["workers"] if number]
    rates = workers["windows_per_second"][-len(working) :]
    steps = measuring.load("ddp_speed")["figures"]
    training = [1 / steps["alone"], 2 / steps["together"]]
    return [
        Growth("`map`, s", "megapixels", pixels, scenes["wall_s"]),
        Growth(
            "`map`, peak memory over imports, MB",
            "megapixels",
            pixels,
            scenes["peak_over_imports_mb"],
        ),
        Growth("index of tiles, s", "tiles", tiles["tiles"], tiles["index_seconds"]),
        Growth("reading, s a window", "tiles", tiles["tiles"], [1 / r for r in tiles["rate"]]),
        Growth("reading, windows a second", "workers", working, rates),
        Growth("training, patches a second", "processes", [1, 2], training),
    ]


def growth() -> str:
    head = ["cost", "against", "from", "to", "exponent"]
    rows = []
    for line in growths():
        ends = [f"{line.sizes[end]:g}: {line.costs[end]:.3g}" for end in (0, -1)]
        slope = measuring.exponent(line.sizes, line.costs)
        rows.append([line.cost, line.size, *ends, f"{slope:.2f}"])
    tiles = measuring.load("loader_growth")["figures"]["tiles"]
    sizes, memory = tiles["tiles"], tiles["memory_mb"]
    # Most of the memory is that of a process, whatever the number of tiles.
    each = 1024 * (memory[-1] - memory[0]) / (sizes[-1] - sizes[0])
    last = measuring.load("scene_growth")["figures"]["2 threads"]["exponents_of_the_last"]
    stages = ("predicting", "rasters", "vectorising", "preview")
    slopes = [f"{stage} {last[f'{stage}_s']:.2f}" for stage in stages]
    index = f"The index takes {each:.0f} KB of memory a tile."
    scenes = f"the exponent of time is {last['wall_s']:.2f} ({', '.join(slopes)})."
    return f"{markdown(head, rows)}\n\n{index} Between the two largest scenes alone {scenes}"


def draw_growth() -> None:
    """Write the figure: each cost on logarithmic axes, with the line that was fitted."""
    import matplotlib.pyplot as plt
    import numpy as np
    from matplotlib.ticker import LogFormatter, NullFormatter

    class Plain(LogFormatter):  # 0.04, where matplotlib says 4e-02
        def __call__(self, x: float, pos: int | None = None) -> str:
            return f"{x:g}" if super().__call__(x, pos) else ""

    lines = growths()
    figure, panels = plt.subplots(2, 3, figsize=(12, 7), dpi=110, layout="constrained")
    for line, axes in zip(lines, panels.flat, strict=True):
        sizes = np.array(line.sizes, float)
        slope, offset = np.polyfit(np.log(sizes), np.log(line.costs), 1)
        fitted = np.exp(offset) * sizes**slope
        axes.loglog(sizes, fitted, color="#888888", label=f"size to the power {slope:.2f}")
        axes.loglog(sizes, line.costs, "o", color="#0b6e99")
        axes.set(title=line.cost.replace("`", ""), xlabel=line.size)
        axes.set_ylim(min(line.costs) / 2, max(line.costs) * 2)
        axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
        axes.xaxis.set_minor_formatter(NullFormatter())
        for ticks in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            ticks(Plain(minor_thresholds=(2, 0.5)))
        axes.grid(which="both", color="#e5e5e5")
        axes.legend(frameon=False)
    figure.savefig(FIGURE)
