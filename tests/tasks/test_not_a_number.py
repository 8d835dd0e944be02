"""What is not a number ends a training, and is refused wherever a checkpoint is read."""

import h5py
import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint

from glavitu.cli import main
from glavitu.errors import InputError
from glavitu.models import GlaViTU
from glavitu.tasks import GlaViTUTask

from ..models.keras_files import CONFIGURATIONS, layout, write_weights
from .test_glavitu import data, quiet, stored, task


class Spoil(Callback):
    """Makes a batch, or the weights after its step, no numbers."""

    def __init__(self, batch, what="image"):
        self.batch, self.what = batch, what

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.batch and self.what == "image":
            batch["image"][0, 0, 0, 0] = float("nan")

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == self.batch and self.what == "weights":
            pl_module.model.output.bias.data[0] = float("inf")


@pytest.mark.parametrize("batch", [4, 5])
def test_a_loss_that_is_not_a_number_ends_a_training_and_leaves_its_checkpoint(
    world, tmp_path, batch
):
    last = ModelCheckpoint(tmp_path, "last")
    trainer = quiet(
        max_epochs=3,
        limit_val_batches=0,
        callbacks=[Spoil(batch), last],
        enable_checkpointing=True,
    )
    message = rf"loss of step {batch} \(batch {batch - 3} of epoch 1\) is nan.*--model\.lr"
    with pytest.raises(InputError, match=message):
        trainer.fit(task(), data(world))
    kept = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert kept["global_step"] == 3
    assert GlaViTUTask.from_checkpoint(tmp_path / "last.ckpt")


def test_a_rate_that_diverges_ends_a_training(world, capsys):
    model = '{"width": 2, "depth": 1, "heads": 1}'
    fit = ["fit", "--data.root", str(world), "--data.patch_size", "32", "--data.batch_size", "2"]
    fit += ["--model.model_args", model, "--trainer.accelerator", "cpu"]
    fit += ["--data.steps_per_epoch", "6", "--model.lr", "1e30", "--trainer.max_epochs", "2"]
    assert main(fit) == 1
    assert "glavitu: error: the loss of step " in capsys.readouterr().err


def test_weights_that_are_not_numbers_are_not_written(world, tmp_path):
    trainer = quiet(max_epochs=1, limit_val_batches=0, callbacks=[Spoil(3, "weights")])
    module = task()
    trainer.fit(module, data(world))
    with pytest.raises(InputError, match=r"1 of its \d+ weights are not numbers"):
        trainer.save_checkpoint(tmp_path / "a.ckpt")
    assert not (tmp_path / "a.ckpt").exists()


@pytest.fixture(params=[float("nan"), float("inf")])
def spoiled(tmp_path, request) -> str:
    """A checkpoint with one weight that is not a number."""
    path, _ = stored(tmp_path)
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["state_dict"]["model.resunet.output.weight"][0, 0] = request.param
    torch.save(checkpoint, path)
    return path


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict", "calibrate", "map"])
def test_a_checkpoint_of_what_is_not_a_number_is_refused(world, spoiled, capsys, command):
    options = ["--checkpoint", spoiled]
    if command == "map":
        tile = next(world.glob("test/*"))
        options += ["--output", "out", "--optical", f"{tile}/optical.tif"]
        options += ["--dem", f"{tile}/dem.tif"]
    else:
        options += ["--data.root", str(world)]
    assert main([command, *options]) == 1
    error = capsys.readouterr().err
    assert f"glavitu: error: {spoiled}: 1 of its" in error
    assert "weights are not numbers (NaN or infinite), such as model.resunet.output" in error


def test_it_is_no_start_of_a_finetuning_nor_of_lightnings_own_test(world, spoiled):
    with pytest.raises(InputError, match="weights are not numbers"):
        task(initial_weights=spoiled)
    with pytest.raises(InputError, match="weights are not numbers"):
        quiet().test(task(), data(world), ckpt_path=spoiled)


def test_predictions_that_are_not_numbers_have_no_score(world):
    module = task()
    module.model.output.bias.data[0] = float("nan")
    with pytest.raises(InputError, match="probabilities are not numbers"):
        quiet().test(module, data(world), verbose=False)


def test_masks_of_minus_infinity_are_no_fault(tmp_path):
    path, _ = stored(tmp_path)
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["state_dict"]["loss.mask"] = torch.full((2, 2), float("-inf"))
    torch.save(checkpoint, path)
    task(initial_weights=path)


def test_keras_weights_that_are_not_numbers_are_refused(tmp_path, capsys):
    path = write_weights(tmp_path / "a.h5", layout(CONFIGURATIONS[0]))
    with h5py.File(path, "r+") as file:
        layer = [
            name for name in file.attrs["layer_names"] if file[name].attrs["weight_names"].size
        ]
        name = file[layer[2]].attrs["weight_names"][1]
        file[layer[2]][name][...] = np.nan
    with pytest.raises(InputError, match=r"a\.h5: weight .* is not a number"):
        GlaViTU.from_keras(path, ("optical", "dem"))
    assert (
        main(["import-keras", str(path), "--features", "optical", "dem", "--output", "a.ckpt"]) == 1
    )
    assert "is not a number" in capsys.readouterr().err
