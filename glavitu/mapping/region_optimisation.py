"""Bias optimisation: the region vector of a scene whose region nobody knows."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from tqdm import tqdm

from glavitu.errors import InputError
from glavitu.mapping.scene_model import SceneModel
from glavitu.models.entropy import confidence
from glavitu.rasters.scene import Scene
from glavitu.regions import UNKNOWN
from glavitu.windows import Window

#: As published: windows in a step, learning rate, most epochs; and below which squared change of
#: the logits, in how many epochs one after the other, it ends.
BATCH, LEARNING_RATE, EPOCHS, TOLERANCE, PATIENCE = 8, 1e-4, 100, 1e-8, 5

#: Windows in which the entropy is measured before and after.
MEASURED = 32

#: How often a window without data is drawn again.
DRAWS = 50


class RegionFit(NamedTuple):
    """What bias optimisation found.

    Attributes:
        vector: float32 (12,), shares of the 11 regions and of unknown; they add up to 1.
        entropy_before: Mean base-2 entropy of the predictions with equal shares, where it started.
        entropy_after: The same in the same windows with the vector.
        epochs: Epochs that were done.
    """

    vector: Tensor
    entropy_before: float
    entropy_after: float
    epochs: int


def optimise_region(
    model: SceneModel,
    scene: Scene,
    *,
    learning_rate: float = LEARNING_RATE,
    epochs: int = EPOCHS,
    seed: int = 0,
    progress: bool = True,
) -> RegionFit:
    """Find the region vector with which a model is surest of a scene.

    The bias optimisation of Maslov et al. (2025): 12 logits, all 1 at the start, whose softmax is
    fed as the region vector; Adam minimises the mean base-2 entropy of the predictions in random
    windows of the scene. An epoch has as many batches of 8 windows as fit the scene's area. It ends
    after 100 epochs, or after 5 in which the squared change of the logits was under 1e-8. The
    model's weights stay as they are. A surer model is not always a better one.

    Args:
        model: A model with region encoding.
        scene: The scene.
        learning_rate: Of Adam. With the published one the vector of a scene of a few windows hardly
            moves.
        epochs: Most epochs.
        seed: Of the windows that are drawn.
        progress: Show a progress bar.

    Raises:
        InputError: If the model has no region encoding, or a window with data is not found.
    """
    check_region_model(model)
    model.eval()
    draw = _Windows(scene, model.image_size, seed)
    measured = [draw() for _ in range(MEASURED)]
    logits = torch.ones(UNKNOWN + 1, device=model.device, requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=learning_rate)
    steps = max(1, scene.height * scene.width // model.image_size**2 // BATCH)
    still = epoch = 0
    with _frozen(model), tqdm(total=epochs, desc="Optimising region", disable=not progress) as bar:
        before = _mean_entropy(model, logits, measured)
        while epoch < epochs and still < PATIENCE:
            start = logits.detach().clone()
            for _ in range(steps):
                optimiser.zero_grad()
                loss = _entropy(model, logits, [draw() for _ in range(BATCH)])
                torch.autograd.backward(loss)
                optimiser.step()
            epoch += 1
            change = float((logits.detach() - start).square().sum())
            still = still + 1 if change < TOLERANCE else 0
            bar.set_postfix(entropy=f"{float(loss.detach()):.4f}")
            bar.update()
        after = _mean_entropy(model, logits, measured)
    return RegionFit(logits.detach().softmax(0).cpu(), before, after, epoch)


def check_region_model(model: SceneModel) -> None:
    """Check that a model is told the region.

    Raises:
        InputError: If it is not.
    """
    if model.location != "region":
        raise InputError(
            "the region can only be optimised for a model with region encoding; leave "
            "--optimise-region out, or choose a checkpoint of that strategy"
        )


class _Windows:
    """Draws windows of a scene that have data."""

    def __init__(self, scene: Scene, size: int, seed: int) -> None:
        self.scene, self.size = scene, size
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self) -> tuple[Tensor, Tensor]:
        """Return the image (C, S, S) of a window, and where it has data, bool (S, S)."""
        for _ in range(DRAWS):
            row, col = self._start(self.scene.height), self._start(self.scene.width)
            image, valid = self.scene.read(Window(row, col, self.size, self.size))
            if valid.any():
                return image, torch.from_numpy(valid)
        raise InputError(
            f"{', '.join(map(str, self.scene.files.values()))}: {DRAWS} windows drawn at random "
            "have no data, so the region cannot be optimised; cut the scene to where its data is"
        )

    def _start(self, length: int) -> int:
        free = length - self.size
        if free <= 0:
            return free // 2
        return int(torch.randint(free + 1, (), generator=self.generator))


def _entropy(model: SceneModel, logits: Tensor, windows: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Return the mean entropy of the pixels with data, in bits (of log2 of the classes)."""
    images = torch.stack([image for image, _ in windows]).to(logits.device)
    valid = torch.stack([valid for _, valid in windows]).to(logits.device)
    vectors = logits.softmax(0).expand(len(windows), -1)
    probabilities = model.predict_probabilities(images, vectors)
    return (1 - confidence(probabilities, dim=1))[valid].mean()


def _mean_entropy(model: SceneModel, logits: Tensor, windows: list[tuple[Tensor, Tensor]]) -> float:
    total = pixels = 0.0
    with torch.no_grad():
        for first in range(0, len(windows), BATCH):
            batch = windows[first : first + BATCH]
            count = float(sum(valid.sum() for _, valid in batch))
            total += float(_entropy(model, logits, batch)) * count
            pixels += count
    return total / pixels if pixels else math.nan


@contextmanager
def _frozen(model: SceneModel) -> Iterator[None]:
    """Let no weight of a model ask for its gradient, which would only cost memory."""
    weights = list(model.parameters()) if isinstance(model, nn.Module) else []
    asking = [weight for weight in weights if weight.requires_grad]
    for weight in asking:
        weight.requires_grad_(False)
    try:
        with torch.enable_grad():
            yield
    finally:
        for weight in asking:
            weight.requires_grad_(True)
