"""Which mistakes `map` notices because a scene does not look like the training, and false alarms.

On synthetic worlds: what a training on eight regions would remember of its windows (weights do not
matter to that), against the test tiles of these and of other regions in two years under two
sensors, as they are and with a mistake in one feature group. A mistake is noticed where the warning
names its group:

    python -m benchmarks.experiments.unlike_training
"""

import argparse
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.experiments.loop import Runs, load, resume
from benchmarks.experiments.models import REGIONS
from benchmarks.pages import markdown
from glavitu.arrays import FloatArray
from glavitu.confidence.training_values import TrainingValues, differences
from glavitu.confidence.window_measures import WindowHistograms, measure_window
from glavitu.features import FEATURES
from glavitu.rasters.terrain import slope_degrees
from glavitu.synthetic.regions import PROFILES
from glavitu.synthetic.scenes import SENSORS, YEARS, seen_by

if TYPE_CHECKING:
    from glavitu.synthetic.world import SyntheticGlaciers

NAME = "unlike_training"
SEEDS = (1, 2, 3)
TILES = (8, 0, 2)
GROUPS = tuple(FEATURES.values())

#: Regions that no training has.
NEW_REGIONS = ("AN", "LL", "SA")

#: Side of a training window, and how far apart they are, in pixels.
WINDOW, STEP = 128, 64

#: What a feature group (C, H, W) becomes by a mistake, given all groups and the region.
Mistake = Callable[[dict[str, FloatArray], str], Any]

#: What the atmosphere adds to each band, in parts of a region's haze.
HAZE = np.array([1, 0.65, 0.45, 0.2, 0.05, 0.02])[:, None, None]


def sun(region: str) -> float:
    """Return the sine of the sun's elevation."""
    return float(np.sin(np.radians(PROFILES[region].sun)))


def surface(optical: FloatArray, region: str) -> Any:
    """Take the atmosphere away."""
    path = HAZE * PROFILES[region].haze
    return (optical - path) / (1 - 2 * path)


def terrain(elevation: FloatArray) -> FloatArray:
    """Return elevation and the slope that is computed from it."""
    return np.stack([elevation, slope_degrees(elevation.astype(np.float32), 30.0, 30.0)])


def in_order(*bands: int) -> Mistake:
    """Give the optical bands in another order."""
    return lambda groups, region: groups["optical"][list(bands)]


MISTAKES: dict[str, tuple[str, Mistake]] = {
    "red and blue swapped": ("optical", in_order(2, 1, 0, 3, 4, 5)),
    "red and near infrared swapped": ("optical", in_order(0, 1, 3, 2, 4, 5)),
    "near and shortwave infrared swapped": ("optical", in_order(0, 1, 2, 4, 3, 5)),
    "shortwave infrared 1 and 2 swapped": ("optical", in_order(0, 1, 2, 3, 5, 4)),
    "bands in reverse order": ("optical", in_order(5, 4, 3, 2, 1, 0)),
    "each band one too early (a coastal band first)": ("optical", in_order(0, 0, 1, 2, 3, 4)),
    "offset forgotten (+0.1)": ("optical", lambda g, r: g["optical"] + 0.1),
    "offset applied twice (-0.1)": ("optical", lambda g, r: g["optical"] - 0.1),
    "scale applied twice": ("optical", lambda g, r: g["optical"] * 1e-4),
    "sun's angle forgotten": ("optical", lambda g, r: g["optical"] * sun(r)),
    "sun's angle applied twice": ("optical", lambda g, r: g["optical"] / sun(r)),
    "surface reflectance (Level-2)": ("optical", lambda g, r: surface(g["optical"], r)),
    "Landsat Level-2 numbers scaled as Sentinel-2's": (
        "optical",
        lambda g, r: (surface(g["optical"], r) + 0.2) / 2.75e-5 * 1e-4,
    ),
    "elevation in feet": ("dem", lambda g, r: terrain(g["dem"][0] * 3.2808)),
    "elevation in feet, slope in degrees": (
        "dem",
        lambda g, r: np.stack([g["dem"][0] * 3.2808, g["dem"][1]]),
    ),
    "elevation in decimetres": ("dem", lambda g, r: terrain(g["dem"][0] * 10)),
    "reflectance as elevation": ("dem", lambda g, r: terrain(g["optical"][2])),
    "a band's numbers as elevation": ("dem", lambda g, r: terrain(g["optical"][2] * 1e4)),
    "slope in percent": (
        "dem",
        lambda g, r: np.stack([g["dem"][0], 100 * np.tan(np.radians(g["dem"][1]))]),
    ),
    "slope in radians": ("dem", lambda g, r: np.stack([g["dem"][0], np.radians(g["dem"][1])])),
    "amplitude, not sigma0": ("co_pol_sar", lambda g, r: np.sqrt(g["co_pol_sar"])),
    "cross-polarised as co-polarised": ("co_pol_sar", lambda g, r: g["cross_pol_sar"]),
    "ascending and descending swapped": ("co_pol_sar", lambda g, r: g["co_pol_sar"][::-1]),
    "coherence in percent": ("in_sar", lambda g, r: g["in_sar"] * 100),
    "decorrelation, not coherence": ("in_sar", lambda g, r: 1 - g["in_sar"]),
    "degrees Celsius": ("thermal", lambda g, r: g["thermal"] - 273.15),
}


