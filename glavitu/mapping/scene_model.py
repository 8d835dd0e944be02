"""What mapping asks of a model."""

from typing import Any, Protocol

import torch
from torch import Tensor

from glavitu.confidence.calibration import Calibration
from glavitu.features import FeatureGroup


class SceneModel(Protocol):
    """What mapping asks of a model; ``GlaViTUTask`` gives it."""

    @property
    def features(self) -> tuple[FeatureGroup, ...]:
        """Feature groups of the input channels, in order."""

    @property
    def num_classes(self) -> int:
        """Number of classes; class 1 is glacier."""

    @property
    def location(self) -> str | None:
        """Location encoding: ``'region'``, ``'coordinates'`` or None."""

    @property
    def image_size(self) -> int:
        """Window size in pixels, a multiple of 16."""

    @property
    def calibration(self) -> Calibration | None:
        """What turns raw into calibrated confidence, None where there is nothing."""

    @property
    def device(self) -> torch.device:
        """Where the model's weights are."""

    def eval(self) -> Any:
        """Turn dropout and the like off."""

    def predict_probabilities(self, image: Tensor, location: Tensor | None) -> Tensor:
        """Probabilities (B, classes, H, W) of images (B, C, H, W), maybe means of several runs."""
