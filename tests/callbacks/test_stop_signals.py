"""A run that is told to stop ends soon, and goes on as if it had never been stopped."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from lightning.fabric.plugins.environments import SLURMEnvironment
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException

from glavitu.callbacks import EpochSeeds, StopSignals
from glavitu.cli import main
from glavitu.datamodules import GlacierDataModule
from glavitu.tasks import GlaViTUTask


class Recorder(Callback):
    """Keeps the windows that are trained on, the scores, and sends a signal to its own process."""

    def __init__(self, at=None, number=signal.SIGTERM):
        self.windows, self.scores = [], []
        self.at = at and tuple(at)
        self.number = number

    def _tell(self, *place):
        if place == self.at:
            os.kill(os.getpid(), self.number)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.windows.append(batch["image"].clone())
        self._tell("batch", trainer.current_epoch, batch_idx)
        if self.at == ("interrupt", trainer.current_epoch, batch_idx):
            raise KeyboardInterrupt

    def on_test_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        self._tell("test", 0, batch_idx)

    def on_predict_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        self._tell("predict", 0, batch_idx)

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        if not trainer.sanity_checking:
            self._tell("validation", trainer.current_epoch, batch_idx)
        if trainer.state.fn == "validate":
            self._tell("validate", 0, batch_idx)

    def on_validation_end(self, trainer, pl_module):
        if not trainer.sanity_checking:
            values = trainer.callback_metrics
            self.scores.append((trainer.global_step, values["val/loss"].item()))


def trained(world, recorder, folder=None, checkpoint=None, workers=0, every=None, **options):
    """A short training with dropout, of two epochs of 6 batches, with its last checkpoint."""
    seed_everything(0, verbose=False)
    callbacks = [recorder, EpochSeeds(), StopSignals()]
    callbacks += [ModelCheckpoint(folder, "last", enable_version_counter=False)] if folder else []
    if every:
        callbacks.append(
            ModelCheckpoint(folder, "{step}", every_n_train_steps=every, save_top_k=-1)
        )
    module = GlaViTUTask(
        model_args={"width": 4, "depth": 1, "heads": 1, "dropout": 0.2},
        image_size=32,
        location="region",
        lr=0.01,
        cycle_epochs=1,
    )
    data = GlacierDataModule(
        str(world),
        patch_size=32,
        batch_size=2,
        location="region",
        steps_per_epoch=6,
        num_workers=workers,
    )
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=folder is not None,
        callbacks=callbacks,
        **options,
    )
    trainer.fit(module, data, ckpt_path=checkpoint)
    return module


def assert_same(world, tmp_path, at, repeated=0, **options):
    """Stop a training, go on with it, and compare with one that was never stopped."""
    expected, first, second = Recorder(), Recorder(at), Recorder()
    whole = trained(world, expected, **options)
    with pytest.raises(SIGTERMException):
        trained(world, first, tmp_path, **options)
    resumed = trained(world, second, tmp_path, str(tmp_path / "last.ckpt"), **options)
    windows = first.windows + second.windows
    assert len(windows) == len(expected.windows) == 12
    assert all(map(torch.equal, windows, expected.windows))
    assert first.scores + second.scores == expected.scores
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


@pytest.mark.parametrize(
    "at", [("batch", 0, 1), ("batch", 1, 3), ("batch", 0, 5), ("batch", 1, 5), ("batch", 1, 0)]
)
def test_a_training_that_is_stopped_at_any_batch_goes_on_with_the_next(world, tmp_path, at):
    assert_same(world, tmp_path, at)


@pytest.mark.parametrize("at", [("validation", 0, 0), ("validation", 1, 3)])
def test_a_validation_that_is_stopped_is_done_anew(world, tmp_path, at):
    assert_same(world, tmp_path, at)


@pytest.mark.parametrize("at", [("batch", 0, 1), ("batch", 0, 3), ("validation", 1, 2)])
def test_validations_within_an_epoch_are_not_left_out(world, tmp_path, at):
    assert_same(world, tmp_path, at, val_check_interval=2)


@pytest.mark.parametrize("at", [("batch", 0, 0), ("batch", 0, 4), ("batch", 1, 2)])
def test_gradients_that_are_accumulated_are_not_lost(world, tmp_path, at):
    assert_same(world, tmp_path, at, accumulate_grad_batches=4)


@pytest.mark.parametrize("at", [("batch", 0, 5), ("batch", 1, 2)])
def test_epochs_without_validation_are_stopped_too(world, tmp_path, at):
    assert_same(world, tmp_path, at, limit_val_batches=0)


@pytest.mark.slow
def test_workers_that_read_ahead_do_not_matter(world, tmp_path):
    assert_same(world, tmp_path, ("batch", 0, 2), workers=2)


@pytest.mark.parametrize("steps", [4, 6, 8])
def test_a_checkpoint_of_any_step_goes_on_as_if_never_stopped(world, tmp_path, steps):
    first, second = Recorder(), Recorder()
    whole = trained(world, first, tmp_path, every=2, val_check_interval=3)
    options = {"every": 2, "val_check_interval": 3}
    path = str(tmp_path / f"step={steps}.ckpt")
    resumed = trained(world, second, tmp_path / "b", path, **options)
    assert all(map(torch.equal, first.windows[steps:], second.windows))
    assert len(second.windows) == 12 - steps
    assert second.scores == [score for score in first.scores if score[0] >= steps]
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


class Slurm(SLURMEnvironment):
    """A job of one task, whose program `scontrol` is whatever PATH has."""

    def __init__(self):
        super().__init__(auto_requeue=True)

    def world_size(self):
        return 1

    def global_rank(self):
        return 0

    local_rank = node_rank = global_rank


@pytest.mark.parametrize("at", [("batch", 1, 2), ("validation", 1, 1)])
def test_a_job_that_slurm_preempts_is_queued_again_and_goes_on(world, tmp_path, monkeypatch, at):
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "scontrol").write_text(f"#!/bin/sh\necho $@ >> {tmp_path}/asked\n")
    (folder / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    before, after = Recorder(at, signal.SIGUSR1), Recorder()
    options = {"plugins": [Slurm()], "default_root_dir": tmp_path}
    whole = trained(world, before, **options)
    assert (tmp_path / "asked").read_text() == "requeue 17\n"
    hpc = torch.load(tmp_path / "hpc_ckpt_1.ckpt", weights_only=True)
    assert hpc["global_step"] == (9 if at[0] == "batch" else 12)
    resumed = trained(world, after, checkpoint=str(tmp_path / "hpc_ckpt_1.ckpt"))
    assert all(map(torch.equal, before.windows[hpc["global_step"] :], after.windows))
    assert after.scores == before.scores[1:]
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


def command(name, world, at, *options) -> int:
    """Run a command that stops itself."""
    place = {"class_path": f"{__name__}.Recorder", "init_args": {"at": at}}
    return main(
        [
            *(name, "--data.root", str(world), "--trainer.accelerator", "cpu"),
            *("--trainer.enable_progress_bar", "false", "--trainer.callbacks", json.dumps([place])),
            *options,
        ]
    )


TINY = [
    *("--model.model_args", '{"width": 2, "depth": 1, "heads": 1}', "--data.patch_size", "32"),
    *("--data.batch_size", "2", "--data.steps_per_epoch", "4", "--trainer.max_epochs", "2"),
    *("--confidence_calibration.method", "none"),
]


def test_a_fit_that_is_told_to_stop_says_so_and_how_to_go_on(world, capsys):
    assert command("fit", world, ["batch", 1, 1], *TINY) == 128 + signal.SIGTERM
    run = "runs/glavitu/version_0"
    said = f"stopped by SIGTERM: {run}/checkpoints/last.ckpt keeps its 6 steps; go on with "
    said += f"glavitu fit --config {run}/config.yaml --checkpoint last"
    assert said in capsys.readouterr().err
    on = ("--config", f"{run}/config.yaml", "--checkpoint", "last")
    assert command("fit", world, None, *on) == 0
    assert "after 6 steps" in capsys.readouterr().out
    assert torch.load(f"{run}/checkpoints/last.ckpt", weights_only=True)["global_step"] == 8
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("name", ["validate", "test", "predict"])
def test_other_commands_that_are_told_to_stop_do(world, capsys, name):
    assert command("fit", world, None, *TINY[:-4], "--trainer.max_epochs", "1") == 0
    last = ("--checkpoint", "last")
    assert command(name, world, [name, 0, 0], *last) == 128 + signal.SIGTERM
    assert "stopped by SIGTERM: give the same command again" in capsys.readouterr().err
    assert not list(Path().rglob("report.csv"))


def test_a_fit_that_is_interrupted_says_how_to_go_on(world, capsys):
    handler = signal.getsignal(signal.SIGINT)
    try:
        assert command("fit", world, ["interrupt", 1, 1], *TINY) == 130
    finally:
        signal.signal(signal.SIGINT, handler)  # Lightning ignores further ones
    said = capsys.readouterr().err
    assert "stopped by Ctrl-C: the last checkpoint keeps the epochs that were finished; go" in said
