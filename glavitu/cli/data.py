"""The commands `info` and `convert`: what there is in a folder of data."""

import argparse

from glavitu.cli.parsers import Commands
from glavitu.cli.values import add_value_options, read_nodata, read_scales


def add_parsers(commands: Commands) -> None:
    """Add the commands to a parser."""
    _add_info(commands)
    _add_convert(commands)


def _add_info(commands: Commands) -> None:
    text = "tell what is in the benchmark or in your own tiles, and what is wrong with them"
    parser = commands.add_parser(
        "info",
        help=text,
        description="Show the tiles of each split and region as a table: how many, their "
        "subregions, their feature groups (with the number of tiles that have them where not all "
        "do), the share of glacier in their area, and their bounds in degrees.",
    )
    parser.add_argument(
        "path",
        metavar="PATH",
        help="a downloaded HDF5 file, the folder of these files, a folder with a subfolder of "
        "GeoTIFFs for each tile, or a manifest of scenes (CSV)",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="read everything and list every fault, each on a line; the exit status is 1 if there "
        "is one, otherwise 0",
    )
    parser.add_argument(
        "--layer",
        metavar="NAME",
        help="layer of the outlines, in files of which several layers hold polygons",
    )
    add_value_options(parser)
    parser.set_defaults(run=_info)


def _info(options: argparse.Namespace) -> int:
    from glavitu.inventory.tables import (
        examine,
        inventory,
        print_summary,
        summary,
    )

    values = {
        "scales": read_scales(options.scales),
        "nodata": read_nodata(options.nodata),
        "decibels": options.decibels,
        "slope_percent": options.slope_percent,
    }
    if not options.check:
        tiles = inventory(options.path, layer=options.layer, **values)
        print_summary(summary(tiles), options.path)
        return 0
    tiles, faults, examined = examine(options.path, layer=options.layer, **values)
    if len(tiles):
        print_summary(summary(tiles), options.path)
    if len(tiles) < examined:
        print(f"too damaged for the table: {_number(examined - len(tiles), 'tile')}")
    for fault in faults:
        print(fault)
    print(f"{_number(len(faults), 'fault')} in {_number(examined, 'tile')}")
    return 1 if faults else 0


def _add_convert(commands: Commands) -> None:
    text = "turn the benchmark's HDF5 files into GeoTIFFs"
    parser = commands.add_parser(
        "convert",
        help=text,
        description="Write each tile of the downloaded benchmark as a folder of GeoTIFFs, which "
        "QGIS, GDAL and the data option `root` read: OUT/SPLIT/TILE/GROUP.tif for each feature "
        "group, and outlines.tif (1 = glacier). No value is changed; the scale and offset of each "
        "band give physical units. Training does not need it: it reads the HDF5 files as they are. "
        "If the conversion is interrupted, or the disk is full, run the same command again: it "
        "goes on with the tiles that are missing in OUT.",
    )
    parser.add_argument(
        "source", metavar="SOURCE", help="a downloaded HDF5 file, or the folder of these files"
    )
    parser.add_argument("output", metavar="OUT", help="folder to write to; made if missing")
    parser.set_defaults(run=_convert)


def _convert(options: argparse.Namespace) -> None:
    from glavitu.inventory.convert import convert

    written, skipped = convert(options.source, options.output)
    there = f", {skipped} were there already" if skipped else ""
    print(f"{options.output}: {_number(written, 'tile')} written{there}")


def _number(count: int, noun: str) -> str:
    """Count things in words: no fault, 1 fault, 2 faults."""
    return f"{count or 'no'} {noun}{'' if count in (0, 1) else 's'}"
