"""Augmentations on batches, with Kornia, on the device where the batch lies."""

from glavitu.transforms.augmentation import Augmentation
from glavitu.transforms.training import TrainingAugmentation

__all__ = ["Augmentation", "TrainingAugmentation"]
