"""Rows of rasters in a file that only grows, so that what was cut off goes on where it stopped."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

#: Rows worked on at once, so that memory does not grow with the height of a scene.
STRIP_ROWS = 512


class RowStore:
    """Rows of several rasters, one after the other in one file (a context manager).

    Rows are appended from the top to the bottom, and each holds the pixels of all rasters. That
    makes a journal needless: as many rows are complete as fit into the file, and what remains of a
    row that was cut off is cut off when the file is opened again.

    Args:
        path: The file; it is made where it does not exist.
        width: Pixels in a row.
        fields: Types of the rasters' pixels by their names, in the order in which they are stored.
    """

    def __init__(self, path: Path, width: int, fields: Mapping[str, npt.DTypeLike]) -> None:
        self.path = path
        self.width = width
        self.dtype = np.dtype([(name, kind, (width,)) for name, kind in fields.items()])
        self._file = path.open("ab", buffering=0)
        self._file.truncate(self.rows * self.row_bytes)

    def __enter__(self) -> "RowStore":
        """Return the store itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._file.close()

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of all rasters."""
        return self.dtype.itemsize

    @property
    def rows(self) -> int:
        """Number of complete rows."""
        return os.fstat(self._file.fileno()).st_size // self.row_bytes

    def append(self, fields: Mapping[str, npt.NDArray[Any]]) -> None:
        """Append rows; they are on the disk when this returns.

        Args:
            fields: Pixels (rows, width) of each raster.

        Raises:
            OSError: If they cannot be written. What was written of them stays until the file is
                opened again.
        """
        count = len(next(iter(fields.values())))
        records = np.empty(count, self.dtype)
        for name, values in fields.items():
            records[name] = values
        rest = records.view(np.uint8).data
        while rest:
            rest = rest[self._file.write(rest) :]
        os.fsync(self._file.fileno())

    def read(self, row: int, rows: int) -> npt.NDArray[Any]:
        """Read rows.

        Args:
            row: First row.
            rows: Number of rows.

        Returns:
            A structured array (rows,); its fields by name are (rows, width).
        """
        return np.fromfile(self.path, self.dtype, rows, offset=row * self.row_bytes)

    def strips(self) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        """Read all rows, some at a time: the first row of each, and what :meth:`read` gives."""
        for row in range(0, self.rows, STRIP_ROWS):
            yield row, self.read(row, min(STRIP_ROWS, self.rows - row))
