import copy

import pytest
import torch
from torch import nn

from glavitu.models import FusedSegmenter, GlaViTU
from glavitu.models.entropy import confidence
from glavitu.models.folding import fold_batch_norms


def trained(model):
    """Give weights and statistics that are not those of a new model."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2)
    return model.eval()


@pytest.mark.parametrize("location_size", [None, 12])
@pytest.mark.parametrize("kind", [GlaViTU, FusedSegmenter])
def test_a_folded_model_predicts_the_same(kind, location_size):
    small = {"width": 16, "depth": 2} if kind is GlaViTU else {"encoder": "resnet18"}
    model = trained(kind(("optical", "dem"), location_size=location_size, **small))
    folded = copy.deepcopy(model)
    fold_batch_norms(folded)
    norms = [module for module in folded.modules() if isinstance(module, nn.BatchNorm2d)]
    if kind is GlaViTU:
        assert norms == []
    image = torch.rand(2, 8, 64, 64)
    location = None if location_size is None else torch.rand(2, location_size)
    one, other = (said(made, image, location) for made in (model, folded))
    assert one.std() > 0.01
    if kind is GlaViTU:
        torch.testing.assert_close(confidence(other), confidence(one), atol=1e-4, rtol=0)
        assert (other.argmax(1) == one.argmax(1)).float().mean() >= 0.9999
    # Untrained encoders blow rounding up, so that more digits are wanted.
    model, image = model.double(), image.double()
    location = None if location is None else location.double()
    folded = copy.deepcopy(model)
    fold_batch_norms(folded)
    one, other = (said(made, image, location) for made in (model, folded))
    torch.testing.assert_close(other, one, atol=1e-8, rtol=0)


def said(model, image, location):
    with torch.inference_mode():
        return model(image, location).softmax(1)


def test_sequences_that_call_their_layers_otherwise_are_left_alone():
    class Backwards(nn.Sequential):
        def forward(self, x):
            return self[0](self[1](x))

    model = Backwards(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)).eval()
    fold_batch_norms(model)
    assert isinstance(model[1], nn.BatchNorm2d)
