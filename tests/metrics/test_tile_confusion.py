import math
from types import SimpleNamespace

import pytest
import torch

from glavitu.metrics import RegionConfusion, TileConfusion
from glavitu.metrics.tile_confusion import pool_tiles

PLACES = [("a", 5, "HMA1"), ("b", 5, "HMA2"), ("c", 5, "HMA1"), ("d", 9, ""), ("unseen", 9, "")]
TILES = [
    SimpleNamespace(name=name, region=region, subregion=subregion, date="", sensor="")
    for name, region, subregion in PLACES
]


def test_counts_and_scores_of_each_tile_by_hand():
    metric = TileConfusion(TILES)
    prediction = torch.tensor([[[1, 1, 1, 0, 0, 0]], [[0, 0, 0, 0, 0, 0]]])
    mask = torch.tensor([[[1, 1, 0, 1, 0, 0]], [[0, 0, 0, 0, 0, 0]]])
    metric.update(prediction, mask, torch.tensor([2, 0]))
    clear, row = (metric.table().iloc[index] for index in range(2))
    assert (row.tile, row.region, row.subregion) == ("c", "HMA", "HMA1")
    assert (row.tp, row.fp, row.fn, row.tn, row.pixels) == (2, 1, 1, 2, 6)
    assert (row.iou, row.precision, row.recall) == (2 / 4, 2 / 3, 2 / 3)
    assert (row.f1, row.accuracy, row.glacier_share) == (4 / 6, 4 / 6, 3 / 6)
    assert clear.tile == "a"
    assert all(math.isnan(clear[score]) for score in ("iou", "precision", "recall", "f1"))
    assert clear.accuracy == 1


def test_tiles_add_up_to_the_regions():
    torch.manual_seed(0)
    tiles, regions = TileConfusion(TILES), RegionConfusion()
    for number in (0, 1, 2, 3, 1):
        prediction, mask = torch.randint(2, (1, 9, 9)), torch.randint(2, (1, 9, 9))
        tiles.update(prediction, mask, torch.tensor([number]))
        regions.update(prediction, mask, torch.tensor([TILES[number].region]))
    counts = ["tp", "fp", "fn", "tn"]
    pooled = tiles.table().groupby("region")[counts].sum()
    assert pooled.equals(regions.table().set_index("region")[counts])


def test_subregions_pool_pixels_rather_than_averaging_scores():
    metric = TileConfusion(TILES)
    ones, zeros = torch.ones(1, 1, 8, dtype=torch.long), torch.zeros(1, 1, 8, dtype=torch.long)
    some = torch.tensor([[[1, 1, 0, 0, 0, 0, 0, 0]]])
    metric.update(ones, ones, torch.tensor([0]))
    metric.update(some, ones, torch.tensor([2]))
    metric.update(zeros, zeros, torch.tensor([1]))
    metric.update(ones, ones, torch.tensor([3]))
    table = pool_tiles(metric.table(), ("region", "subregion")).set_index("subregion")
    assert table.index.tolist() == ["HMA1", "HMA2"]
    assert table.loc["HMA1", ["region", "tiles", "pixels"]].tolist() == ["HMA", 2, 16]
    assert table.loc["HMA1", "iou"] == pytest.approx(10 / 16)
    assert math.isnan(table.loc["HMA2", "iou"])


def test_no_subregions_are_no_rows():
    metric = TileConfusion(TILES[3:])
    ones = torch.ones(1, 1, 8, dtype=torch.long)
    metric.update(ones, ones, torch.tensor([0]))
    table = pool_tiles(metric.table(), ("region", "subregion"))
    assert table.empty
    assert {"subregion", "iou"} <= set(table.columns)
