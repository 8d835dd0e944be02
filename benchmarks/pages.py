"""The pages of docs/ whose tables are made from results.

A table stands between the marks ``<!-- NAME -->`` and ``<!-- end -->`` of its page; what is
outside of them is written by hand.
"""

import argparse
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

Tables = Mapping[str, Callable[[], str]]


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Make a table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def filled(text: str, tables: Tables) -> str:
    """Put tables between their marks.

    Args:
        text: The page.
        tables: What makes each table, by the name of its mark.

    Returns:
        The page with all tables made anew.

    Raises:
        SystemExit: If the page does not have the marks of these tables, each once and ended.
    """
    parts = re.split(r"<!-- (\w+) -->\n.*?\n<!-- end -->", text, flags=re.DOTALL)
    names = parts[1::2]
    if sorted(names) != sorted(tables) or any("<!-- " in part for part in parts[::2]):
        raise SystemExit(f"the page has the marks {names}, the tables are {list(tables)}")
    parts[1::2] = [f"<!-- {name} -->\n{tables[name]()}\n<!-- end -->" for name in names]
    return "".join(parts)


def main(page: Path, tables: Tables, command: str, draw: Callable[[], None] | None = None) -> None:
    """Write a page, or say whether it is as it would be written.

    Args:
        page: The page.
        tables: What makes each table, by the name of its mark.
        command: The module that is run, for its help.
        draw: What draws the page's figures from the same results.
    """
    name = f"docs/{page.name}"
    parser = argparse.ArgumentParser(description=f"Writes the tables of {name} from the results.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if it is old")
    options = parser.parse_args()
    text = page.read_text()
    made = filled(text, tables)
    if not options.check:
        if draw is not None:
            draw()
        page.write_text(made)
    elif text != made:
        raise SystemExit(f"{name} is old; run python -m {command}")
