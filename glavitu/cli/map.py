"""The command `map`: the glaciers of a scene, from rasters to outlines."""

import argparse
from collections.abc import Mapping
from typing import Any

from glavitu.cli.values import read_nodata, read_scales
from glavitu.errors import InputError
from glavitu.files.strangers import check_name
from glavitu.mapping.options import Section, map_options

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
    "dem": ("dem", "elevation in metres; a second band may give the slope in degrees"),
    "slope": ("slope", "slope in degrees; computed from the elevation where not given"),
    "co-pol-sar": ("co_pol_sar", "sigma0 (linear), co-polarised: ascending, descending"),
    "cross-pol-sar": ("cross_pol_sar", "sigma0 (linear), cross-polarised: ascending, descending"),
    "in-sar": ("in_sar", "interferometric coherence: ascending, descending"),
    "thermal": ("thermal", "brightness temperature in kelvin"),
}


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
    groups = {section: parser.add_argument_group(*section.value) for section in Section}
    _add_model(groups[Section.PREDICTION])
    _add_map_options(groups)
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

    check_name(options.output)
    files = _files(options)
    device = choose_device(options.device)
    own = read_model(vars(options).get("model"))
    task = GlaViTUTask.from_checkpoint(options.checkpoint, options.inference, own).to(device)
    given = {o.name: getattr(options, o.name) for o in map_options() if hasattr(options, o.name)}
    if "scales" in given:
        given["scales"] = read_scales(given["scales"])
    if "nodata" in given:
        given["nodata"] = read_nodata(given["nodata"])
    result = map_scene(task, files, options.output, **given)
    plural = "" if result.glaciers == 1 else "s"
    smaller = result.smaller_left_out
    rest = f"; {smaller:,} under {result.options.min_area_km2:g} km2 left out" if smaller else ""
    print(f"{result.glaciers} glacier outline{plural}, {result.area_km2:.2f} km2{rest}")
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


def _add_model(group: Any) -> None:
    """Add what is an option of the model rather than of the map."""
    group.add_argument(
        "--device",
        default="auto",
        metavar="DEVICE",
        help="cpu, cuda, cuda:N or mps; auto takes a GPU where there is one (%(default)s)",
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


def _add_map_options(groups: Mapping[Section, Any]) -> None:
    """Add the keywords of ``map_scene``, each under its heading."""
    exclusive: dict[str, Any] = {}
    for name, default, option in map_options():
        if option.section is None:
            continue
        group = groups[option.section]
        if option.one_of:
            if option.one_of not in exclusive:
                exclusive[option.one_of] = group.add_mutually_exclusive_group()
            group = exclusive[option.one_of]
        switch = {"action": "store_true", "default": argparse.SUPPRESS} if default is False else {}
        flag = option.flag or f"--{name.replace('_', '-')}"
        group.add_argument(flag, dest=name, help=option.help, **switch, **option.arguments)


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
