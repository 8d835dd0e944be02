"""What class probabilities are the mean of: Monte Carlo dropout, symmetries, ensembles.

A prediction that is the mean of several is often better than one, and where they disagree it is
less certain, so that its confidence falls (:func:`glavitu.models.entropy.confidence`).
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from glavitu.errors import InputError

#: Rate of Monte Carlo dropout in Maslov et al. (2025); training has a rate of its own.
DROPOUT_RATE = 0.1

#: Runs of Monte Carlo dropout where their number is not given.
DROPOUT_RUNS = 10

#: The 8 symmetries of the square: quarter turns, then whether to flip.
SYMMETRIES = tuple((turns, flip) for flip in (False, True) for turns in range(4))


class Inference(NamedTuple):
    """What class probabilities are the mean of.

    The parts multiply, and so does the time: an ensemble of 3 checkpoints over the symmetries
    takes 24 times as long as one prediction. Memory grows by the weights of the ensemble alone,
    since means are summed up window by window.

    Attributes:
        symmetries: Whether each window is seen in the 8 symmetries of the square (test-time
            augmentation).
        dropout_runs: Number of runs with dropout on (Monte Carlo dropout), 0 for one without.
        checkpoints: Further checkpoints, which make an ensemble with the model's own.
    """

    symmetries: bool = False
    dropout_runs: int = 0
    checkpoints: tuple[str, ...] = ()

    @classmethod
    def parse(cls, words: str | Sequence[str]) -> "Inference":
        """Understand an option.

        Args:
            words: ``'tta'`` for the symmetries, ``'mc-dropout:N'`` for N runs with dropout (10
                where ``:N`` is left out), the path of a checkpoint for an ensemble; one of them,
                or several.

        Raises:
            InputError: If a word is none of these, or dropout is asked for twice.
        """
        symmetries, dropout_runs, checkpoints = False, 0, []
        for word in [words] if isinstance(words, str) else words:
            method, colon, number = word.partition(":")
            if word == "tta":
                symmetries = True
            elif method == "mc-dropout":
                if dropout_runs:
                    raise InputError("inference: 'mc-dropout' is given twice; give it once")
                runs = number if colon else str(DROPOUT_RUNS)
                if not runs.isdecimal() or int(runs) < 1:
                    raise InputError(
                        f"inference {word!r}: the runs must be a number of 1 or more, such as "
                        f"mc-dropout:{DROPOUT_RUNS}"
                    )
                dropout_runs = int(runs)
            elif Path(word).is_file():
                checkpoints.append(word)
            else:
                raise InputError(
                    f"inference {word!r}: there is no such checkpoint; give 'tta', 'mc-dropout:N' "
                    "with N runs, or the path of a checkpoint"
                )
        return cls(symmetries, dropout_runs, tuple(checkpoints))

    def predict(
        self, models: Sequence[nn.Module], image: Tensor, location: Tensor | None = None
    ) -> Tensor:
        """Compute the mean of the softmax probabilities.

        Args:
            models: The ensemble, each in eval mode and on the image's device; a single one for
                none.
            image: (B, C, S, S).
            location: (B, L) where the models want one.

        Returns:
            float32 (B, classes, S, S).
        """
        with ExitStack() as stack:
            if self.dropout_runs:
                for model in models:
                    stack.enter_context(dropout_on(model))
            return running_mean(self._predictions(models, image, location))

    def _predictions(
        self, models: Sequence[nn.Module], image: Tensor, location: Tensor | None
    ) -> Iterator[Tensor]:
        for model in models:
            for _ in range(self.dropout_runs or 1):
                for turns, flip in SYMMETRIES if self.symmetries else SYMMETRIES[:1]:
                    logits = model(_transformed(image, turns, flip), location)
                    yield _restored(logits.float().softmax(1), turns, flip)


@contextmanager
def dropout_on(model: nn.Module, seed: int = 0, rate: float = DROPOUT_RATE) -> Iterator[None]:
    """Let the dropout layers of a model in eval mode drop at a rate, and leave all else as it is.

    Each call of the model is a run with draws of its own. A run drops the same of all samples of a
    batch, so that it is one thinned network, and the n-th run after the start drops the same for
    every batch: what is said of a window depends on the seed, and not on the batch or the scene it
    comes in, nor on what was predicted before. (Other kinds of devices draw other numbers.) Neither
    the modes and rates of the layers nor the global random state are touched.

    Args:
        model: The model; its batch norms stay in eval mode.
        seed: Seed of the draws.
        rate: Rate of dropping, whatever the layers' own rate in training is; at least 0, below 1.
    """
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)

    def drop(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        (x,) = inputs
        whole_channels = not isinstance(layer, nn.Dropout)
        shape = (x.shape[1], *[1] * (x.ndim - 2)) if whole_channels else x.shape[1:]
        kept = x.new_empty(shape).bernoulli_(1 - rate, generator=generator)
        return x * (kept / (1 - rate))

    kinds = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
    layers = [module for module in model.modules() if isinstance(module, kinds)]
    handles = [layer.register_forward_hook(drop) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def running_mean(values: Iterable[Tensor]) -> Tensor:
    """Mean of tensors that come one after the other; only their sum is kept.

    Args:
        values: At least one tensor, all of the same shape.
    """
    values = iter(values)
    total, count = next(values).clone(), 1
    for value in values:
        total += value
        count += 1
    return total / count


def check_ensemble(first: Any, other: Any, source: str) -> None:
    """Check that two models can be averaged.

    Args:
        first: A model with ``features``, ``num_classes``, ``location`` and ``image_size``.
        other: Another.
        source: What to call the other in messages.

    Raises:
        InputError: If they differ in one of these.
    """
    for key in ("features", "num_classes", "location", "image_size"):
        expected, found = getattr(first, key), getattr(other, key)
        if found == expected:
            continue
        if key == "features":
            names = [tuple(group.name for group in groups) for groups in (expected, found)]
            expected, found = names if names[0] != names[1] else (expected, found)
        raise InputError(
            f"{source}: was trained with {key} {found}, but the first checkpoint of the ensemble "
            f"with {expected}; give checkpoints that agree in it"
        )


def _transformed(image: Tensor, turns: int, flip: bool) -> Tensor:
    turned = image.rot90(turns, (-2, -1))
    # A compiled model would be compiled once more for each order in memory.
    return (turned.flip(-1) if flip else turned).contiguous()


def _restored(image: Tensor, turns: int, flip: bool) -> Tensor:
    unflipped = image.flip(-1) if flip else image
    return unflipped.rot90(-turns, (-2, -1))