def measure(seed: int) -> dict[str, Any]:
    """Count, in one world, the scenes and those of which there was a warning."""
    from glavitu.datasets import SyntheticGlaciers

    world = SyntheticGlaciers(REGIONS, TILES, seed=seed)
    windows = {
        region: [
            window
            for number in range(TILES[0])
            for window in cut(scaled(world.tile("train", region, number).features), STEP)
        ]
        for region in REGIONS
    }
    everywhere = trained([*REGIONS], windows)
    published = TrainingValues.published(GROUPS)
    elsewhere = {r: trained([o for o in REGIONS if o != r], windows) for r in REGIONS}
    alone = {r: trained([r], windows) for r in REGIONS}
    right: defaultdict[str, Counter[str]] = defaultdict(Counter)
    mistaken: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for region, year, sensor, groups in scenes(world):
        measured = measures(groups)
        key = f"{year}, {sensor}"
        if region not in REGIONS:
            count(right["trained on eight regions, a scene of another"], key, measured, everywhere)
            continue
        count(right["trained on eight regions, a scene of one of them"], key, measured, everywhere)
        count(right["trained on the seven other regions"], key, measured, elsewhere[region])
        count(right["trained on its region alone"], key, measured, alone[region])
        other = REGIONS[(REGIONS.index(region) + 1) % len(REGIONS)]
        count(right["trained on one other region"], key, measured, alone[other])
        count(right["published minima and maxima"], key, measured, published)
        for name, (group, mistake) in MISTAKES.items():
            wrong = np.ascontiguousarray(mistake(groups, region), dtype=np.float32)
            measured = measures(groups | {group: wrong})
            count(mistaken[name], "fit", measured, everywhere, group)
            count(mistaken[name], "published", measured, published, group)
    return {"right": right, "mistaken": mistaken}


def scenes(
    world: "SyntheticGlaciers",
) -> Iterator[tuple[str, str, str, dict[str, FloatArray]]]:
    """Give region, year, sensor and feature groups of the scenes of a world."""
    for region in (*REGIONS, *NEW_REGIONS):
        for number in range(TILES[2]):
            for year, rise in YEARS.items():
                tile = world.tile("test", region, number, rise)
                for sensor in SENSORS:
                    yield region, year, sensor, seen_by(sensor, tile, world.seed).features


def scaled(groups: dict[str, FloatArray]) -> Tensor:
    """Return the image of a tile, float32 (C, H, W)."""
    return torch.cat([group.scale(torch.from_numpy(groups[group.name])) for group in GROUPS])


def cut(image: Tensor, step: int) -> Iterator[Tensor]:
    """Cut a tile's image into windows."""
    starts = range(0, image.shape[-1] - WINDOW + 1, step)
    for row in starts:
        for col in starts:
            yield image[:, row : row + WINDOW, col : col + WINDOW]


def measures(groups: dict[str, FloatArray]) -> Tensor:
    """Measure the windows of a scene as `map` does."""
    return torch.stack([measure_window(w, GROUPS) for w in cut(scaled(groups), WINDOW)])


def trained(regions: Iterable[str], windows: dict[str, list[Tensor]]) -> TrainingValues:
    """Return what a training on some regions remembers."""
    histograms = WindowHistograms(GROUPS)
    for region in regions:
        histograms.add(torch.stack(windows[region]))
    return TrainingValues.counted(histograms)


def count(
    counter: Counter[str], key: str, measured: Tensor, values: TrainingValues, group: str = ""
) -> None:
    """Count a scene, and whether there is a warning (that names a group)."""
    counter[key] += 1
    unusual = {
        d.measure.group.name
        for d in differences(values, measured, GROUPS)
        if d.distance > values.tolerance
    }
    counter[f"{key}, warned"] += bool(unusual & {group} if group else unusual)


def runs_of() -> Runs:
    """List the runs, a world each."""
    for seed in SEEDS:
        yield str(seed), partial(measure, seed)


def total(kind: str) -> dict[str, Counter[str]]:
    """Add the counts of all worlds up."""
    added: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for world in load(NAME).values():
        for name, counts in world[kind].items():
            added[name].update(counts)
    return added


def share(counts: Counter[str], key: str) -> str:
    """Say which share of scenes there was a warning of."""
    return f"{100 * counts[f'{key}, warned'] / counts[key]:.0f} %"


def mistakes() -> str:
    """Make the table of mistakes: which share is noticed."""
    rows = [
        [MISTAKES[name][0], name, share(counts, "fit"), share(counts, "published")]
        for name, counts in total("mistaken").items()
    ]
    return markdown(["group", "mistake", "noticed, own training", "noticed, published"], rows)


def false_alarms() -> str:
    """Make the table of right scenes: which share is warned of."""
    keys = [f"{year}, {sensor}" for year in YEARS for sensor in SENSORS]
    rows = [
        [name, str(sum(counts[key] for key in keys)), *(share(counts, key) for key in keys)]
        for name, counts in total("right").items()
    ]
    return markdown(["training", "scenes", *keys], rows)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    resume(NAME, runs_of())
