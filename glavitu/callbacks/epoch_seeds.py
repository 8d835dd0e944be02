"""Random draws that depend on epoch and batch alone, not on what came before them."""

import random
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class EpochSeeds(Callback):
    """Seeds torch, numpy and random anew for each batch of each training epoch.

    The seed is made from that of the run, the epoch, the batch and the number of the process.
    Augmentation and dropout of a batch then do not depend on what was drawn before, so that a run
    which was stopped and resumed, in the midst of an epoch or at its end, goes on as if it had
    never been stopped.
    """

    def __init__(self) -> None:
        self._seed = 0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the seed of the run."""
        self._seed = torch.initial_seed()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Seed the rest of an epoch that was resumed in its midst: it has no start of its own."""
        progress: Any = trainer.fit_loop.epoch_loop.batch_progress.current
        self._start(trainer, progress.processed)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Seed the epoch, before its first batch is augmented."""
        self._start(trainer, 0)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Seed the next batch, before it is augmented."""
        self._start(trainer, batch_idx + 1)

    def _start(self, trainer: Trainer, batch: int) -> None:
        numbers = (self._seed, trainer.current_epoch, trainer.global_rank, batch)
        for_torch, for_numpy, for_random = np.random.SeedSequence(numbers).generate_state(3)
        torch.manual_seed(int(for_torch))
        np.random.seed(int(for_numpy))  # noqa: NPY002  (what libraries draw from)
        random.seed(int(for_random))
