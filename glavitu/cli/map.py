"""The command `map`: the glaciers of a scene, from rasters to outlines."""

import argparse
from typing import Any

from glavitu.errors import InputError

TEXT = "map the glaciers of a scene: outlines, confidence and a picture"

DESCRIPTION = (
    "Map the glaciers of a scene. Give a raster for each feature group that the checkpoint was "
    "trained on. Writes outlines.tif (1 = glacier, 255 = no data), confidence.tif (0 to 1, "
    "calibrated where the checkpoint is), outlines.gpkg (polygons with the attributes of an "
    "inventory), confidence_bands.gpkg (where calibrated confidence is under 0.95), preview.png, "
    "and run.json, which tells how they were made."
)

EPILOG = (
    "Whatever stops it, a full disk or a power cut too: run the same command again and it goes on "
    "where it stopped."
)

#: Options that take rasters, and the feature groups that these are of.
RASTERS = {
    "optical": ("optical", "top-of-atmosphere reflectance: blue, green, red, nir, swir1, swir2"),
    "elevation": ("dem", "elevation in metres; a second band may give the slope in degrees"),
    "slope": ("slope", "slope in degrees; computed from the elevation where not given"),
    "co-pol-sar": ("co_pol_sar", "sigma0 (linear), co-polarised: ascending, descending"),
    "cross-pol-sar": ("cross_pol_sar", "sigma0 (linear), cross-polarised: ascending, descending"),
    "in-sar": ("in_sar", "interferometric coherence: ascending, descending"),
    "thermal": ("thermal", "brightness temperature in kelvin"),
}

#: Formats of the vector files.
FORMATS = ("gpkg", "parquet", "shp", "geojson")

#: Options that are arguments of ``map_scene`` of the same name, passed on where they are given.
PASSED = (
    *(
        "region",
        "optimise_region",
        "batch_size",
        "overlap",
        "probability",
        "smoothing",
        "overwrite",
    ),
    *("crs", "resolution", "bounds", "aoi", "scales", "decibels", "slope_percent"),
    *("min_area_km2", "vector_format"),
)


