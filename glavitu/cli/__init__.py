"""The command line. What a command needs is imported when it runs, so that help is quick."""

import argparse
import io
import os
import sys
from collections.abc import Sequence

from glavitu._version import __version__
from glavitu.cli import compare, configs, data, import_keras, map, report
from glavitu.cli.parsers import Commands, Parser, did_you_mean, end, rename_options
from glavitu.cli.values import for_data
from glavitu.errors import InputError
from glavitu.files.strangers import check_text

#: Commands of Lightning's, each with its own options.
LIGHTNING = {
    "fit": "train a model: glavitu fit --data.root my_data",
    "validate": "loss and IoU of a checkpoint on the validation windows",
    "test": "scores of a checkpoint per region, on whole test tiles",
    "predict": "write probability and confidence of each test tile as GeoTIFF",
}

#: The commands by what one is about to do, as `glavitu --help` shows them.
GROUPS = {
    "see how it works": ("demo",),
    "get data, and know them": ("info", "convert"),
    "train, test and calibrate": (
        *("configs", "fit", "validate", "test", "predict", "calibrate", "import-keras"),
    ),
    "map": ("map",),
    "make an inventory": ("compare",),
    "share what was found": ("report",),
}

CALIBRATE = "fit a curve that makes the confidence of a checkpoint its expected accuracy"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: Arguments, those of the process by default.

    Returns:
        The exit status: 0, 1 where the input cannot be used or is found faulty, or 128 and the
        number of the signal that ended the command.
    """
    for stream in (sys.stdout, sys.stderr):
        # A name that is no UTF-8 is shown, and ends nothing.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    arguments = rename_options(sys.argv[1:] if argv is None else argv)
    try:
        for argument in arguments:
            check_text(argument)
        if arguments and arguments[0] in (*LIGHTNING, "calibrate"):
            arguments = [arguments[0], *for_data(arguments[1:])]
        if arguments and arguments[0] in LIGHTNING:
            from glavitu.cli.lightning import run

            return run(arguments)
        elif arguments and arguments[0] == "calibrate":
            from glavitu.cli import calibrate

            calibrate.run(arguments[1:])
        else:
            return _run(arguments or ["--help"])
    except InputError as error:
        # Workers of a data loader put their traceback around the message.
        return _fail(str(error).rsplit("InputError: ", 1)[-1])
    except BrokenPipeError:
        # The reader has gone; what Python flushes at exit must find a place.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        return _fail(str(error))
    except MemoryError as error:
        return _fail(f"there is too little memory on this machine ({error or 'MemoryError'})")
    except Exception as error:
        from glavitu.cli.restoring import checkpoint_of

        # What Lightning restores of a checkpoint fails in any way where the file is damaged.
        if (path := checkpoint_of(error)) is None:
            raise
        return _fail(f"{path}: cannot be gone on with; it is damaged, give another ({error!r})")
    except KeyboardInterrupt:
        print("glavitu: interrupted", file=sys.stderr)
        return 130
    return 0


def _fail(message: str) -> int:
    """Say on a line of its own what is wrong, and return the exit status."""
    from glavitu.terminal import printable

    bars = getattr(getattr(sys.modules.get("tqdm"), "tqdm", None), "_instances", ())
    if len(bars):  # one that was cut short has left its line open
        print(file=sys.stderr)
    print(f"glavitu: error: {printable(' '.join(message.split()))}", file=sys.stderr)
    return 1


def _run(arguments: list[str]) -> int:
    """Run a command whose options argparse understands."""
    parser = MainParser()
    command = arguments[0]
    if not command.startswith("-"):
        if command not in parser.commands.choices:
            meant = did_you_mean(command, parser.commands.choices)
            end(f"there is no command {command!r}{meant}", "glavitu")
        parser.commands.choices[command].check_options(arguments[1:])
    options = parser.parse_args(arguments)
    status: int | None = options.run(options)
    return status or 0


class MainParser(Parser):
    """The parser of `glavitu` itself, whose help has the commands in groups.

    Attributes:
        commands: All commands.
    """

    commands: Commands

    def __init__(self) -> None:
        super().__init__(
            prog="glavitu",
            description="Map glaciers from satellite data with GlaViTU.",
            epilog="New here? `glavitu demo` shows the whole way in under five minutes. "
            "`glavitu COMMAND --help` explains a command.",
        )
        self.add_argument("--version", action="version", version=f"glavitu {__version__}")
        self.commands = self.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
        _add_demo(self.commands)
        for name, text in LIGHTNING.items():
            self.commands.add_parser(name, help=text, add_help=False)
        self.commands.add_parser("calibrate", help=CALIBRATE, add_help=False)
        configs.add_parser(self.commands)
        map.add_parser(self.commands)
        compare.add_parser(self.commands)
        report.add_parser(self.commands)
        data.add_parsers(self.commands)
        import_keras.add_parser(self.commands)

    def format_help(self) -> str:
        """Return the help, with a section for each group of commands."""
        formatter = self._get_formatter()
        formatter.add_usage(self.usage, self._actions, self._mutually_exclusive_groups)
        formatter.add_text(self.description)
        explained = {action.dest: action for action in self.commands._get_subactions()}
        for title, names in GROUPS.items():
            formatter.start_section(title)
            formatter.add_arguments([explained[name] for name in names])
            formatter.end_section()
        formatter.start_section("options")
        formatter.add_arguments([action for action in self._actions if action.option_strings])
        formatter.end_section()
        formatter.add_text(self.epilog)
        return formatter.format_help()


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
