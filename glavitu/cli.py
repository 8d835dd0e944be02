"""The command line. What a command needs is imported when it runs, so that help is quick."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TypeAlias

from glavitu import configs_cli, map_cli
from glavitu._version import __version__
from glavitu.errors import InputError

#: Commands of Lightning's, each with its own options.
LIGHTNING = {
    "fit": "train a model: glavitu fit --data.root my_data",
    "validate": "loss and IoU of a checkpoint on the validation windows",
    "test": "scores of a checkpoint per region, on whole test tiles",
    "predict": "write probability and confidence of each test tile as GeoTIFF",
}

CALIBRATE = "fit a curve that makes the confidence of a checkpoint its expected accuracy"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: Arguments, those of the process by default.

    Returns:
        The exit status: 0, or 1 where the input cannot be used or is found faulty.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments and arguments[0] in LIGHTNING:
            from glavitu.lightning_cli import run

            run(arguments)
        elif arguments and arguments[0] == "calibrate":
            from glavitu import calibrate_cli

            calibrate_cli.run(arguments[1:])
        else:
            options = _parser().parse_args(arguments or ["--help"])
            status: int | None = options.run(options)
            return status or 0
    except InputError as error:
        # Workers of a data loader put their traceback around the message.
        message = str(error).rsplit("InputError: ", 1)[-1].strip()
        print(f"glavitu: error: {message}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader has gone; what Python flushes at exit must find a place.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        print(f"glavitu: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("glavitu: interrupted", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="glavitu",
        description="Map glaciers from satellite data with GlaViTU.",
        epilog="New here? `glavitu demo` shows the whole way in under five minutes. "
        "`glavitu COMMAND --help` explains a command.",
    )
    parser.add_argument("--version", action="version", version=f"glavitu {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_demo(commands)
    for name, text in LIGHTNING.items():
        commands.add_parser(name, help=text, add_help=False)
    commands.add_parser("calibrate", help=CALIBRATE, add_help=False)
    configs_cli.add_parser(commands)
    map_cli.add_parser(commands)
    _add_compare(commands)
    _add_report(commands)
    _add_info(commands)
    _add_convert(commands)
    _add_import_keras(commands)
    return parser


Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _add_demo(commands: Commands) -> None:
    text = "write a synthetic world, train on it, test, and map a scene"
    parser = commands.add_parser(
        "demo",
        help=text,
        description=f"The whole way in a few minutes on a CPU: {text}. Nothing is downloaded.",
    )
    parser.add_argument(
        "--output", default="glavitu_demo", metavar="DIR", help="folder for all files (%(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of world and training (%(default)s)"
    )
    parser.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> None:
    from glavitu.demo import demo

    demo(options.output, options.seed)


def _add_compare(commands: Commands) -> None:
    text = "compare outlines with an inventory or with experts: areas and distances"
    parser = commands.add_parser(
        "compare",
        help=text,
        description="Compare predicted glacier outlines with reference outlines, glacier by "
        "glacier: how far the areas deviate, in percent, and how far the outlines lie apart, in "
        "metres. All files hold polygons and may have any CRS. Writes comparison.csv (a row per "
        "glacier), comparison.json (totals and settings) and comparison.png.",
        epilog="A glacier of REFERENCE that lies outside the mapped scene counts as missed, and "
        "one that the scene's edge cuts deviates: clip REFERENCE to the scene first.",
    )
    parser.add_argument(
        "predicted", metavar="PREDICTED", help="outlines to judge, such as outlines.gpkg of a map"
    )
    parser.add_argument(
        "reference", metavar="REFERENCE", help="outlines to judge by, such as those of an inventory"
    )
    parser.add_argument(
        "--experts",
        nargs="+",
        default=[],
        metavar="FILE",
        help="the same glaciers as drawn by further experts; tells how far experts differ among "
        "themselves, and whether the prediction lies within. REFERENCE counts as one expert too",
    )
    parser.add_argument(
        "--id",
        metavar="COLUMN",
        help="column that names the glacier in all files; otherwise outlines are matched by the "
        "area that they share",
    )
    parser.add_argument(
        "--output", default="comparison", metavar="DIR", help="folder for the files (%(default)s)"
    )
    parser.set_defaults(run=_compare)


def _compare(options: argparse.Namespace) -> None:
    from glavitu.compare import compare, print_summary

    result = compare(
        options.predicted,
        options.reference,
        options.output,
        experts=options.experts,
        id_column=options.id,
    )
    print_summary(result.summary)
    for path in (result.csv, result.json, result.figure):
        print(f"  {path}")


def _add_report(commands: Commands) -> None:
    text = "put the scores of tests side by side, as a page for the browser"
    parser = commands.add_parser(
        "report",
        help=text,
        description="Write one HTML page about tests: scores of each region, subregion and tile in "
        "tables that sort, plots, the configurations, and sample predictions, the worst tiles "
        "first. The page holds all that it shows and opens without a network.",
    )
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="folder of a test, such as runs/glavitu/version_1: `glavitu test` writes report.json "
        "into it",
    )
    parser.add_argument(
        "--output", default="report.html", metavar="FILE", help="page to write (%(default)s)"
    )
    parser.set_defaults(run=_report)


def _report(options: argparse.Namespace) -> None:
    from glavitu.report import write_report

    print(write_report(options.runs, options.output))


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
    parser.set_defaults(run=_info)


def _info(options: argparse.Namespace) -> int:
    from glavitu.datasets.inventory import examine, inventory, print_summary, summary

    if not options.check:
        print_summary(summary(inventory(options.path)), options.path)
        return 0
    tiles, faults, examined = examine(options.path)
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
    from glavitu.datasets.convert import convert

    written, skipped = convert(options.source, options.output)
    there = f", {skipped} were there already" if skipped else ""
    print(f"{options.output}: {_number(written, 'tile')} written{there}")


def _number(count: int, noun: str) -> str:
    """Count things in words: no fault, 1 fault, 2 faults."""
    return f"{count or 'no'} {noun}{'' if count in (0, 1) else 's'}"


def _add_import_keras(commands: Commands) -> None:
    text = "turn published Keras weights into a checkpoint"
    parser = commands.add_parser(
        "import-keras",
        help=text,
        description="Turn Keras weights of the published GlaViTU into a checkpoint that test, map "
        "and finetuning accept. Location encoding and number of classes are read from the file.",
    )
    parser.add_argument("weights", metavar="WEIGHTS.h5", help="file that Keras' save_weights wrote")
    parser.add_argument(
        "--features",
        nargs="+",
        required=True,
        metavar="GROUP",
        help="feature groups in the order of the training, such as: optical dem",
    )
    parser.add_argument("--output", required=True, metavar="CKPT", help="checkpoint to write")
    parser.set_defaults(run=_import_keras)


def _import_keras(options: argparse.Namespace) -> None:
    from glavitu.tasks import import_keras

    task = import_keras(options.weights, options.features, options.output)
    weights = sum(parameter.numel() for parameter in task.model.parameters())
    print(
        f"{options.output}: {weights:,} trainable weights, features "
        f"{', '.join(options.features)}, {task.num_classes} classes, location "
        f"{task.location or 'none'}"
    )
