"""Whether there is room for a map, asked before hours are spent on it."""

import shutil
from pathlib import Path

from glavitu.errors import InputError
from glavitu.files.memory import available_bytes
from glavitu.mapping.prediction import Layout

#: Copies of a row of windows: what is read, what is being read, and what is predicted of it.
IMAGES, PROBABILITIES = 2.5, 3

#: Of what takes fewer bytes than this on the disk nothing is asked: it is soon there, or said.
SOON = 2**30

PARTS = "map a part of it (--bounds or --aoi), or in larger pixels (--resolution)"


def check_room(output: Path, layout: Layout, channels: int, classes: int, rows: int) -> None:
    """Check that there are memory and disk for the pixels that files declare.

    Args:
        output: A folder on the disk of the map.
        layout: The scene's windows.
        channels: Of the model's input.
        classes: Of its output.
        rows: Bytes of the rows that are still to be written.

    Raises:
        InputError: If there are not.
    """
    height, width = layout.vertical.size, layout.horizontal.size
    size = f"a map of about {height:,} x {width:,} pixels"
    values = width * layout.window * (IMAGES * channels + PROBABILITIES * classes)
    needed, there = 4 * values, available_bytes()
    if needed > there:
        raise InputError(
            f"{size} takes about {needed / 2**30:.1f} GiB of memory for a row of windows, and "
            f"{there / 2**30:.1f} GiB are free; {PARTS}"
        )
    free = shutil.disk_usage(output).free
    if rows > max(free, SOON):
        raise InputError(
            f"{size} takes at least {rows / 2**30:,.1f} GiB, and {free / 2**30:,.1f} GiB are "
            f"free on the disk of {output}; {PARTS}, or choose another output"
        )
