"""Tables on the terminal, alike in all commands."""

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

#: Columns where no terminal tells its width, such as in a file.
WIDTH = 100


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
        sections: Their rows, a cell for each column; no markup. There is a gap between sections.
    """
    table = Table(*columns, title=escape(title), box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for rows in sections:
        for row in rows:
            table.add_row(*map(escape, row))
        table.add_section()
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, WIDTH)
    console.print(table)
