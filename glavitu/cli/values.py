"""Options that say what the numbers in rasters are, the same in every command that reads them."""

import argparse
import json
from collections.abc import Sequence
from typing import Any

from glavitu.errors import InputError
from glavitu.mapping.options import Section, map_options

#: What each option does, as `map` tells.
HELP = {option.name: option.option.help for option in map_options()}


def add_value_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to a command's parser.

    Args:
        parser: The parser.
    """
    group = parser.add_argument_group(*Section.VALUES.value)
    group.add_argument(
        "--scale",
        dest="scales",
        action="append",
        default=[],
        metavar="GROUP=SCALE[,OFFSET]",
        help=HELP["scales"],
    )
    group.add_argument(
        "--nodata", action="append", default=[], metavar="GROUP=VALUE", help=HELP["nodata"]
    )
    group.add_argument("--decibels", action="store_true", help=HELP["decibels"])
    group.add_argument("--slope-percent", action="store_true", help=HELP["slope_percent"])


def read_scales(given: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Understand GROUP=SCALE[,OFFSET].

    Args:
        given: What the option was given, each time.

    Raises:
        InputError: If it is something else.
    """
    scales = {}
    for text in given:
        group, _, numbers = text.partition("=")
        scale, _, offset = numbers.partition(",")
        try:
            if not group:
                raise ValueError
            scales[group] = float(scale), float(offset or 0)
        except ValueError:
            raise InputError(
                f"--scale {text!r}: expected GROUP=SCALE or GROUP=SCALE,OFFSET, such as "
                "optical=0.0001,-0.1"
            ) from None
    return scales


def read_nodata(given: Sequence[str]) -> dict[str, float | None]:
    """Understand GROUP=VALUE, where the value may be none.

    Args:
        given: What the option was given, each time.

    Raises:
        InputError: If it is something else.
    """
    values: dict[str, float | None] = {}
    for text in given:
        group, _, value = text.partition("=")
        try:
            if not group:
                raise ValueError
            values[group] = None if value.strip().lower() == "none" else float(value)
        except ValueError:
            raise InputError(
                f"--nodata {text!r}: expected GROUP=VALUE, such as dem=-9999, or GROUP=none"
            ) from None
    return values


def for_data(arguments: Sequence[str]) -> list[str]:
    """Say the options in the words of Lightning's commands, where they belong to the data.

    Args:
        arguments: A command line.

    Returns:
        The same with ``--data.scales`` and its like.

    Raises:
        InputError: If a value cannot be understood.
    """
    kept: list[str] = []
    given: dict[str, list[str]] = {"--scale": [], "--nodata": []}
    left = iter(arguments)
    for argument in left:
        option, equals, value = argument.partition("=")
        if option in given and option == argument:
            given[option].append(next(left, ""))
        elif option in given and equals:
            given[option].append(value)
        elif argument in ("--decibels", "--slope-percent"):
            kept.append(f"--data.{argument[2:].replace('-', '_')}=true")
        else:
            kept.append(argument)
    read: dict[str, Any] = {
        "scales": read_scales(given["--scale"]),
        "nodata": read_nodata(given["--nodata"]),
    }
    return kept + [f"--data.{name}={json.dumps(value)}" for name, value in read.items() if value]
