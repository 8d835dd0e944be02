import math

import pytest
import segmentation_models_pytorch as smp
import torch

from glavitu.errors import InputError
from glavitu.losses import LOSSES, FocalLoss, build_loss


def test_two_classes_by_hand():
    # One pixel, logits (0, ln 3): p = (1/4, 3/4); truth is class 1; t = (0.05, 0.95).
    logits = torch.tensor([0.0, math.log(3)]).reshape(1, 2, 1, 1)
    target = torch.ones(1, 1, 1, dtype=torch.long)
    by_hand = 0.75**2 * 0.05 * math.log(4) + 0.25**2 * 0.95 * math.log(4 / 3)
    assert FocalLoss()(logits, target).item() == pytest.approx(by_hand, rel=1e-6)


def test_three_classes_by_hand_and_mean_over_pixels():
    # Two pixels with p = (1/2, 1/4, 1/4) of truths 0 and 2; without smoothing one term each.
    logits = torch.log(torch.tensor([0.5, 0.25, 0.25])).reshape(1, 3, 1, 1).expand(1, 3, 1, 2)
    target = torch.tensor([[[0, 2]]])
    by_hand = (0.5**2 * math.log(2) + 0.75**2 * math.log(4)) / 2
    loss = FocalLoss(label_smoothing=0.0)(logits, target)
    assert loss.item() == pytest.approx(by_hand, rel=1e-6)


def test_gamma_0_is_the_cross_entropy():
    logits, target = torch.randn(2, 4, 8, 8), torch.randint(4, (2, 8, 8))
    loss = FocalLoss(gamma=0.0, label_smoothing=0.1)(logits, target)
    expected = torch.nn.functional.cross_entropy(logits, target, label_smoothing=0.1)
    torch.testing.assert_close(loss, expected)


def test_certain_mistakes_cost_a_finite_amount():
    logits = torch.tensor([1000.0, -1000.0]).reshape(1, 2, 1, 1)
    target = torch.ones(1, 1, 1, dtype=torch.long)
    p = 1e-7  # where probabilities are clipped
    by_hand = -((1 - p) ** 2) * 0.95 * math.log(p) - p**2 * 0.05 * math.log(1 - p)
    assert FocalLoss()(logits, target).item() == pytest.approx(by_hand, rel=1e-5)


def test_half_precision_is_computed_in_single():
    logits, target = torch.randn(1, 2, 8, 8).bfloat16(), torch.randint(2, (1, 8, 8))
    assert torch.equal(FocalLoss()(logits, target), FocalLoss()(logits.float(), target))


def by_hand():
    """Logits of two pixels, p = (1/2, 1/4, 1/4), and their truths 0 and 2."""
    logits = torch.log(torch.tensor([0.5, 0.25, 0.25])).reshape(1, 3, 1, 1).expand(1, 3, 1, 2)
    return logits, torch.tensor([[[0, 2]]])


#: What each loss of by_hand is with gamma 2 and without label smoothing. Dice and Jaccard count
#: classes that are there: 0 has overlap 1/2 of predicted 1 and true 1, 2 has 1/4 of 1/2 and 1.
BY_HAND = {
    "focal": (0.5**2 * math.log(2) + 0.75**2 * math.log(4)) / 2,
    "cross_entropy": (math.log(2) + math.log(4)) / 2,
    "dice": (1 - 2 * 0.5 / 2 + 1 - 2 * 0.25 / 1.5) / 3,
    "jaccard": (1 - 0.5 / 1.5 + 1 - 0.25 / 1.25) / 3,
}


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_by_hand(name):
    loss = build_loss(name, gamma=2.0, label_smoothing=0.0)(*by_hand())
    assert loss.item() == pytest.approx(BY_HAND[name], rel=1e-5)


@pytest.mark.parametrize("name", ["focal", "cross_entropy"])
def test_label_smoothing_is_passed_on(name):
    assert build_loss(name, 2.0, 0.1)(*by_hand()) != build_loss(name, 2.0, 0.0)(*by_hand())


def batch(classes=3, seed=0):
    """Random logits and targets, and which of their pixels are known."""
    torch.manual_seed(seed)
    logits, target = torch.randn(2, classes, 8, 8), torch.randint(classes, (2, 8, 8))
    return logits, target, torch.rand(2, 8, 8) < 0.6


class TestUnknownPixels:
    @pytest.mark.parametrize("name", LOSSES)
    @pytest.mark.parametrize("smoothing", [0.0, 0.1])
    def test_are_in_no_loss_and_no_gradient(self, name, smoothing):
        logits, target, known = batch()
        loss, found = build_loss(name, 2.0, smoothing), []
        for seed in range(3):
            torch.manual_seed(seed)
            other = torch.where(known[:, None], logits, 10 * torch.randn(logits.shape))
            other.requires_grad_()
            value = loss(other, target.masked_fill(~known, 255))
            value.backward()
            assert not other.grad[(~known)[:, None].expand_as(other)].any()
            found.append((value.detach(), other.grad))
        assert all(torch.equal(*pair) for pair in zip(found[0], found[1], strict=True))
        assert all(torch.equal(*pair) for pair in zip(found[0], found[2], strict=True))

    @pytest.mark.parametrize("name", LOSSES)
    def test_are_as_if_they_were_not_there(self, name):
        logits, target, known = batch()
        loss = build_loss(name, 2.0, 0.1)
        kept = logits.movedim(1, -1)[known].T[None, :, None], target[known][None, None]
        torch.testing.assert_close(loss(logits, target.masked_fill(~known, 255)), loss(*kept))

    @pytest.mark.parametrize("name", LOSSES)
    def test_alone_are_no_loss_but_a_gradient(self, name):
        logits = torch.randn(2, 2, 8, 8, requires_grad=True)
        value = build_loss(name)(logits, torch.full((2, 8, 8), 255))
        value.backward()
        assert value == 0
        assert not logits.grad.any()

    @pytest.mark.parametrize("name", LOSSES)
    def test_may_be_none(self, name):
        logits, target, _ = batch()
        value = build_loss(name, 2.0, 0.1)(logits, target)
        expected = {
            "cross_entropy": torch.nn.CrossEntropyLoss(label_smoothing=0.1),
            "dice": smp.losses.DiceLoss("multiclass"),
            "jaccard": smp.losses.JaccardLoss("multiclass"),
        }.get(name)
        if expected is not None:
            torch.testing.assert_close(value, expected(logits, target))

    def test_are_what_a_loss_of_ones_own_must_ignore(self):
        logits, target, known = batch()
        target = target.masked_fill(~known, 255)
        other = torch.where(known[:, None], logits, torch.randn(logits.shape))
        weights = torch.tensor([1.0, 3.0, 2.0])
        for own in (torch.nn.CrossEntropyLoss(weights), smp.losses.DiceLoss("multiclass")):
            loss = build_loss(own)
            assert loss is own
            assert loss(logits, target) == loss(other, target)
        with pytest.raises(InputError, match="CrossEntropyLoss has ignore_index 0, .*=255"):
            build_loss(torch.nn.CrossEntropyLoss(ignore_index=0))
