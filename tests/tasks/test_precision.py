"""Training, testing and predicting with weights of other types than float32."""

import pytest
import torch

from glavitu.cli import main
from glavitu.losses import FocalLoss
from glavitu.models.blending import blend_weights
from glavitu.regions import coordinate_vector
from glavitu.tasks import GlaViTUTask
from glavitu.tasks.precision import counting_in_float32
from glavitu.transforms import Augmentation

from .test_glavitu import Losses, data, quiet, stored, task

TRUE = ("bf16-true", "64-true")


@pytest.fixture
def half():
    """Bfloat16 as torch's default type, as Lightning makes it in a step."""
    torch.set_default_dtype(torch.bfloat16)
    yield
    torch.set_default_dtype(torch.float32)


def test_what_is_made_in_a_step_does_not_follow_torchs_default_type(half):
    assert blend_weights(32).dtype == coordinate_vector(7.0, 46.0).dtype == torch.float32
    logits = torch.tensor([[[[1.0]], [[-1.0]]]], dtype=torch.float32)
    loss = FocalLoss()(logits, torch.zeros(1, 1, 1, dtype=torch.long))
    p = logits[0, :, 0, 0].softmax(0)
    smooth = torch.tensor([0.95, 0.05], dtype=torch.float32)
    expected = (-((1 - p) ** 2) * smooth * p.log()).sum()
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
    with counting_in_float32():
        assert (torch.tensor(1) / 3).dtype == torch.float32
    assert torch.get_default_dtype() == torch.bfloat16


@pytest.mark.parametrize("location", [None, "region", "coordinates"])
@pytest.mark.parametrize("precision", TRUE)
def test_training_is_close_to_that_in_float32(world, precision, location):
    # What is drawn in the image's own type would be other numbers in another one.
    augmentation = Augmentation(contrast=0.0, occlusion=0.0, shift=0.0, noise=0.0)
    values = []
    for chosen in ("32-true", precision):
        losses = Losses()
        trainer = quiet(max_epochs=1, precision=chosen, limit_val_batches=1, callbacks=[losses])
        options = {"location": location, "augmentation": augmentation}
        trainer.fit(task(location=location), data(world, **options))
        values.append(losses.values)
    assert values[1] == pytest.approx(values[0], rel=0.05)
    # All of the augmentation runs.
    quiet(max_epochs=1, precision=precision, limit_val_batches=0).fit(
        task(location=location), data(world, location=location)
    )


@pytest.mark.parametrize("precision", TRUE)
def test_tests_and_validations_are_close_to_those_in_float32(world, tmp_path, precision):
    path, _ = stored(tmp_path, location="region")
    found = []
    for chosen in ("32-true", precision):
        module = GlaViTUTask.from_checkpoint(path)
        trainer = quiet(precision=chosen)
        (validated,) = trainer.validate(module, data(world, location="region"), verbose=False)
        trainer.test(module, data(world, location="region"), verbose=False)
        found.append((validated, module.test_confusion.table()))
    (expected, right), (validated, table) = found
    # More precise than bfloat16, of which val/iou would be a multiple of 1/256 and more.
    assert validated["val/loss"] == pytest.approx(expected["val/loss"], rel=2e-3)
    assert validated["val/iou"] == pytest.approx(expected["val/iou"], abs=0.01)
    assert table["pixels"].tolist() == right["pixels"].tolist()
    assert (table["tp"] - right["tp"]).abs().max() < 0.02 * right["pixels"].max()


def test_a_thousand_windows_are_counted_as_a_thousand(half):
    module = task().eval()
    module.on_validation_epoch_start()
    metric = module.val_metrics["iou"]
    mask = torch.zeros(1, 16, 16, dtype=torch.long)
    mask[:, :8] = 1
    prediction = mask.clone()
    prediction[:, :3] = 0
    for _ in range(1000):
        with counting_in_float32():
            module.val_metrics.update(prediction, mask)
    assert metric.compute().item() == pytest.approx(5 / 8, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("precision", TRUE)
def test_the_commands_run_and_what_they_trained_is_mapped(world, precision):
    options = ["--data.root", str(world), "--trainer.accelerator", "cpu"]
    options += ["--trainer.precision", precision, "--trainer.enable_progress_bar", "false"]
    fit = ["--model.model_args", '{"width": 4, "depth": 1, "heads": 1}', "--data.patch_size", "32"]
    fit += ["--data.batch_size", "2", "--data.steps_per_epoch", "2", "--trainer.max_epochs", "1"]
    assert main(["fit", *options, *fit, "--data.location", "region"]) == 0
    for command in ("test", "predict", "validate"):
        assert main([command, *options, "--checkpoint", "last"]) == 0
    tile = next(world.glob("test/*"))
    inputs = ["--optical", f"{tile}/optical.tif", "--dem", f"{tile}/dem.tif"]
    last = "runs/glavitu/version_0/checkpoints/last.ckpt"
    assert main(["map", "--checkpoint", last, *inputs, "--output", "out"]) == 0
