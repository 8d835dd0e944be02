"""The command `configs`: what configurations come with glavitu, and copies of them to change."""

import argparse
import shutil
from pathlib import Path
from typing import Any

from glavitu.cli.shipped import shipped_files
from glavitu.errors import InputError
from glavitu.files import when_complete

TEXT = "list the configurations and sweeps that come with glavitu, or copy one to change it"

DESCRIPTION = (
    "Without NAME, list the configurations (configs/) and the W&B sweeps (sweeps/) that come with "
    "glavitu. `glavitu fit --config NAME` takes a configuration by its name from any folder; a "
    "file of that name in the current folder comes first. With NAME, print that file; with "
    "--output, copy it to change it, or to hand a sweep to `wandb sweep`."
)

EPILOG = (
    "For example, `glavitu configs configs/everest.yaml --output .` copies it as everest.yaml; "
    "change that file and train with `glavitu fit --config everest.yaml --data.root ROOT`."
)


def add_parser(commands: Any) -> None:
    """Add the command to a parser.

    Args:
        commands: What ``add_subparsers`` of an ``argparse.ArgumentParser`` gave.
    """
    parser = commands.add_parser("configs", help=TEXT, description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("name", nargs="?", metavar="NAME", help="one of those listed")
    parser.add_argument(
        "--output",
        metavar="DIR",
        help="folder to copy it to, made if missing; a file that is there is not overwritten",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Run the command.

    Args:
        options: What the parser made of the command line.

    Raises:
        InputError: If there is no file of that name, or the copy would overwrite one.
    """
    files = shipped_files()
    if options.name is None:
        if options.output is not None:
            raise InputError("--output: name the file to copy; `glavitu configs` lists them")
        width = max(map(len, files))
        for name, path in files.items():
            print(f"{name:<{width}}  {_summary(path)}")
        return
    name = Path(options.name).as_posix()
    if name not in files:
        raise InputError(f"{name}: does not come with glavitu; there is {', '.join(files)}")
    if options.output is None:
        print(_text(files[name]), end="")
        return
    copy = _copy(files[name], Path(options.output))
    use = "wandb sweep" if name.startswith("sweeps") else "glavitu fit --config"
    print(f"{copy}\nNext: change it, then {use} {copy}")


def _copy(path: Path, folder: Path) -> Path:
    copy = folder / path.name
    if copy.exists():
        raise InputError(f"{copy}: is there already, and stays; choose another folder")
    with when_complete(copy) as partial:
        shutil.copyfile(path, partial)
    return copy


def _summary(path: Path) -> str:
    """Return a file's first line, which says what it is for."""
    return _text(path).partition("\n")[0].removeprefix("# ")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
