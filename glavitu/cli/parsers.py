"""What the commands share: names of options, errors in a line, and what may have been meant."""

import argparse
import os
import re
import sys
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn, TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"

#: Other names of options, which are understood, and what they are called here.
OTHER_NAMES = {"--ckpt_path": "--checkpoint", "--elevation": "--dem"}

#: What others call options whose names here are not alike, by the last part of their names.
SYNONYMS = {"learning_rate": "lr", "epochs": "max_epochs", "workers": "num_workers"}

#: Longest message of jsonargparse that is shown whole.
SHOWN_LINES = 6

#: How messages of argparse, jsonargparse and Lightning name an option or key that is unknown.
UNKNOWN = re.compile(r"(?:[Uu]nrecognized arguments:|[Oo]ption|[Kk]ey) ['\"]?([-\w.]+)")

#: What is a value, though it starts with a dash.
NEGATIVE_NUMBER = re.compile(r"-(\d+\.?\d*|\.\d+)(e[-+]?\d+)?(,.*)?$|-(inf|nan)$", re.IGNORECASE)


class Parser(argparse.ArgumentParser):
    """Says what is wrong in a line, without the usage, and what may have been meant."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        take_negative_numbers(self)

    def error(self, message: str) -> NoReturn:
        """End with a message.

        Args:
            message: What is wrong.
        """
        end(message, self.prog)

    def check_options(self, arguments: Iterable[str]) -> None:
        """End if an option is unknown: before one that is missing because of it is asked for.

        Args:
            arguments: What the command is given.
        """
        known = self._option_string_actions
        for argument in arguments:
            option = argument.partition("=")[0]
            if argument == "--":
                break
            if not option.startswith("--") or option in known:
                continue
            if not (self.allow_abbrev and any(name.startswith(option) for name in known)):
                self.error(f"there is no option {option}{did_you_mean(option, known)}")


def take_negative_numbers(parser: argparse.ArgumentParser) -> None:
    """Let a parser know every negative number as one: argparse takes -2.4e6 for an option.

    Args:
        parser: The parser.
    """
    parser._negative_number_matcher = NEGATIVE_NUMBER


def end(message: str, command: str) -> NoReturn:
    """End the process with status 2 and a message.

    Args:
        message: What is wrong with the command line.
        command: Whose help lists what is right, such as ``glavitu map``.
    """
    message = _in_a_line(message)
    message += " " if message.endswith("?") else "; "
    print(f"glavitu: error: {message}`{command} --help` lists all options", file=sys.stderr)
    raise SystemExit(2)


def _in_a_line(message: str) -> str:
    """Bring a message of jsonargparse to a line: what it found, without all that it would take."""
    lines = message.splitlines()
    found = [line for line in lines if line.lstrip().startswith("Given value:")]
    if len(lines) > SHOWN_LINES and found:
        lines = [lines[0], "cannot take this value.", found[-1]]
    return " ".join(" ".join(lines).split())


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Say what may have been meant by a name that is unknown.

    Args:
        given: The name.
        known: All names. Where they have parts, such as ``--data.root``, the last part is enough.

    Returns:
        Such as ``"; did you mean --data.root?"``; empty where nothing is alike, or the name is
        known and something else is wrong.
    """
    names = {_plain(name): name for name in known}
    lasts = {_plain(name).rpartition(".")[2]: name for name in reversed(names.values())}
    whole = _plain(given)
    last = whole.rpartition(".")[2]
    if given in names.values():
        return ""
    if SYNONYMS.get(last) in lasts:
        return f"; did you mean {lasts[SYNONYMS[last]]}?"
    for wanted, among, cutoff in ((whole, names, 0.75), (last, lasts, 0.75), (whole, names, 0.6)):
        if near := get_close_matches(wanted, among, n=1, cutoff=cutoff):
            return f"; did you mean {among[near[0]]}?"
    return ""


def explain_unknown(message: str, parser: argparse.ArgumentParser) -> str:
    """Add what may have been meant to a message of jsonargparse about an unknown option or key.

    Args:
        message: The message.
        parser: The parser that knows the options, its own and those of its subcommands.
    """
    found = UNKNOWN.search(message)
    if found is None:
        return message
    known = dict.fromkeys(_options(parser))
    given = found[1]
    if given.startswith("--"):
        return message + did_you_mean(given, known)
    return message + did_you_mean(given, [name.removeprefix("--") for name in known])


def rename_options(arguments: Sequence[str]) -> list[str]:
    """Understand other names of options; the first of several processes says which is ours.

    Args:
        arguments: A command line.

    Returns:
        The same in the names that are used here.
    """
    renamed = []
    for argument in arguments:
        option, equals, value = argument.partition("=")
        name = OTHER_NAMES.get(option, option)
        if name != option and os.environ.get("LOCAL_RANK", "0") == "0":
            say_renamed(option, name)
        renamed.append(name + equals + value)
    return renamed


def say_renamed(given: str, name: str) -> None:
    """Say that an option or key has another name here.

    Args:
        given: The name that was given.
        name: Ours.
    """
    print(f"glavitu: {given} is understood, and called {name} here", file=sys.stderr)


def _options(parser: Any) -> Iterable[str]:
    for name, action in parser._option_string_actions.items():
        if name.startswith("--") and action.help != argparse.SUPPRESS:
            yield name
    subcommands = getattr(parser, "_subcommands_action", None)
    for subparser in (subcommands.choices or {}).values() if subcommands else ():
        yield from _options(subparser)


def _plain(name: str) -> str:
    return name.lstrip("-").replace("-", "_")
