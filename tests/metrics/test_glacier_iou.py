import pytest
import torch

from glavitu.metrics import GlacierIoU


def test_it_is_the_mean_over_windows_with_a_glacier():
    predictions = torch.tensor([[[1, 1]], [[0, 0]], [[0, 1]]])
    masks = torch.tensor([[[1, 0]], [[0, 0]], [[0, 1]]])
    metric = GlacierIoU(2)
    for window in range(3):  # 1/2, none, 1
        metric.update(predictions[window : window + 1], masks[window : window + 1])
    assert metric.compute().item() == pytest.approx(0.75)


def test_other_classes_do_not_count():
    metric = GlacierIoU(3)
    metric.update(torch.tensor([[[1, 2, 2, 0]]]), torch.tensor([[[1, 0, 1, 2]]]))
    assert metric.compute().item() == pytest.approx(0.5)


def test_without_any_glacier_it_is_not_a_number():
    metric = GlacierIoU(2)
    metric.update(torch.zeros(2, 4, 4, dtype=torch.long), torch.zeros(2, 4, 4, dtype=torch.long))
    assert metric.compute().isnan()


def test_unknown_pixels_and_windows_do_not_count():
    metric = GlacierIoU(2)
    predictions = torch.tensor([[[1, 1, 1, 0]], [[1, 0, 0, 0]]])
    target = torch.tensor([[[1, 0, 255, 255]], [[255, 255, 255, 255]]])
    assert metric(predictions, target) == 0.5
