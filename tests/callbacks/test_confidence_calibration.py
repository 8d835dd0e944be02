import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from glavitu.callbacks import ConfidenceCalibration
from glavitu.datamodules import GlacierDataModule
from glavitu.errors import InputError
from glavitu.tasks import GlaViTUTask
from glavitu.tasks.calibrate import calibrate


class FirstIsBest(GlaViTUTask):
    """Says that its first epoch was the best."""

    def on_validation_epoch_end(self):
        self.log("val/iou", -float(self.current_epoch))


def fit(
    world, folder, callback, ckpt_path=None, **options
) -> tuple[FirstIsBest, GlacierDataModule]:
    torch.manual_seed(0)
    data = GlacierDataModule(str(world), patch_size=32, batch_size=2, steps_per_epoch=2)
    task = FirstIsBest(model_args={"width": 8, "depth": 1, "heads": 2}, image_size=32, lr=0.01)
    best = ModelCheckpoint(folder, "best", "val/iou", mode="max")
    last = ModelCheckpoint(folder, "last")
    trainer = Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        callbacks=[callback, best, last],
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **options,
    )
    trainer.fit(task, datamodule=data, ckpt_path=ckpt_path, weights_only=True)
    return task, data


@pytest.mark.slow
def test_the_curve_is_that_of_the_best_weights_and_the_task_keeps_the_last(world, tmp_path, capsys):
    trained, data = fit(world, tmp_path, ConfidenceCalibration(per_region=True))
    best = GlaViTUTask.from_checkpoint(tmp_path / "best.ckpt")
    last = GlaViTUTask.from_checkpoint(tmp_path / "last.ckpt")
    of_best, of_last = (
        calibrate(task, data.whole_tiles("val"), per_region=True, progress=False).calibration
        for task in (best, last)
    )
    assert best.calibration.to_dict() == of_best.to_dict()
    assert best.calibration.to_dict() != of_last.to_dict()
    assert len(best.calibration.regions) == 2
    assert last.calibration is None
    assert trained.calibration is None
    state = last.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in trained.state_dict().items())
    assert "The confidence of best.ckpt is calibrated (kernel_ridge)" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {
        *("best.ckpt", "last.ckpt", "calibration.json", "reliability.png")
    }


def test_nothing_is_calibrated_where_nothing_is_asked_for(world, tmp_path, recwarn):
    fit(world, tmp_path, ConfidenceCalibration("none"))
    # From the last checkpoint the run knows which is the best.
    resumed = {"ckpt_path": tmp_path / "last.ckpt", "fast_dev_run": True}
    fit(world, tmp_path, ConfidenceCalibration(), **resumed)
    assert {path.name for path in tmp_path.iterdir()} == {"best.ckpt", "last.ckpt"}
    for path in tmp_path.iterdir():
        assert "calibration" not in torch.load(path, weights_only=True)
    assert not [warning for warning in recwarn if "not calibrated" in str(warning.message)]


def test_an_unknown_method_is_refused_before_training():
    with pytest.raises(InputError, match="unknown calibration 'platt'; choose from kernel_ridge"):
        ConfidenceCalibration("platt")
