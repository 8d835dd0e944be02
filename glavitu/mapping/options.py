"""The options of a map, each told once.

The keywords of ``map_scene``, the command line of ``glavitu map``, the checks and the fingerprint
of a run are made of :class:`MapOptions`: a new option is one field of it, and the lines that use
it.
Nothing heavy is imported here, so that the help of the command line is quick.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from os import PathLike
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_type_hints

from glavitu.errors import InputError

if TYPE_CHECKING:
    import torch

    from glavitu.rasters.grid import Grid

#: Formats of the vector files, by their suffix.
FORMATS = ("gpkg", "parquet", "shp", "geojson")

#: The least area of a glacier in inventories (Paul et al. 2009, doi 10.3189/172756410790595778; RGI
#: 7.0).
MIN_AREA_KM2 = 0.01


class Decides(Enum):
    """What an option decides, and so how it comes into the fingerprint of a run."""

    #: What the files hold: its value is in the fingerprint.
    CONTENTS = "contents"
    #: Place and pixels: the grid that it leads to is in the fingerprint.
    GRID = "grid"
    #: Nothing that is in the files, so that it is not in the fingerprint.
    NOTHING = "nothing"


class Section(Enum):
    """A heading of the command line's help, and what is said below it."""

    VALUES = "values", "What the numbers in the rasters are, where the files do not tell."
    PLACE = "place and pixels", "By default the map has the pixels of the optical raster."
    PREDICTION = "prediction", None
    RESULTS = "results", None


@dataclass(frozen=True)
class Option:
    """What is told of an option beside its type and default.

    Attributes:
        section: Where it stands on the command line; None for one that Python alone has.
        help: What it does, as the command line tells.
        decides: What it decides.
        flag: Its name on the command line, by default that of the field with dashes.
        arguments: More arguments of ``argparse``'s ``add_argument``. A field that is False by
            default is a switch and needs none.
        one_of: A name that options share of which only one may be given.
    """

    section: Section | None
    help: str
    decides: Decides = Decides.CONTENTS
    flag: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    one_of: str = ""


