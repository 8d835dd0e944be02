"""Writes the tables and the figure of docs/performance.md from the results of the measurements.

    python -m benchmarks.speed.page
    python -m benchmarks.speed.page --check

The text between the marks ``<!-- NAME -->`` and ``<!-- end -->`` of the page is replaced.
"""

import argparse
import re
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.speed import measuring

ROOT = Path(__file__).parents[2]
PAGE, FIGURE = ROOT / "docs" / "performance.md", ROOT / "docs" / "images" / "growth.png"
MISSING = "not measured"

Figures = dict[str, Any]


class Target(NamedTuple):
    """One line of the targets: what is measured, where it lies in the results, and the aim."""

    what: str
    aim: str
    results: str
    read: Callable[[Figures], float]
    shown: str = "{:.2f}"
    device: str = "cpu"

    def row(self) -> list[str]:
        """What was measured, where, and whether the aim was met."""
        told = measuring.load(self.results, self.device)
        try:
            value = self.read(told["figures"])
        except KeyError:
            return [self.what, self.aim, MISSING, "", ""]
        sense, limit = re.match(r"([<>]=?) ([\d.]+)", self.aim).groups()
        met = value >= float(limit) if sense == ">=" else value <= float(limit)
        shown, where = self.shown.format(value), told["machine"]["device"]
        return [self.what, self.aim, shown, where, "yes" if met else "no"]


def quickest(work: str, key: str) -> Callable[[Figures], float]:
    return lambda figures: figures[work]["compiled too"][key]


def used(work: str) -> Callable[[Figures], float]:
    return lambda figures: 100 * figures[work]["compiled too"]["utilisation"]


CPU, GPU = "times_the_machine", "cuda"
TARGETS = (
    Target(
        "inference, CPU, float32, times the machine's own",
        "<= 1.35",
        "model_speed",
        quickest("inference, batch 1", CPU),
    ),
    Target(
        "training step, CPU, float32, batch 2, times the machine's own",
        "<= 1.6",
        "model_speed",
        quickest("training, batch 2", CPU),
    ),
    Target(
        "inference, GPU, bfloat16, batch 32: utilisation",
        ">= 45 %",
        "model_speed",
        used("inference, batch 32"),
        "{:.0f} %",
        GPU,
    ),
    Target(
        "training step, GPU, bfloat16, batch 8: utilisation",
        ">= 40 %",
        "model_speed",
        used("training, batch 8"),
        "{:.0f} %",
        GPU,
    ),
    Target(
        "training step, GPU, bfloat16, batch 32: utilisation",
        ">= 40 %",
        "model_speed",
        used("training, batch 32"),
        "{:.0f} %",
        GPU,
    ),
    Target(
        "training step, GPU, batch 8, against plain float32",
        ">= 3 x",
        "model_speed",
        quickest("training, batch 8", "speed_against_plain"),
        "{:.1f} x",
        GPU,
    ),
    Target(
        "whole scene, CPU: `map` by its windows in the bare model",
        "<= 1.05",
        "scene_speed",
        lambda figures: figures["model"]["wall_by_windows_of_bare_model"],
    ),
    Target(
        "whole scene, CPU: peak memory over the imports",
        "<= 1.2 GiB",
        "scene_speed",
        lambda figures: figures["model"]["peak_over_imports_gib"],
        "{:.2f} GiB",
    ),
    Target(
        "whole scene, trivial model, against reading and writing with rasterio",
        ">= 0.5",
        "scene_speed",
        lambda figures: figures["files"]["rate_by_rasterio"],
    ),
    Target(
        "loader, GeoTIFF, against stock TorchGeo",
        ">= 5 x",
        "loader_speed",
        lambda figures: figures["geotiff"]["times_torchgeo"],
        "{:.1f} x",
    ),
    Target(
        "loader, HDF5, against h5py alone: compressed arrays",
        ">= 0.8",
        "loader_speed",
        lambda figures: figures["hdf5"]["times_h5py"],
    ),
    Target(
        "loader, HDF5, against h5py alone: plain arrays",
        ">= 0.8",
        "loader_speed",
        lambda figures: figures["hdf5_plain"]["times_h5py"],
    ),
    Target(
        "augmentation, GPU: share of the training step",
        "<= 10 %",
        "augmentation_speed",
        lambda figures: 100 * figures["share_batch_8"],
        "{:.1f} %",
        GPU,
    ),
    Target(
        "augmentation, CPU, against the same in numpy",
        ">= 1",
        "augmentation_speed",
        lambda figures: figures["samples_a_second_to_numpy"],
    ),
    Target(
        "loader keeps up: share of the time that a GPU waits in `fit`",
        "<= 5 %",
        "fit_idle",
        lambda figures: 100 * max(layout["idle_share"] for layout in figures.values()),
        "{:.1f} %",
        GPU,
    ),
    Target(
        "start, `import glavitu`",
        "< 0.3 s",
        "start",
        lambda figures: figures["import glavitu"]["seconds"],
        "{:.2f} s",
    ),
    Target(
        "start, `glavitu --help`",
        "< 1 s",
        "start",
        lambda figures: figures["glavitu --help"]["seconds"],
        "{:.2f} s",
    ),
    Target(
        "vectorising 10,980 x 10,980, outlines and bands one after the other",
        "<= 60 s",
        "vectorising",
        lambda figures: figures["wall_s"],
        "{:.0f} s",
    ),
    Target(
        "vectorising 10,980 x 10,980: peak memory",
        "<= 4 GiB",
        "vectorising",
        lambda figures: figures["peak_gib"],
        "{:.1f} GiB",
    ),
    Target(
        "calibration and report: share of `test`",
        "<= 2 %",
        "test_share",
        lambda figures: 100 * figures["share_of_this_test"],
        "{:.1f} %",
    ),
)


