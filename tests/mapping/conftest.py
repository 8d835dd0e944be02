"""A small real model for the tests of mapping."""

from typing import Any

import pytest
import torch

from glavitu.confidence.calibration import Calibration
from glavitu.features import FeatureGroup


class Shared(list[Any]):
    """A list that copies of a model share with it."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "Shared":
        return self


class TinyModel(torch.nn.Module):
    """Two classes: sigmoid of channel 0, the same for each pixel wherever its window lies.

    Keeps the inputs it was given, so that tests can look at them; also those of the copy of it that
    predicts.
    """

    def __init__(
        self,
        features: tuple[FeatureGroup, ...],
        image_size: int = 32,
        location: str | None = None,
        num_classes: int = 2,
    ) -> None:
        super().__init__()
        self.features = features
        self.image_size = image_size
        self.location = location
        self.num_classes = num_classes
        self.calibration: Calibration | None = None
        self.gain = torch.nn.Parameter(torch.tensor(1.0))
        self.images: list[torch.Tensor] = Shared()
        self.locations: list[torch.Tensor | None] = Shared()

    @property
    def device(self) -> torch.device:
        return self.gain.device

    def predict_probabilities(
        self, image: torch.Tensor, location: torch.Tensor | None
    ) -> torch.Tensor:
        assert not self.training
        self.images.append(image)
        self.locations.append(location)
        return self.probabilities(image)

    def probabilities(self, image: torch.Tensor) -> torch.Tensor:
        glacier = torch.sigmoid(self.gain * image[:, 0])
        return torch.stack([1 - glacier, glacier], dim=1)


@pytest.fixture
def tiny_model() -> type[TinyModel]:
    return TinyModel
