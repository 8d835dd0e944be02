"""What a model is told of the place of a scene's windows."""

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from glavitu.errors import InputError
from glavitu.files import when_complete
from glavitu.mapping.region_optimisation import check_region_model, optimise_region
from glavitu.mapping.scene_model import SceneModel
from glavitu.rasters.scene import Scene
from glavitu.regions import UNKNOWN, coordinate_vector, region_index, region_vector
from glavitu.windows import Window

logger = logging.getLogger(__name__)

#: Location vectors (n, L) of windows of the scene, or None.
LocationOf = Callable[[Sequence[Window]], Tensor | None]

REGION_FILE = "region.json"


def location_encoding(
    model: SceneModel, scene: Scene, region: str | None, optimise: bool
) -> LocationOf:
    """Return what gives the location vectors of windows.

    Args:
        model: The model.
        scene: The scene.
        region: Code of its region, None where it is unknown.
        optimise: Whether :func:`optimised_region` is to come instead.

    Raises:
        InputError: If the region is unknown, or the model is told none.
    """
    if optimise:
        check_region_model(model)
    per_region = model.calibration is not None and model.calibration.regions
    if region is not None and model.location != "region" and not per_region:
        raise InputError(
            f"region {region!r} was given, but this model takes no region; leave the region out, "
            "or choose a checkpoint trained with region encoding or calibrated per region"
        )
    if model.location == "region":
        index = region_index(region)
        if index == UNKNOWN and not optimise:
            logger.warning("No region given: the scene is mapped as of an unknown region.")
        return same_for_all(region_vector(index))
    if model.location == "coordinates":
        return lambda windows: torch.stack(
            [coordinate_vector(*scene.centre(window)) for window in windows]
        )
    return lambda windows: None


def same_for_all(vector: Tensor) -> LocationOf:
    """Return what gives all windows one location vector (L,)."""
    return lambda windows: vector.expand(len(windows), -1)


def optimised_region(work: Path, model: SceneModel, scene: Scene, progress: bool) -> dict[str, Any]:
    """Optimise the region, or take what a run before found; a map has one region vector.

    Args:
        work: Folder of the run, where the result is kept.
        model: A model with region encoding.
        scene: The scene.
        progress: Show a progress bar.

    Returns:
        The values of :class:`~glavitu.mapping.region_optimisation.RegionFit`, plain.
    """
    path = work / REGION_FILE
    if not path.exists():
        fit = optimise_region(model, scene, progress=progress)
        values = fit._asdict() | {"vector": fit.vector.tolist()}
        with when_complete(path) as partial:
            partial.write_text(json.dumps(values))
    found: dict[str, Any] = json.loads(path.read_text())
    logger.warning(
        f"Region optimised in {found['epochs']} epochs: the mean entropy of the predictions went "
        f"from {found['entropy_before']:.4f} to {found['entropy_after']:.4f} bits."
    )
    return found
