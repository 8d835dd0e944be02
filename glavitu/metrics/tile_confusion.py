"""Confusion counts of the glacier class for each tile, pooled to subregions and regions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import Tensor
from torchmetrics import Metric

from glavitu.metrics.acquisitions import acquisitions, groupings
from glavitu.metrics.region_confusion import confusion_counts
from glavitu.metrics.scores import COUNTS, with_scores
from glavitu.regions import region_name

if TYPE_CHECKING:
    from glavitu.datasets.tile import Tile


class TileConfusion(Metric):
    """Counts true and false positives and negatives of the glacier class for each tile.

    The state, one row per tile, is summed over processes, so that each may see tiles of its own,
    however many.

    Attributes:
        batch_counts: Those of the last batch, int64 (B, 4): TP, FP, FN, TN.

    Args:
        tiles: The tiles of the dataset, the same in all processes.

    Example:
        >>> import torch
        >>> from types import SimpleNamespace
        >>> kind = {"region": 5, "subregion": "HMA1", "date": "", "sensor": ""}
        >>> tiles = [SimpleNamespace(name=name, **kind) for name in "ab"]
        >>> metric = TileConfusion(tiles)
        >>> prediction, mask = torch.tensor([[[1, 1, 0]]]), torch.tensor([[[1, 0, 0]]])
        >>> metric.update(prediction, mask, tile=torch.tensor([1]))
        >>> metric.table()[["tile", "region", "subregion", "iou"]].values.tolist()
        [['b', 'HMA', 'HMA1', 0.5]]
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    counts: Tensor
    batch_counts: Tensor | None = None

    def __init__(self, tiles: "Sequence[Tile]", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tiles = tiles
        # Columns TP, FP, FN, TN.
        zeros = torch.zeros(len(tiles), 4, dtype=torch.long)
        self.add_state("counts", default=zeros, dist_reduce_fx="sum")

    def update(self, prediction: Tensor, mask: Tensor, tile: Tensor) -> None:
        """Count a batch of whole tiles, or of parts of tiles that do not overlap.

        Args:
            prediction: int (B, H, W), predicted classes.
            mask: int (B, H, W), true classes, 255 where they are unknown, on the same device.
            tile: int64 (B,), which tile of the dataset each is.
        """
        counts = self.batch_counts = confusion_counts(prediction, mask)
        self.counts.index_add_(0, tile.to(self.counts.device), counts.to(self.counts.device))

    def compute(self) -> Tensor:
        """Return the counts, int64 (tiles, 4): TP, FP, FN, TN."""
        return self.counts

    def table(self) -> pd.DataFrame:
        """Return one row per tile that has pixels, in the dataset's order.

        Columns are ``tile``, ``region``, ``subregion`` (empty where unknown), where one is known
        ``date``, ``year`` and ``sensor``, and those of
        :func:`~glavitu.metrics.scores.with_scores`.
        """
        counts = pd.DataFrame(self.compute().cpu().numpy(), columns=list(COUNTS))
        named = pd.DataFrame(
            {
                "tile": [tile.name for tile in self.tiles],
                "region": [region_name(tile.region) for tile in self.tiles],
                "subregion": [tile.subregion for tile in self.tiles],
            }
        )
        taken = pd.DataFrame(acquisitions(self.tiles), columns=["region", "year", "sensor"])
        if groupings(taken["year"], taken["sensor"]):
            named["date"] = [tile.date for tile in self.tiles]
            named[["year", "sensor"]] = taken[["year", "sensor"]]
        table = with_scores(named.join(counts))
        return table[table["pixels"] > 0].reset_index(drop=True)


def pool_tiles(tiles: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Pool the pixels of tiles.

    Args:
        tiles: What :meth:`TileConfusion.table` gives.
        keys: Its columns by which tiles are grouped, such as ``('region', 'subregion')``.

    Returns:
        One row per group: the keys, the number of ``tiles``, and the columns of
        :func:`~glavitu.metrics.scores.with_scores`. Tiles of which a key is empty are
        left out.
    """
    known = tiles[(tiles[list(keys)] != "").all(axis=1)]
    groups = known.groupby(list(keys))
    counts = groups[list(COUNTS)].sum()
    counts.insert(0, "tiles", groups.size())
    return with_scores(counts.reset_index())
