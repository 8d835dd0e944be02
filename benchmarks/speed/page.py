"""Writes the tables and the figure of docs/performance.md from the results of the measurements.

python -m benchmarks.speed.page
python -m benchmarks.speed.page --check
"""

import statistics

from benchmarks import ROOT, pages
from benchmarks.pages import markdown
from benchmarks.speed import measuring
from benchmarks.speed.growth import draw_growth, growth
from benchmarks.speed.targets import targets

PAGE = ROOT / "docs" / "performance.md"


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


TABLES: pages.Tables = {
    table.__name__: table
    for table in (
        targets,
        models,
        precision,
        profiles,
        scenes,
        loaders,
        windows,
        processes,
        growth,
        world,
    )
}

if __name__ == "__main__":
    pages.main(PAGE, TABLES, "benchmarks.speed.page", draw_growth)