@dataclass(frozen=True, kw_only=True)
class MapOptions:
    """How a scene is mapped: the keywords of :func:`~glavitu.mapping.mapper.map_scene`.

    Args:
        crs: Coordinate reference system of the map, such as ``'EPSG:32645'``. The map has the
            pixels of the optical raster, or of the first group's without one, where nothing else is
            said.
        resolution: Size of its pixels, in units of the CRS.
        bounds: Its left, bottom, right and top, in units of the CRS.
        aoi: File of polygons in any CRS; the map is the rectangle around them.
        layer: Layer of that file, where several hold polygons.
        scales: Scale and offset of stored values by the name of their group, such as
            ``{"optical": (0.0001, 0.0)}``; by default those of the files' own tags.
        nodata: Stored value that means missing by the name of its group, in the place of what the
            files say; None if no value does.
        decibels: Sigma0 is in decibels.
        slope_percent: Slope is in percent.
        region: Code of the scene's region, for a model that knows regions or is calibrated per
            region; None is unknown.
        optimise_region: Look for the region vector of a scene of unknown region, see
            :func:`~glavitu.mapping.region_optimisation.optimise_region`.
        batch_size: Windows predicted at once; by default 1 on the CPU, where more only take memory,
            else 4.
        overlap: Part of a window's width that it shares with the next, from 0 to below 1: less is
            quicker, more is smoother. 0.5 is the published one.
        probability: Also write ``probability.tif``, the probability of glacier (float32, 0 to 1).
        smoothing: Side in pixels of a median filter over the classes, odd; 0 for none. With one,
            outlines are straightened by up to a pixel too.
        min_area_km2: Leave out smaller outlines; by default those under the least area of an
            inventory's glacier. The rasters keep them.
        vector_format: Of outlines and confidence bands: ``'gpkg'``, ``'parquet'``, ``'shp'`` or
            ``'geojson'``.
        overwrite: Replace another map in the folder, and remove unfinished ones.
        progress: Show a progress bar, and what comes after it.

    Raises:
        InputError: If a value cannot be used, whatever the scene and the model.
    """

    scales: Annotated[
        Mapping[str, tuple[float, float]] | None,
        Option(
            Section.VALUES,
            "make physical values of stored ones as value x SCALE + OFFSET, such as "
            "optical=0.0001,-0.1; may be repeated",
            flag="--scale",
            arguments={"action": "append", "metavar": "GROUP=SCALE[,OFFSET]"},
        ),
    ] = None
    nodata: Annotated[
        Mapping[str, float | None] | None,
        Option(
            Section.VALUES,
            "stored value that means missing, such as dem=-9999, or 'none' if none does; in the "
            "place of what the files say; may be repeated",
            arguments={"action": "append", "metavar": "GROUP=VALUE"},
        ),
    ] = None
    decibels: Annotated[bool, Option(Section.VALUES, "sigma0 is in decibels")] = False
    slope_percent: Annotated[bool, Option(Section.VALUES, "slope is in percent")] = False
    crs: Annotated[
        str | None,
        Option(
            Section.PLACE,
            "coordinates of the map, such as EPSG:32645",
            Decides.GRID,
            arguments={"metavar": "CRS"},
        ),
    ] = None
    resolution: Annotated[
        float | None,
        Option(
            Section.PLACE,
            "size of its pixels, in units of the CRS",
            Decides.GRID,
            arguments={"type": float, "metavar": "SIZE"},
        ),
    ] = None
    bounds: Annotated[
        Sequence[float] | None,
        Option(
            Section.PLACE,
            "map this rectangle alone, in units of the CRS",
            Decides.GRID,
            arguments={
                "nargs": 4,
                "type": float,
                "metavar": ("LEFT", "BOTTOM", "RIGHT", "TOP"),
            },
            one_of="area",
        ),
    ] = None
    aoi: Annotated[
        str | PathLike[str] | None,
        Option(
            Section.PLACE,
            "map the rectangle around these polygons, of any CRS",
            Decides.GRID,
            arguments={"metavar": "FILE"},
            one_of="area",
        ),
    ] = None
    layer: Annotated[
        str | None,
        Option(
            Section.PLACE,
            "layer of the --aoi, in a file of which several layers hold polygons",
            Decides.GRID,
            arguments={"metavar": "NAME"},
        ),
    ] = None
    region: Annotated[
        str | None,
        Option(
            Section.PLACE,
            "region of the scene, such as HMA, for models with region encoding and those "
            "calibrated per region",
            arguments={"metavar": "CODE"},
        ),
    ] = None
    optimise_region: Annotated[
        bool,
        Option(
            Section.PLACE,
            "for models with region encoding and a place of unknown region: look for the region "
            "vector with which the model is surest of the scene, as published; slow without a GPU",
        ),
    ] = False
    batch_size: Annotated[
        int | None,
        Option(
            Section.PREDICTION,
            "windows predicted at once (1 on the CPU, else 4)",
            arguments={"type": int, "metavar": "N"},
        ),
    ] = None
    overlap: Annotated[
        float,
        Option(
            Section.PREDICTION,
            "part of a window that it shares with the next: 0 is four times as quick as 0.5, and "
            "0.75 takes four times as long and is smoother (0.5, as published)",
            arguments={"type": float, "metavar": "PART"},
        ),
    ] = 0.5
    probability: Annotated[
        bool,
        Option(Section.RESULTS, "also write probability.tif, the probability of glacier"),
    ] = False
    smoothing: Annotated[
        int,
        Option(
            Section.RESULTS,
            "smooth the classes by a median over squares of this side, an odd number, and "
            "straighten the outlines by up to a pixel (0, none)",
            arguments={"type": int, "metavar": "PIXELS"},
        ),
    ] = 0
    min_area_km2: Annotated[
        float,
        Option(
            Section.RESULTS,
            "leave out outlines smaller than this (0.01, as inventories do)",
            flag="--min-area",
            arguments={"type": float, "metavar": "KM2"},
        ),
    ] = MIN_AREA_KM2
    vector_format: Annotated[
        str,
        Option(
            Section.RESULTS,
            "of the outlines: GeoPackage (the default), GeoParquet, Shapefile or GeoJSON",
            flag="--format",
            arguments={"choices": FORMATS},
        ),
    ] = "gpkg"
    overwrite: Annotated[
        bool,
        Option(
            Section.RESULTS,
            "replace another map in DIR, and remove unfinished ones",
            Decides.NOTHING,
        ),
    ] = False
    progress: Annotated[
        bool, Option(None, "show a progress bar, and what comes after it", Decides.NOTHING)
    ] = True

    def __post_init__(self) -> None:
        """Check what can be without the scene and the model."""
        if self.batch_size is not None and self.batch_size < 1:
            raise InputError(f"batch_size is {self.batch_size}; give 1 or more")
        if self.smoothing < 0 or (self.smoothing and self.smoothing % 2 == 0):
            raise InputError(
                f"smoothing is {self.smoothing}; give the side of a square of pixels around one, "
                "an odd number such as 5, or 0 for no smoothing"
            )
        if not self.min_area_km2 >= 0:
            raise InputError(f"the smallest area is {self.min_area_km2} km2; give 0 or more")
        if self.optimise_region and self.region is not None:
            raise InputError(
                f"region {self.region!r} is given, so there is none to optimise; leave out one of "
                "the two"
            )
        if self.vector_format not in FORMATS:
            raise InputError(
                f"vector_format is {self.vector_format!r}; give one of {', '.join(FORMATS)}"
            )

    def on(self, device: "torch.device") -> "MapOptions":
        """Return the options with what depends on the device, where nobody says."""
        if self.batch_size is not None:
            return self
        return replace(self, batch_size=1 if device.type == "cpu" else 4)

    def deciding(self, what: Decides) -> dict[str, Any]:
        """Return the options that decide something, by their names."""
        return {o.name: getattr(self, o.name) for o in map_options() if o.option.decides is what}

    def facts(self, grid: "Grid") -> dict[str, Any]:
        """Return all that decides what is in a map's files, plain values.

        Args:
            grid: The map's grid.
        """
        place = {"crs": grid.crs.to_string(), "transform": grid.transform[:6], "shape": grid.shape}
        return {"grid": place, **self.deciding(Decides.CONTENTS)}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> "MapOptions":
        """Return options that decide the same but for the grid; ``facts`` may come from JSON."""
        known = {o.name for o in map_options() if o.option.decides is Decides.CONTENTS}
        given = {name: value for name, value in facts.items() if name in known}
        if given.get("scales") is not None:
            given["scales"] = {name: tuple(pair) for name, pair in given["scales"].items()}
        return cls(**given)


class MapOption(NamedTuple):
    """An option of a map.

    Attributes:
        name: Its name in Python.
        default: Its default.
        option: What else is told of it.
    """

    name: str
    default: Any
    option: Option


def map_options() -> Iterator[MapOption]:
    """List the options of a map, in the order of the command line's help."""
    hints = get_type_hints(MapOptions, include_extras=True)
    for one in fields(MapOptions):
        (option,) = hints[one.name].__metadata__
        yield MapOption(one.name, one.default, option)


def keyword_parameters() -> list[inspect.Parameter]:
    """Return the options of a map as parameters of a function's signature."""
    kinds = get_type_hints(MapOptions)
    return [
        inspect.Parameter(
            one.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=one.default,
            annotation=kinds[one.name],
        )
        for one in map_options()
    ]