def targets() -> str:
    head = ["what", "target", "measured", "on", "met"]
    return markdown(head, (target.row() for target in TARGETS))


def markdown(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def models() -> str:
    head = ["", "batch", "device", "way", "s a patch", "times the machine's own", "against plain"]
    rows = []
    for device in ("cpu", "cuda"):
        told = measuring.load("model_speed", device)
        cases = [(name.split(",")[0], case) for name, case in told.get("figures", {}).items()]
        for work, case in sorted(cases, key=lambda pair: (pair[0], pair[1]["batch"])):
            for way, figures in case.items():
                if not isinstance(figures, dict) or way == "machine":
                    continue
                cells = [work, str(case["batch"]), told["machine"]["device"], way]
                cells += [f"{figures['seconds_a_patch']:.3g}"]
                cells += [f"{figures['times_the_machine']:.2f}"]
                cells += [f"{figures['speed_against_plain']:.2f} x"]
                rows.append(cells)
    return markdown(head, rows)


def precision() -> str:
    head = ["way", "device", "IoU", "change", "flipped pixels", "largest change of confidence"]
    rows = []
    for device in ("cpu", "cuda"):
        told = measuring.load("precision", device)
        for way, figures in told.get("figures", {}).items():
            cells = [way, told["machine"]["device"], f"{figures['iou']:.4f}"]
            cells += [f"{figures['iou_change']:+.1e}", f"{figures['flipped']:.1e}"]
            rows.append([*cells, f"{figures['largest_confidence_change']:.1e}"])
    return markdown(head, rows)


def profiles() -> str:
    tables = []
    for device in ("cpu", "cuda"):
        told = measuring.load("model_profile", device)
        for name, figures in told.get("figures", {}).items():
            rows = [[kind, f"{share:.1%}"] for kind, share in figures.items() if share >= 0.005]
            title = {"parts": "parts of the model, inference"}.get(name, name)
            tables.append(markdown([f"{title}, {told['machine']['device']}", "share"], rows))
    return "\n\n".join(tables)


def scenes() -> str:
    figures = measuring.load("scene_speed")["figures"]
    told, model = figures["files"], figures["model"]
    rows = [[stage, f"{seconds:.1f}"] for stage, seconds in told["stages_s"].items()]
    rows.append(["rasterio alone", f"{statistics.median(told['seconds']['rasterio']):.1f}"])
    rows.append(["rasterio's rate, reached by all", f"{told['rate_by_rasterio']:.2f}"])
    reached = told["rate_by_rasterio_rasters_only"]
    rows.append(["rasterio's rate, reached by predicting and rasters", f"{reached:.2f}"])
    side = f"{told['size']:,}"
    table = markdown([f"scene of {side} x {side}, threshold on a band", "s, or ratio"], rows)
    ratios = ", ".join(f"{one['ratio']:.3f}" for one in model["rounds"])
    windows = model["rounds"][0]["windows"]
    return f"{table}\n\nWith the published model, {windows} windows, the rounds gave {ratios}."


def loaders() -> str:
    told = measuring.load("loader_speed")["figures"]
    names = {"geotiff": "GeoTIFF", "hdf5": "HDF5, compressed", "hdf5_plain": "HDF5, plain"}
    rows = [
        [names[kind], reader.removesuffix("_windows_per_second"), f"{value:.0f}"]
        for kind, figures in told.items()
        for reader, value in figures.items()
        if reader.endswith("_per_second")
    ]
    return markdown(["files", "reader", "windows a second in one process"], rows)


def windows() -> str:
    told = measuring.load("window_size")["figures"]
    head = ["windows", "IoU", "change (spread over seeds)", "time a pixel", "pixels that change"]
    rows = [
        [
            name,
            f"{figures['iou']:.4f}",
            f"{figures['iou_difference']:+.4f} ({figures['iou_difference_std']:.4f})",
            f"{figures['time_large_scene']:.2f}",
            f"{figures['changed']:.1%}",
        ]
        for name, figures in told["windows"].items()
    ]
    first = markdown(head, rows)
    head = ["window of the published model, CPU", "s a window", "time a pixel"]
    rows = [
        [
            f"{name.split('_')[1]} x {name.split('_')[1]}",
            f"{figures['seconds_a_window']:.2f}",
            f"{figures['time_a_pixel']:.2f}",
        ]
        for name, figures in told.items()
        if name.startswith("published")
    ]
    return f"{first}\n\n{markdown(head, rows)}"


def processes() -> str:
    told = measuring.load("ddp_speed")["figures"]
    rows = [
        ["one process trains, the other waits", f"{told['alone']:.2f}", "1"],
        [
            "both train, each for itself",
            f"{told['apart']:.2f}",
            f"{told['slower_side_by_side']:.3f}",
        ],
        [
            "both train and exchange gradients",
            f"{told['together']:.2f}",
            f"{told['slower_side_by_side'] * told['slower_by_exchange']:.3f}",
        ],
    ]
    table = markdown(["two processes of one thread", "s a step", "against one alone"], rows)
    # Eight patches of 3 x 239 GFLOP at 40 % of an H200's bfloat16 matrix products, 790 TFLOP/s.
    step = 8 * 3 * 239e9 / (0.4 * 790e12) * 1e3
    exchange = told["exchange_of_8_gpus_ms"]
    speeds = [
        f"{8 * step / (step + milliseconds):.2f} times the work of one over {link} "
        f"({milliseconds:.1f} ms of exchange)"
        for link, milliseconds in exchange.items()
    ]
    gradients = f"{told['gradient_mb']:.0f} MB of gradients are exchanged."
    eight = f"Eight GPUs, with steps of {step:.0f} ms, would do {' and '.join(speeds)}."
    return f"{table}\n\n{gradients} {eight}"


def world() -> str:
    told = measuring.load("world")["figures"]
    kinds = {name: case for name, case in told.items() if name.endswith("overlap")}
    lines = {
        "windows": ("windows, millions", 1e6),
        "read_tb": ("read, TB", 1),
        "stored_tb": ("stored, TB", 1),
        "cpu_hours": ("hours of this machine's two cores, measured", 1),
        "cuda_hours": ("GPU hours, windows measured, the rest as on the CPU", 1),
        "gpu_hours_assumed": ("GPU hours of an H200 at 45 % utilisation, assumed", 1),
    }
    rows = [
        [name, *(f"{case[key] / unit:,.3g}" for case in kinds.values())]
        for key, (name, unit) in lines.items()
        if all(key in case for case in kinds.values())
    ]
    return markdown(["", *kinds], rows)


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


TABLES = (targets, models, precision, profiles, scenes, loaders, windows, processes, growth, world)


def page() -> str:
    """The page, with its tables made anew."""
    text = PAGE.read_text()
    for table in TABLES:
        start, end = f"<!-- {table.__name__} -->", "<!-- end -->"
        before, rest = text.split(start)
        text = f"{before}{start}\n{table()}\n{end}{rest.split(end, 1)[1]}"
    return text


def main() -> None:
    """Write the page, or say whether it is as it would be written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if it is old")
    options = parser.parse_args()
    if not options.check:
        draw_growth()
        PAGE.write_text(page())
    elif PAGE.read_text() != page():
        raise SystemExit("docs/performance.md is old; run python -m benchmarks.speed.page")


if __name__ == "__main__":
    main()
