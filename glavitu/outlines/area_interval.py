"""How much smaller or larger a glacier may be, where its map is uncertain."""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import label
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from glavitu.arrays import BoolArray, DoubleArray
from glavitu.outlines.label_strips import Labels


class UncertainPixels:
    """Counts the uncertain pixels of glaciers, and those beyond that hang together with them.

    Uncertain pixels of no glacier that share edges form a patch. A patch that shares edges with one
    glacier is counted for it. One that lies between several is divided among them in proportion to
    the number of edges each shares with it, so that every pixel is counted once.

    Args:
        glaciers: Number of glaciers, n.
    """

    def __init__(self, glaciers: int) -> None:
        self.glaciers = glaciers
        self._inside = np.zeros(glaciers + 1)
        self._sizes = [np.zeros(1, dtype=np.intp)]  # of patch 0, which is none
        self._patches = 1
        self._links: list[npt.NDArray[np.int64]] = []
        self._contacts: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = []
        self._above: tuple[Labels, npt.NDArray[np.int64]] | None = None

    def add(self, labels: Labels, uncertain: BoolArray) -> None:
        """Add the next strip from above, both (rows, W).

        Args:
            labels: 1 to n in glaciers, 0 elsewhere.
            uncertain: Whether the confidence is there, and too low.
        """
        self._inside += np.bincount(labels[uncertain], minlength=self.glaciers + 1)
        here, found = label(uncertain & (labels == 0))
        patches = here.astype(np.int64)
        patches[here > 0] += self._patches - 1
        self._patches += found
        self._sizes.append(np.bincount(here.ravel(), minlength=found + 1)[1:])
        if self._above is not None:
            above_labels, above = self._above
            both = (above > 0) & (patches[0] > 0)
            self._links.append(np.unique(np.stack([above[both], patches[0][both]]), axis=1))
            self._touch(above, labels[0])
            self._touch(patches[0], above_labels)
        self._touch(patches[:, :-1], labels[:, 1:])
        self._touch(patches[:, 1:], labels[:, :-1])
        self._touch(patches[:-1], labels[1:])
        self._touch(patches[1:], labels[:-1])
        self._above = labels[-1].copy(), patches[-1].copy()

    def compute(self) -> tuple[DoubleArray, DoubleArray]:
        """Return the pixels inside each glacier and those beyond, which may be fractions, (n,)."""
        inside: DoubleArray = self._inside[1:]
        if not self._contacts:
            return inside, np.zeros(self.glaciers)
        links = np.concatenate([np.empty((2, 0), dtype=np.int64), *self._links], axis=1)
        size = self._patches
        _, whole = connected_components(
            coo_array((np.ones(links.shape[1]), (links[0], links[1])), shape=(size, size)),
            directed=False,
        )
        sizes = np.bincount(whole, weights=np.concatenate(self._sizes))
        keys, counts = (np.concatenate(parts) for parts in zip(*self._contacts, strict=True))
        patch, glacier = whole[keys // (self.glaciers + 1)], keys % (self.glaciers + 1)
        shared = np.bincount(patch, weights=counts, minlength=len(sizes))
        part = counts / shared[patch] * sizes[patch]
        beyond = np.bincount(glacier, weights=part, minlength=self.glaciers + 1)[1:]
        return inside, beyond.astype(np.float64)

    def _touch(self, patches: npt.NDArray[np.int64], labels: Labels) -> None:
        both = (patches > 0) & (labels > 0)
        keys = patches[both] * (self.glaciers + 1) + labels[both]
        self._contacts.append(np.unique(keys, return_counts=True))
