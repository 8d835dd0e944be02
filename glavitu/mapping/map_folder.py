"""A finished map: the folder that ``map_scene`` leaves, as an object that can be opened again."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from affine import Affine
from rasterio import CRS

from glavitu.errors import InputError
from glavitu.mapping.options import MapOptions
from glavitu.mapping.output_folder import PREFIX, RUN_FILE, read_run, wrong_sizes
from glavitu.rasters.grid import Grid

CLASSES = "outlines.tif"
CONFIDENCE = "confidence.tif"
PROBABILITY = "probability.tif"
PREVIEW = "preview.png"


class FileNames(NamedTuple):
    """Names of a map's files; ``run.json`` lies beside them.

    Attributes:
        rasters: Classes, confidence, and probability where it is wanted.
        outlines: The outlines.
        bands: Polygons by confidence, None where that is not calibrated.
    """

    rasters: tuple[str, ...]
    outlines: str
    bands: str | None

    @classmethod
    def of(cls, options: MapOptions, calibrated: bool) -> "FileNames":
        """Return the names of a map with some options, by a model that is calibrated or not."""
        suffix = options.vector_format
        return cls(
            (CLASSES, CONFIDENCE, *((PROBABILITY,) if options.probability else ())),
            f"outlines.{suffix}",
            f"confidence_bands.{suffix}" if calibrated else None,
        )

    @property
    def all(self) -> list[str]:
        """All of them; a Shapefile has more beside that of its name."""
        return [*self.rasters, self.outlines, PREVIEW, *((self.bands,) if self.bands else ())]


class MapModel(NamedTuple):
    """The model that a map is of.

    Attributes:
        checkpoints: SHA-256 of the checkpoints by their file names; of an ensemble there are
            several, of a model that comes from none, none.
        weights_sha256: SHA-256 of its weights.
        inference: Whose mean its probabilities are, such as ``'tta'``; empty for one prediction.
        confidence: What its confidence is, ``'raw'`` or such as ``'calibrated (kernel_ridge)'``.
        device: Where it ran, such as ``'cuda'``.
    """

    checkpoints: dict[str, str]
    weights_sha256: str
    inference: str
    confidence: str
    device: str


@dataclass(frozen=True)
class FinishedMap:
    """The files of a finished map, and what is known of it.

    Attributes:
        folder: Where it lies.
        facts: All that ``run.json`` holds.
    """

    folder: Path
    facts: Mapping[str, Any] = field(repr=False)

    @property
    def classes(self) -> Path:
        """Raster of classes: uint8, 1 = glacier, 255 = no data."""
        return self.folder / CLASSES

    @property
    def confidence(self) -> Path:
        """Raster of confidence: float32, 0 to 1, NaN = no data."""
        return self.folder / CONFIDENCE

    @property
    def probability(self) -> Path | None:
        """Raster of the probability of glacier: float32, 0 to 1; None if it was not wanted."""
        return self._if_written(PROBABILITY)

    @property
    def outlines(self) -> Path:
        """Outlines of the glaciers."""
        return self.folder / f"outlines.{self.options.vector_format}"

    @property
    def confidence_bands(self) -> Path | None:
        """Polygons of uncertain pixels; None where the model is not calibrated."""
        return self._if_written(f"confidence_bands.{self.options.vector_format}")

    @property
    def preview(self) -> Path:
        """Picture of the scene with its outlines, and of the confidence."""
        return self.folder / PREVIEW

    @property
    def run(self) -> Path:
        """``run.json``, which tells how all was made."""
        return self.folder / RUN_FILE

    @property
    def glaciers(self) -> int:
        """Number of outlines."""
        return int(self.facts["glaciers"])

    @property
    def area_km2(self) -> float:
        """Their area in square kilometres."""
        return float(self.facts["area_km2"])

    @property
    def smaller_left_out(self) -> int:
        """Number of further outlines under ``min_area_km2``, which the rasters alone show."""
        return int(self.facts.get("smaller_left_out", 0))

    @property
    def options(self) -> MapOptions:
        """How it was mapped, but for its place and pixels, of which :attr:`grid` tells."""
        return MapOptions.from_facts(self.facts["options"])

    @property
    def grid(self) -> Grid:
        """Its pixels' place on the Earth."""
        place = self.facts["options"]["grid"]
        height, width = place["shape"]
        if not re.match(r"\w+:\d+$|\w+\[", place["crs"]):  # others may be files or addresses
            raise ValueError(f"crs {place['crs']!r:.60}")
        return Grid(CRS.from_string(place["crs"]), Affine(*place["transform"]), (height, width))

    @property
    def model(self) -> MapModel:
        """The model."""
        checkpoints = {one["name"]: one["sha256"] for one in self.facts["checkpoints"]}
        texts = (self.facts[key] for key in MapModel._fields[1:])
        return MapModel(checkpoints, *texts)

    @property
    def date(self) -> datetime:
        """When it was finished, UTC."""
        return datetime.fromisoformat(self.facts["date"])

    def _if_written(self, name: str) -> Path | None:
        return self.folder / name if name in self.facts["files"] else None


def open_map(folder: str | Path) -> FinishedMap:
    """Open a finished map again.

    Args:
        folder: The output folder of ``map_scene`` or ``glavitu map``, wherever it was moved to.

    Raises:
        InputError: If there is no finished map, or one of its files is missing.
    """
    folder = Path(folder)
    run = folder / RUN_FILE
    try:
        facts = read_run(folder)
    except OSError as error:
        raise InputError(
            f"{run} cannot be read ({error.strerror}); give the folder of a map"
        ) from error
    if facts is None:
        if any(folder.glob(f"{PREFIX}*")):
            raise InputError(
                f"{folder} holds an unfinished map; run the same command again, which goes on "
                "where it stopped"
            )
        raise InputError(f"{run} does not exist; give the folder that `glavitu map` wrote into")
    if not facts:
        raise InputError(f"{run} is not of a map; give the folder that `glavitu map` wrote into")
    found = FinishedMap(folder, facts)
    try:
        _ = facts["files"]
        _ = found.glaciers, found.area_km2, found.options, found.grid, found.model, found.date
    except KeyError as error:
        raise InputError(f"{run} has no {error.args[0]!r}; map the scene again") from error
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(f"{run} is damaged ({error}); map the scene again") from error
    for name in wrong_sizes(folder, facts):
        state = "is not whole" if (folder / name).is_file() else "is missing"
        raise InputError(
            f"{folder / name} {state}, which {RUN_FILE} lists; put it back, or map the scene "
            "again with --overwrite (overwrite=True)"
        )
    return found
