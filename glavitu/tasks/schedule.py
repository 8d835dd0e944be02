"""The published optimiser and its schedule, and whether a training goes astray."""

import math
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

from glavitu.errors import InputError


def cosine_cycles(
    optimiser: Optimizer, trainer: Trainer, epochs: int, growth: int
) -> OptimizerLRScheduler:
    """Let the learning rate fall to 0 in cosine cycles, a little with each step.

    Args:
        optimiser: Has the rate at which each cycle starts.
        trainer: Counts the steps of an epoch.
        epochs: Length of the first cycle.
        growth: How many times longer each next cycle is.

    Returns:
        What ``configure_optimizers`` gives Lightning.

    Raises:
        InputError: If the batches of an epoch cannot be counted.
    """
    batches: Any = trainer.estimated_stepping_batches  # also counts the training batches
    batches = trainer.num_training_batches
    if math.isinf(batches):
        trainer.fit_loop.setup_data()  # where steps alone end a training, Lightning counts later
        batches = trainer.num_training_batches
    if math.isinf(batches):
        raise InputError(
            "the training data does not tell its length, and the schedule of the learning rate "
            "counts epochs; set trainer.limit_train_batches to the batches of an epoch"
        )
    # Lightning steps with the last batch of an epoch, however few were accumulated.
    steps = max(1, math.ceil(batches / trainer.accumulate_grad_batches))
    scheduler = CosineAnnealingWarmRestarts(optimiser, steps * epochs, growth)
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class LossWatch:
    """Stops a training whose loss is no number.

    A loss is looked at when the next step begins, so that nobody waits for a GPU.
    """

    def __init__(self) -> None:
        self._last: tuple[str, Tensor] | None = None

    def note(self, module: LightningModule, batch: int, loss: Tensor) -> None:
        """Keep the loss of a step until it is looked at."""
        place = f"step {module.global_step} (batch {batch} of epoch {module.current_epoch})"
        self._last = place, loss.detach()

    def check(self) -> None:
        """Look at the loss of the step before.

        Raises:
            InputError: If it is NaN or infinite.
        """
        last, self._last = self._last, None
        if last is not None and not math.isfinite(last[1]):
            raise InputError(
                f"the loss of {last[0]} is {float(last[1])}, and with it the weights are lost; the "
                "checkpoints keep those from before. Start from one with a lower learning rate "
                "(--model.initial_weights and --model.lr), limit the gradients "
                "(--trainer.gradient_clip_val 1), or train with --trainer.precision bf16-mixed "
                "where it is of 16 bits"
            )
