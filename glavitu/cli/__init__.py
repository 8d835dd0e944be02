"""The command line. What a command needs is imported when it runs, so that help is quick."""

import argparse
import os
import sys
from collections.abc import Sequence

from glavitu._version import __version__
from glavitu.cli import compare, configs, data, import_keras, map, report
from glavitu.cli.parsers import Commands
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
            from glavitu.cli.lightning import run

            run(arguments)
        elif arguments and arguments[0] == "calibrate":
            from glavitu.cli import calibrate

            calibrate.run(arguments[1:])
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
    configs.add_parser(commands)
    map.add_parser(commands)
    compare.add_parser(commands)
    report.add_parser(commands)
    data.add_parsers(commands)
    import_keras.add_parser(commands)
    return parser


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
    from glavitu.cli.demo import demo

    demo(options.output, options.seed)
