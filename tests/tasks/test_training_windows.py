import pytest
import torch
from lightning.pytorch import Callback, LightningDataModule, Trainer
from torch.utils.data import DataLoader

from glavitu.confidence.training_values import TrainingValues
from glavitu.confidence.window_measures import WindowHistograms
from glavitu.datamodules import GlacierDataModule
from glavitu.errors import InputError
from glavitu.tasks import GlaViTUTask, training_windows

TINY = {"width": 8, "depth": 1, "heads": 2}


def task(**options) -> GlaViTUTask:
    torch.manual_seed(0)
    return GlaViTUTask(**({"model_args": TINY, "image_size": 32} | options))


def trainer(**options) -> Trainer:
    return Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=1,
        **({"max_epochs": 1} | options),
    )


def data(world) -> GlacierDataModule:
    return GlacierDataModule(str(world), patch_size=32, batch_size=2, steps_per_epoch=3)


def expected_of(windows, groups) -> TrainingValues:
    histograms = WindowHistograms(groups)
    histograms.add(torch.stack(windows))
    return TrainingValues.counted(histograms)


def assert_same(one, other):
    assert one.windows == other.windows
    torch.testing.assert_close((one.low, one.high), (other.low, other.high), equal_nan=True)


@pytest.fixture
def fitted(world, tmp_path):
    """A task after an epoch of 6 windows, the windows as they were before augmentation."""
    module, datamodule = task(), data(world)
    fit = trainer()
    fit.fit(module, datamodule=datamodule)
    fit.save_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    windows = [datamodule.train_dataset[w]["image"] for w in datamodule.train_sampler]
    return module, windows, tmp_path / "a.ckpt"


def test_a_checkpoint_tells_what_the_windows_were_before_augmentation(fitted):
    module, windows, path = fitted
    assert len(windows) == 6
    expected = expected_of(windows, module.features)
    assert_same(module.training_values, expected)
    assert_same(GlaViTUTask.from_checkpoint(path).training_values, expected)


def test_a_resumed_training_goes_on_measuring(fitted, world, tmp_path):
    _, windows, _ = fitted
    first, again, module = trainer(), trainer(max_epochs=2), task()
    first.fit(task(), datamodule=data(world))
    first.save_checkpoint(tmp_path / "b.ckpt")
    datamodule = data(world)
    again.fit(module, datamodule=datamodule, ckpt_path=tmp_path / "b.ckpt", weights_only=True)
    more = [datamodule.train_dataset[w]["image"] for w in datamodule.train_sampler]
    groups = module.features
    expected = expected_of(more, groups).joined(expected_of(windows, groups))
    assert_same(module.training_values, expected)


def test_no_more_windows_are_measured_than_say_enough(world, monkeypatch):
    monkeypatch.setattr(training_windows, "MOST_WINDOWS", 5)
    module = task()
    trainer(max_epochs=2).fit(module, datamodule=data(world))
    assert module.training_values.windows == 5


def test_a_checkpoint_of_before_loads_without(fitted, tmp_path, world):
    _, _, path = fitted
    checkpoint = torch.load(path, weights_only=True)
    del checkpoint["training_values"]
    torch.save(checkpoint, tmp_path / "old.ckpt")
    assert GlaViTUTask.from_checkpoint(tmp_path / "old.ckpt").training_values is None
    # One that is started from it tells of its own training.
    module = task(initial_weights=str(path))
    assert module.training_values is None


def test_values_of_other_features_are_said(fitted, tmp_path):
    _, _, path = fitted
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["training_values"]["low"] = torch.zeros(3)
    torch.save(checkpoint, tmp_path / "odd.ckpt")
    with pytest.raises(InputError, match="training_values have the shapes"):
        GlaViTUTask.from_checkpoint(tmp_path / "odd.ckpt")


def test_a_task_that_never_trained_tells_nothing(tmp_path):
    fit = trainer()
    fit.strategy.connect(task())
    fit.save_checkpoint(tmp_path / "new.ckpt", weights_only=True)
    assert "training_values" not in torch.load(tmp_path / "new.ckpt", weights_only=True)


class Plain(LightningDataModule):
    """Windows of others' data module, without augmentation; validation has other values."""

    def train_dataloader(self):
        return DataLoader([self.sample(0.3)] * 4, batch_size=2)

    def val_dataloader(self):
        return DataLoader([self.sample(0.9)] * 2, batch_size=2)

    def sample(self, level):
        return {
            "image": torch.full((8, 32, 32), level),
            "mask": torch.zeros(32, 32, dtype=torch.long),
        }


class Own(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(8, 2, 1)

    def forward(self, image):
        return self.layer(image)


class Saves(Callback):
    """Saves while the training runs, before a validation."""

    def on_validation_start(self, trainer, pl_module):
        if not trainer.sanity_checking:
            trainer.save_checkpoint("early.ckpt", weights_only=True)


@pytest.mark.parametrize("precision", ["32-true", "bf16-true"])
def test_any_model_and_data_module_in_any_precision(precision):
    module = task(model=Own())
    fit = trainer(callbacks=[Saves()], precision=precision)
    fit.fit(module, datamodule=Plain())
    values = module.training_values
    assert values.windows == 4
    assert values.high[0] < 0.31  # of the training's windows alone
    early = torch.load("early.ckpt", weights_only=True)["training_values"]
    assert_same(TrainingValues.from_dict(early, module.features), values)
