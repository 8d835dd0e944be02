import math

import pytest
import torch
from torchmetrics.classification import BinaryJaccardIndex

from glavitu.metrics import RegionConfusion


def test_counts_and_scores_by_hand():
    metric = RegionConfusion()
    prediction = torch.tensor([[[1, 1, 1, 0, 0, 0]], [[0, 0, 0, 0, 0, 1]]])
    mask = torch.tensor([[[1, 1, 0, 1, 0, 0]], [[0, 0, 0, 0, 0, 1]]])
    metric.update(prediction, mask, torch.tensor([5, 5]))
    row = metric.table().iloc[0]
    assert (row.region, row.tp, row.fp, row.fn, row.tn) == ("HMA", 3, 1, 1, 7)
    assert (row.iou, row.precision, row.recall) == (3 / 5, 3 / 4, 3 / 4)
    assert (row.f1, row.accuracy, row.glacier_share) == (6 / 8, 10 / 12, 4 / 12)


def test_regions_are_pooled_apart_and_regions_without_tiles_left_out():
    metric = RegionConfusion()
    ones = torch.ones(3, 2, 2, dtype=torch.long)
    metric.update(ones, ones, torch.tensor([0, 11, 0]))
    assert metric.table()[["region", "pixels"]].values.tolist() == [["ALP", 8], ["unknown", 4]]


def test_undefined_ratios_are_empty():
    metric = RegionConfusion()
    zeros = torch.zeros(1, 2, 2, dtype=torch.long)
    metric.update(zeros, zeros, torch.tensor([1]))
    row = metric.table().iloc[0]
    assert all(math.isnan(row[score]) for score in ("iou", "precision", "recall", "f1"))
    assert row.accuracy == 1


def test_batches_add_up_to_torchmetrics_own_iou():
    torch.manual_seed(0)
    prediction, mask = torch.randint(2, (6, 9, 9)), torch.randint(2, (6, 9, 9))
    metric, expected = RegionConfusion(), BinaryJaccardIndex()
    for batch in range(0, 6, 2):
        part = slice(batch, batch + 2)
        metric.update(prediction[part], mask[part], torch.tensor([3, 3]))
        expected.update(prediction[part], mask[part])
    assert metric.table().iou.item() == pytest.approx(expected.compute().item(), abs=1e-6)


def test_unknown_pixels_and_what_has_no_others_do_not_count():
    metric = RegionConfusion()
    prediction = torch.tensor([[[1, 1, 1, 0, 0, 0]], [[1, 0, 1, 0, 1, 0]]])
    mask = torch.tensor([[[1, 0, 255, 1, 0, 255]], [[255] * 6]])
    metric.update(prediction, mask, region=torch.tensor([5, 3]))
    (row,) = metric.table().to_dict("records")
    assert (row["region"], row["pixels"], row["glacier_share"]) == ("HMA", 4, 0.5)
    assert [row[name] for name in ("tp", "fp", "fn", "tn")] == [1, 1, 1, 1]
