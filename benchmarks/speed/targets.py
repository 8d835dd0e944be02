"""What was aimed at, and what was reached: the first table of docs/performance.md."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks.pages import markdown
from benchmarks.speed import measuring

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
