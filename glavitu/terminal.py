"""Tables on the terminal, alike in all commands; and names of others' as text that is harmless."""

import unicodedata
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

#: Columns where no terminal tells its width, such as in a file.
WIDTH = 100

#: Categories of characters that move a cursor, turn the direction of text, or are none.
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")


def printable(text: str) -> str:
    """Return a text in which control characters, and bytes that are no UTF-8, are spelled out.

    Args:
        text: Such as the name of a tile, which may come from anybody.
    """
    if text.isprintable():
        return text
    return "".join(
        # What is spelled out by its byte was no UTF-8 in the name of a file.
        f"\\x{ord(c) - 0xDC00:02x}"
        if "\udc80" <= c <= "\udcff"
        else c.encode("unicode_escape").decode()
        if unicodedata.category(c) in _UNSEEN
        else c
        for c in text
    )


def numeric(name: str, max_width: int | None = None) -> Column:
    """Make a column of numbers, which end at its right.

    Args:
        name: Its header.
        max_width: Characters, beyond which the header goes on in a line below.
    """
    return Column(name, justify="right", max_width=max_width)


def print_table(title: str, columns: Sequence[Column], *sections: Iterable[Sequence[str]]) -> None:
    """Print a table.

    Args:
        title: What stands above it.
        columns: Its columns, text where they say nothing else.
        sections: Their rows, a cell for each column, as it is. There is a gap between sections.
    """
    table = Table(*columns, title=Text(printable(title)), box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for rows in sections:
        for row in rows:
            table.add_row(*(Text(printable(cell)) for cell in row))
        table.add_section()
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, WIDTH)
    console.print(table)
