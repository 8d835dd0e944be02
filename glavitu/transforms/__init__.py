"""Augmentations on batches, with Kornia, on the device where the batch lies."""

from glavitu.transforms.augmentation import Augmentation, TrainingAugmentation

__all__ = ["Augmentation", "TrainingAugmentation"]
