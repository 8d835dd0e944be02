"""Ending a run that is told to stop where nothing is half done.

Upon SIGTERM Lightning ends a training after the batch it is in, saves nothing and exits with status
0, and a test goes on; upon the signal that SLURM sends before a job's time is over it saves at
once, wherever the training is. Here both wait for the end of a step of the optimiser, from which a
resumed run goes on to the bit.
"""

import os
import signal
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException

from glavitu.callbacks.run_folder import own_run_folder

#: What may be wanted of a training; where processes differ, the highest of them is done.
NOTHING, REQUEUE, STOP = range(3)

#: What Lightning's validation loop keeps of its progress where it is to be run from its start.
ABOUT_TO_VALIDATE = {"ready": 1, "started": 1, "processed": 0, "completed": 0}


class StopSignals(Callback):
    """Ends a training that gets SIGTERM after the step it is in, and keeps it in a checkpoint.

    That is the last one, with which it goes on. Other runs end at once. A training in a job that
    SLURM is to queue again is saved and queued, by Lightning, after the step it is in. A run that
    goes on from there, or from a checkpoint that is written every so many steps, is the one that
    was never stopped: it does not leave out a validation that comes next.

    Attributes:
        stopped: Whether SIGTERM has ended the run.
        advice: How to go on with a run that was ended.
    """

    def __init__(self) -> None:
        self.stopped = False
        self.advice = ""
        self._training = False
        self._wanted = NOTHING
        self._requeue: Callable[[], None] | None = None

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen: now, since Lightning has set up its own handlers before."""
        self._listen(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen, and from now on wait for ends of steps."""
        self._training = True
        self._listen(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Wait no more."""
        self._training = False

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen."""
        self._listen(trainer)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen."""
        self._listen(trainer)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen."""
        self._listen(trainer)

    def _listen(self, trainer: Trainer) -> None:
        def terminate(number: int, frame: FrameType | None) -> None:
            self.stopped = True
            kill = getattr(trainer.strategy.launcher, "kill", None)
            if kill is not None and self._wanted != STOP:
                kill(number)  # the processes that this one started
            self._wanted = STOP
            if not self._training:
                raise SIGTERMException

        _handle(signal.SIGTERM, terminate)
        environment = trainer._accelerator_connector.cluster_environment  # as Lightning asks
        if not (isinstance(environment, SLURMEnvironment) and environment.auto_requeue):
            return
        before_the_end = environment.requeue_signal or signal.SIGUSR1
        if self._requeue is None:
            lightnings: Any = signal.getsignal(before_the_end)
            self._requeue = partial(lightnings, before_the_end, None)

        def requeue(number: int, frame: FrameType | None) -> None:
            self._wanted = max(self._wanted, REQUEUE)

        _handle(before_the_end, requeue)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Do what is wanted once the optimiser has stepped, in all processes at the same batch."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches and not trainer.is_last_batch:
            return
        if trainer.world_size > 1:
            wanted = torch.tensor(self._wanted, device=trainer.strategy.root_device)
            self._wanted = int(trainer.strategy.reduce(wanted, reduce_op="max"))
            # Each has a number of its own of validation batches, so that they would part there.
            if _validates_next(trainer):
                return
        self._act(trainer)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Do what is wanted; a run that goes on from here begins the validation anew."""
        if self._training and trainer.world_size == 1:
            self._act(trainer)

    def _act(self, trainer: Trainer) -> None:
        wanted, self._wanted = self._wanted, NOTHING
        if wanted == REQUEUE and self._requeue is not None:
            self._requeue()
        elif wanted == STOP:
            # Lightning raises where it looks at this next: between batches, after logging.
            trainer._signal_connector.received_sigterm = True
            self.stopped = True

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Let a run that goes on from here validate, where that comes next.

        Lightning would go on with the next batch, or in the midst of the validation without what
        was counted before.
        """
        if not self._training or "loops" not in checkpoint:
            return
        loops = checkpoint["loops"]["fit_loop"]
        batches = loops["epoch_loop.batch_progress"]
        validation = loops["epoch_loop.val_loop.batch_progress"]
        ends = batches["current"]["processed"] > batches["current"]["completed"]
        if trainer.validating or (ends and _validates_next(trainer)):
            for part in ("total", "current"):
                batches[part]["completed"] = batches[part]["processed"]
                validation[part] = dict(ABOUT_TO_VALIDATE)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Keep a training that was told to stop, and say how to go on with it."""
        if not self._training:
            self.advice = "give the same command again" if self.stopped else ""
            return
        kept = "the last checkpoint keeps the epochs that were finished"
        if isinstance(exception, SIGTERMException):
            for callback in trainer.checkpoint_callbacks:
                if isinstance(callback, ModelCheckpoint) and callback.monitor is None:
                    done = {"epoch": trainer.current_epoch, "step": trainer.global_step}
                    metrics = {key: torch.tensor(value) for key, value in done.items()}
                    path = callback.format_checkpoint_name(trainer.callback_metrics | metrics)
                    trainer.save_checkpoint(path)
                    kept = f"{os.path.relpath(path)} keeps its {trainer.global_step} steps"
        config = own_run_folder(trainer) / "config.yaml"
        self.advice = f"{kept}; go on with glavitu fit --config {config} --checkpoint last"
        self._training = False


def _validates_next(trainer: Trainer) -> bool:
    """Whether a validation follows the batch that ends."""
    loop: Any = trainer.fit_loop
    return bool(loop.epoch_loop._should_check_val_fx(loop._data_fetcher))


def _handle(number: int, handler: Any) -> None:
    """Handle a signal, where that is possible: in the main thread."""
    try:
        signal.signal(number, handler)
    except ValueError:
        return
