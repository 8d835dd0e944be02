"""Whether a scene looks like what its model was trained on, asked before it is mapped."""

import logging
import random
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from glavitu.confidence.training_values import Difference, TrainingValues, differences
from glavitu.confidence.window_measures import measure_window
from glavitu.features import CO_POL_SAR, CROSS_POL_SAR, DEM, IN_SAR, OPTICAL, THERMAL
from glavitu.mapping.scene_model import SceneModel
from glavitu.rasters.scene import Scene
from glavitu.windows import Window

logger = logging.getLogger(__name__)

#: Windows of a scene that are looked at; of a Sentinel-2 scene they are 4 % of the pixels.
MOST_WINDOWS = 32

#: Part of a map that the files of a feature group should reach.
NEARLY_ALL = 0.98

#: Seed of the places of these windows.
SEED = 0

_SIGMA0 = (
    "amplitude or decibels in place of linear sigma0 (--decibels), co- and cross-polarised files "
    "given for each other"
)

#: What is often the matter, by feature group.
CAUSES = {
    OPTICAL.name: "bands in another order than "
    f"{', '.join(OPTICAL.channels)}; scale or offset missing, or applied twice (--scale "
    "optical=SCALE,OFFSET; Sentinel-2 since January 2022 has 0.0001,-0.1); reflectance without the "
    "sun's angle, or of the surface (Level-2) where the model wants top of atmosphere (Level-1)",
    DEM.name: "elevation in feet (--scale dem=0.3048); another raster given as elevation; slope in "
    "percent (--slope-percent)",
    CO_POL_SAR.name: _SIGMA0,
    CROSS_POL_SAR.name: _SIGMA0,
    IN_SAR.name: "coherence stored scaled (--scale in_sar=0.01), or another raster",
    THERMAL.name: "degrees Celsius in place of kelvin (--scale thermal=1,273.15)",
}

#: Of a group that is not one of the benchmark.
OTHER_CAUSES = "another unit (--scale {name}=SCALE,OFFSET), or channels in another order"


def known_trainings(model: SceneModel) -> list[TrainingValues]:
    """Return what the trainings of a model, or of the members of an ensemble, were like.

    Those of which the checkpoint does not tell are left out.
    """
    members: tuple[Any, ...] = getattr(model, "members", (model,))
    trainings = [getattr(member, "training_values", None) for member in members]
    return [values for values in trainings if values is not None and values.enough]


def check_scene(
    trainings: Sequence[TrainingValues], scene: Scene, size: int
) -> dict[str, Any] | None:
    """Compare a scene with what its model was trained on, and warn where they differ much.

    The windows that are looked at lie at random places, the same each time.

    Args:
        trainings: Of the model; of several the one counts from which the scene differs most.
        scene: The scene.
        size: Side of the model's windows in pixels.

    Returns:
        Plain values for ``run.json``: the distance beyond the range of the training, the largest
        and that of each channel and pair of channels, and what makes a warning. None where the
        trainings are not known, or the scene has no data in these windows.

    Raises:
        InputError: If a file cannot be read, or its values cannot be in the model's units.
    """
    if not trainings:
        return None
    measured = _measured(scene, size)
    found = [(values, differences(values, measured, scene.groups)) for values in trainings]
    if not any(listed for _, listed in found):
        return None
    values, listed = max(found, key=lambda pair: max((d.distance for d in pair[1]), default=0.0))
    unusual = [difference for difference in listed if difference.distance > values.tolerance]
    if unusual:
        logger.warning(_warning(unusual))
    return {
        "largest": round(max(difference.distance for difference in listed), 3),
        "tolerance": values.tolerance,
        "windows": len(measured),
        "training_windows": values.windows,
        "channels": {d.measure.name: round(d.distance, 3) for d in listed},
    }


def _measured(scene: Scene, size: int) -> Tensor:
    """Measure windows of a scene, float32 (windows, M)."""
    height, width = min(size, scene.height), min(size, scene.width)
    rows, cols = scene.height // height, scene.width // width
    # Scenes along an orbit are empty in half of their windows.
    tries = min(rows * cols, 4 * MOST_WINDOWS)
    found: list[Tensor] = []
    for number in random.Random(SEED).sample(range(rows * cols), tries):
        row, col = divmod(number, cols)
        image, _ = scene.read(Window(row * height, col * width, height, width))
        measured = measure_window(image, scene.groups)
        if measured.isfinite().any():
            found.append(measured)
        if len(found) == MOST_WINDOWS:
            break
    return torch.stack(found) if found else measured[None]


def _warning(unusual: Sequence[Difference]) -> str:
    """Say what differs most in each group, and what is often the matter."""
    worst: dict[str, Difference] = {}
    for difference in sorted(unusual, key=lambda d: -d.distance):
        worst.setdefault(difference.measure.group.name, difference)
    said = [
        f"  {difference.in_words} in the training. Often: "
        f"{CAUSES.get(name, OTHER_CAUSES.format(name=name))}."
        for name, difference in worst.items()
    ]
    return "\n".join(
        [
            "This scene does not look like what the model was trained on:",
            *said,
            "  If the values are right, the place, season or sensor is new to the model. Its "
            "confidence, calibrated or not, does not show this: do not trust it here.",
        ]
    )


def say_what_is_missing(scene: Scene) -> None:
    """Warn of a feature group whose files reach a part of the map alone.

    Args:
        scene: The scene, open.
    """
    for group in scene.groups:
        share = scene.coverage(group)
        if share < NEARLY_ALL:
            logger.warning(
                f"{scene.files[group.name]}: reaches about {100 * share:.0f} % of the map, which "
                f"has no data (255) elsewhere; give more files of {group.name!r}, or map less "
                "with --bounds or --aoi"
            )