def add_parser(commands: Any) -> None:
    """Add the command to a parser.

    Args:
        commands: What ``add_subparsers`` of an ``argparse.ArgumentParser`` gave.
    """
    parser = commands.add_parser(
        "map",
        help=TEXT,
        description=DESCRIPTION,
        epilog=EPILOG,
        # An option that is not given is no argument of map_scene, which has defaults of its own.
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--checkpoint",
        required=True,
        metavar="CKPT",
        help="trained model, from `glavitu fit` or `glavitu import-keras`",
    )
    parser.add_argument(
        "--model",
        metavar="CONFIG",
        help="configuration of its run (config.yaml), where the model is a class of your own",
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for the map")
    _add_rasters(parser)
    _add_values(parser)
    _add_grid(parser)
    _add_prediction(parser)
    _add_results(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Run the command.

    Args:
        options: What the parser made of the command line.

    Raises:
        InputError: If an option, a raster or the checkpoint cannot be used.
    """
    from glavitu.cli.own_model import read_model
    from glavitu.mapping import map_scene
    from glavitu.mapping.devices import choose_device
    from glavitu.tasks import GlaViTUTask

    files = _files(options)
    device = choose_device(options.device)
    own = read_model(vars(options).get("model"))
    task = GlaViTUTask.from_checkpoint(options.checkpoint, options.inference, own).to(device)
    given = {key: value for key, value in vars(options).items() if key in PASSED}
    if "scales" in given:
        given["scales"] = dict(map(_scale, given["scales"]))
    result = map_scene(task, files, options.output, **given)
    plural = "" if result.glaciers == 1 else "s"
    print(f"{result.glaciers} glacier outline{plural}, {result.area_km2:.2f} km2")
    paths = [result.outlines, result.confidence_bands, result.classes, result.confidence]
    for path in filter(None, [*paths, result.probability, result.preview, result.run]):
        print(f"  {path}")


def _add_rasters(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "rasters",
        "GeoTIFF or what else GDAL reads: one file, several that are parts of one, or a "
        "folder of them.",
    )
    for option, (_, text) in RASTERS.items():
        group.add_argument(f"--{option}", nargs="+", metavar="FILE", help=text)
    group.add_argument(
        "--feature",
        nargs="+",
        action="append",
        default=[],
        metavar=("NAME=FILE", "FILE"),
        help="rasters of a feature group of your own; may be repeated",
    )


def _add_values(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "values", "What the numbers in the rasters are, where the files do not tell."
    )
    group.add_argument(
        "--scale",
        dest="scales",
        action="append",
        metavar="GROUP=SCALE[,OFFSET]",
        help="make physical values of stored ones as value x SCALE + OFFSET, such as "
        "optical=0.0001,-0.1; may be repeated",
    )
    _add_switch(group, "--decibels", "sigma0 is in decibels")
    _add_switch(group, "--slope-percent", "slope is in percent")


def _add_grid(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "place and pixels", "By default the map has the pixels of the optical raster."
    )
    group.add_argument("--crs", metavar="CRS", help="coordinates of the map, such as EPSG:32645")
    group.add_argument(
        "--resolution", type=float, metavar="SIZE", help="size of its pixels, in units of the CRS"
    )
    area = group.add_mutually_exclusive_group()
    area.add_argument(
        "--bounds",
        nargs=4,
        type=float,
        metavar=("LEFT", "BOTTOM", "RIGHT", "TOP"),
        help="map this rectangle alone, in units of the CRS",
    )
    area.add_argument(
        "--aoi", metavar="FILE", help="map the rectangle around these polygons, of any CRS"
    )
    group.add_argument(
        "--region",
        metavar="CODE",
        help="region of the scene, such as HMA, for models with region encoding and those "
        "calibrated per region",
    )
    _add_switch(
        group,
        "--optimise-region",
        "for models with region encoding and a place of unknown region: look for the region vector "
        "with which the model is surest of the scene, as published; slow without a GPU",
    )


def _add_prediction(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("prediction")
    group.add_argument(
        "--device",
        default="auto",
        metavar="DEVICE",
        help="cpu, cuda, cuda:N or mps; auto takes a GPU where there is one (%(default)s)",
    )
    group.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help="windows predicted at once (1 on the CPU, else 4)",
    )
    group.add_argument(
        "--overlap",
        type=float,
        metavar="PART",
        help="part of a window that it shares with the next: 0 is four times as quick as 0.5, and "
        "0.75 takes four times as long and is smoother (0.5, as published)",
    )
    group.add_argument(
        "--inference",
        nargs="+",
        default=[],
        metavar="HOW",
        help="map the mean of several predictions: 'tta' sees each window in the 8 symmetries of "
        "the square (8 times the time); 'mc-dropout:N' predicts N times with dropout on (N times; "
        "10 where :N is left out); further checkpoints make an ensemble with the first (as many "
        "times as there are checkpoints). Several of these multiply",
    )


def _add_results(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("results")
    group.add_argument(
        "--smoothing",
        type=int,
        metavar="PIXELS",
        help="smooth the classes by a median over squares of this side, an odd number, and "
        "straighten the outlines by up to a pixel (0, none)",
    )
    group.add_argument(
        "--min-area",
        dest="min_area_km2",
        type=float,
        metavar="KM2",
        help="leave out outlines smaller than this",
    )
    _add_switch(group, "--probability", "also write probability.tif, the probability of glacier")
    group.add_argument(
        "--format",
        dest="vector_format",
        choices=FORMATS,
        help="of the outlines: GeoPackage (the default), GeoParquet, Shapefile or GeoJSON",
    )
    _add_switch(group, "--overwrite", "replace another map in DIR, and remove unfinished ones")


def _add_switch(group: Any, option: str, text: str) -> None:
    group.add_argument(option, action="store_true", default=argparse.SUPPRESS, help=text)


def _files(options: argparse.Namespace) -> dict[str, Any]:
    """Return the rasters of each feature group: a path, or several."""
    files: dict[str, list[str]] = {}
    for option, (group, _) in RASTERS.items():
        paths = getattr(options, option.replace("-", "_"), None)
        if paths is not None:
            files[group] = paths
    for feature, *others in options.feature:
        name, equals, path = feature.partition("=")
        if not (name and equals and path):
            raise InputError(f"--feature {feature!r}: expected NAME=FILE, such as rgb=scene.tif")
        if name in files:
            raise InputError(f"--feature {feature!r}: {name!r} is given twice; give it once")
        files[name] = [path, *others]
    return {name: paths[0] if len(paths) == 1 else paths for name, paths in files.items()}


def _scale(given: str) -> tuple[str, tuple[float, float]]:
    """Understand GROUP=SCALE[,OFFSET]."""
    group, _, numbers = given.partition("=")
    scale, _, offset = numbers.partition(",")
    try:
        if not group:
            raise ValueError
        return group, (float(scale), float(offset or 0))
    except ValueError:
        raise InputError(
            f"--scale {given!r}: expected GROUP=SCALE or GROUP=SCALE,OFFSET, such as "
            "optical=0.0001,-0.1"
        ) from None
