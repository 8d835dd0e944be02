"""Random draws that depend on the epoch alone, not on what came before it."""

import random

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class EpochSeeds(Callback):
    """Seeds torch, numpy and random anew at the start of each training epoch.

    The seed is made from that of the run, the epoch and the number of the process. Augmentation and
    dropout of an epoch then do not depend on the epochs before it, so that a run which was stopped
    and resumed at an epoch's end goes on as if it had never been stopped.
    """

    def __init__(self) -> None:
        self._seed = 0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the seed of the run."""
        self._seed = torch.initial_seed()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Seed the rest of an epoch that was resumed in its midst: it has no start of its own."""
        self._start(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Seed the epoch, before its first batch is augmented."""
        self._start(trainer)

    def _start(self, trainer: Trainer) -> None:
        mixed = np.random.SeedSequence((self._seed, trainer.current_epoch, trainer.global_rank))
        for_torch, for_numpy, for_random = mixed.generate_state(3)
        torch.manual_seed(int(for_torch))
        np.random.seed(int(for_numpy))  # noqa: NPY002  (what libraries draw from)
        random.seed(int(for_random))
