"""A model and a loss as users write them, who know nothing of glavitu."""

import torch
from torch import nn


class Net(nn.Module):
    """Logits of each pixel's neighbourhood."""

    def __init__(self, width: int = 4, channels: int = 8, classes: int = 2) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, classes, 1),
        )

    def forward(self, image):
        return self.layers(image)


class Told(Net):
    """The same, told the region."""

    def __init__(self, width: int = 4) -> None:
        super().__init__(width)
        self.place = nn.Linear(12, 2)

    def forward(self, image, location):
        return self.layers(image) + self.place(location)[..., None, None]


class TwoHeads(Net):
    """A model that says itself how its loss is made up."""

    def training_loss(self, loss, image, mask, location=None):
        return 3 * loss(self(image), mask)


class Small(nn.Module):
    """Logits of every second pixel alone."""

    def forward(self, image):
        return image[:, :2, ::2, ::2]


class WeightedLoss(nn.CrossEntropyLoss):
    """A loss with a state of its own."""

    def __init__(self, weight: float = 2.0) -> None:
        super().__init__(weight=torch.tensor([1.0, weight]))
