"""Rasters that are kept open, and what was said of them."""

import warnings
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

from glavitu.rasters.opening import open_dataset

#: Files kept open at once; a folder may hold more than an operating system lets a process open.
OPEN_FILES = 64


class Said:
    """Warnings on files: each kind once, with the first file that gives rise to it."""

    def __init__(self) -> None:
        self._kinds: set[Hashable] = set()

    def __call__(self, kind: Hashable, message: str) -> None:
        """Warn, unless a warning of the kind was given."""
        if kind not in self._kinds:
            self._kinds.add(kind)
            warnings.warn(message, stacklevel=2)


class OpenFiles:
    """Datasets by their name, those used last kept open.

    They may be used by several threads, by one at a time.

    Args:
        said: What warnings were given on files; of its own by default.
    """

    def __init__(self, said: Said | None = None) -> None:
        self._datasets: OrderedDict[str, Any] = OrderedDict()
        self.said = Said() if said is None else said

    def get(self, name: str) -> Any:
        """Return a dataset, open.

        Args:
            name: A path of this machine, or what else GDAL opens.

        Raises:
            InputError: If the file is missing or is no raster.
        """
        if name in self._datasets:
            self._datasets.move_to_end(name)
            return self._datasets[name]
        dataset = open_dataset(name)
        while len(self._datasets) >= OPEN_FILES:
            self._datasets.popitem(last=False)[1].close()
        self._datasets[name] = dataset
        return dataset

    def close(self) -> None:
        """Close all."""
        while self._datasets:
            self._datasets.popitem()[1].close()
