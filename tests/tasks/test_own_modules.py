"""Any module as the model, and any as the loss: trained, saved, loaded, tested, mapped as ours."""

import json
import sys

import pandas as pd
import pytest
import rasterio
import segmentation_models_pytorch as smp
import torch
import yaml
from lightning.pytorch import Trainer

from glavitu import GlacierDataModule, GlaViTUTask, map_scene
from glavitu.cli import main
from glavitu.errors import InputError
from glavitu.losses import LOSSES

from .own_modules import Net, Small, Told, TwoHeads, WeightedLoss

TINY = {"model_args": {"width": 8, "depth": 1, "heads": 2}, "image_size": 32}
PLAIN = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
SMALL = ["--data.patch_size=32", "--data.batch_size=2", "--data.steps_per_epoch=2"]
SMALL += ["--trainer.max_epochs=1"]


def quiet(**options) -> Trainer:
    options = {"enable_checkpointing": False, "enable_model_summary": False} | options
    return Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, **options)


def data(world, **options) -> GlacierDataModule:
    return GlacierDataModule(str(world), patch_size=32, batch_size=2, steps_per_epoch=2, **options)


def fitted(task, world, path, **options) -> GlaViTUTask:
    trainer = quiet(max_epochs=1, num_sanity_val_steps=0)
    trainer.fit(task, data(world, **options))
    trainer.save_checkpoint(path)
    torch.load(path, weights_only=True)  # no code in it
    return task.eval()


def unet(**options):
    return smp.Unet("resnet18", encoder_weights=None, in_channels=8, **({"classes": 2} | options))


def says_the_same(task, other):
    image = torch.rand(1, 8, 32, 32)
    with torch.no_grad():
        found, expected = task.predict_probabilities(image), other.predict_probabilities(image)
        # Weights that lie otherwise in memory round otherwise.
        return torch.allclose(found, expected, atol=1e-6, rtol=0)


def rasters(world) -> dict:
    tile = world / "test" / "HMA_test_000"
    return {"optical": tile / "optical.tif", "dem": tile / "dem.tif"}


def test_a_module_from_python_goes_the_whole_way(world, tmp_path):
    task = fitted(GlaViTUTask(model=Net(6), image_size=32), world, tmp_path / "a.ckpt")
    with pytest.raises(InputError, match=r"a\.ckpt: its model tests\..*Net .*model=Net\(\.\.\.\)"):
        GlaViTUTask.from_checkpoint(tmp_path / "a.ckpt")
    again = GlaViTUTask.from_checkpoint(tmp_path / "a.ckpt", model=Net(6))
    assert says_the_same(again, task)
    assert again.hparams == task.hparams
    # Tested by the weights of the checkpoint, in whatever module of its class.
    (scores,) = quiet().test(task, data(world), verbose=False)
    other = GlaViTUTask(model=Net(6), image_size=32)
    quiet().test(other, data(world), ckpt_path=tmp_path / "a.ckpt", verbose=False)
    assert other.test_confusion.table().equals(task.test_confusion.table())
    assert scores["test/iou"] >= 0
    result = map_scene(again, rasters(world), tmp_path / "out")
    with rasterio.open(result.classes) as file:
        assert file.read(1).shape == (64, 64)


def test_weights_of_another_module_are_refused(world, tmp_path):
    task = GlaViTUTask(model=Net(6), model_args={"width": 6}, image_size=32)
    fitted(task, world, tmp_path / "a.ckpt")
    message = r"(?s)a\.ckpt: its weights do not fit the .*Net .* arguments {'width': 6}"
    with pytest.raises(InputError, match=message):
        GlaViTUTask.from_checkpoint(tmp_path / "a.ckpt", model=Net(4))


def test_a_module_may_be_told_the_place(world, tmp_path):
    task = GlaViTUTask(model=Told(), location="region", image_size=32)
    fitted(task, world, tmp_path / "a.ckpt", location="region")
    with pytest.raises(InputError, match=r"Net cannot be called with an image and a location"):
        GlaViTUTask(model=Net(), location="region")
    with pytest.raises(InputError, match=r"Told cannot be called with an image: missing"):
        GlaViTUTask(model=Told())


def test_a_model_says_how_its_loss_is_made_up():
    torch.manual_seed(0)
    task = GlaViTUTask(model=TwoHeads(), image_size=32)
    image, mask = torch.rand(2, 8, 32, 32), torch.randint(2, (2, 32, 32))
    expected = 3 * task.loss(task.model(image), mask)
    torch.testing.assert_close(task.training_loss(image, mask), expected)


def test_logits_that_do_not_fit_are_refused():
    message = r"gives \(1, 2, 16, 16\) of images \(1, 8, 32, 32\); expected logits \(1, 2, 32, 32\)"
    with pytest.raises(InputError, match=message):
        GlaViTUTask(model=Small(), image_size=32)(torch.rand(1, 8, 32, 32))
    with pytest.raises(InputError, match=r"expected logits \(1, 3, 32, 32\)"):
        GlaViTUTask(model=Net(), num_classes=3, image_size=32)(torch.rand(1, 8, 32, 32))


def test_modules_make_an_ensemble(world, tmp_path):
    paths = [tmp_path / "0.ckpt", tmp_path / "1.ckpt", tmp_path / "2.ckpt"]
    options = [{"model": Net()}, {"model": Net()}, {"model_args": TINY["model_args"]}]
    alone = [
        fitted(GlaViTUTask(image_size=32, **given), world, path)
        for given, path in zip(options, paths, strict=True)
    ]
    image = torch.rand(1, 8, 32, 32)
    both = GlaViTUTask.from_checkpoint(paths[0], list(map(str, paths[1:])), Net())
    with torch.no_grad():
        expected = torch.stack([task.predict_probabilities(image) for task in alone]).mean(0)
        torch.testing.assert_close(both.predict_probabilities(image), expected)


def test_a_model_of_smp_is_built_from_its_checkpoint_alone(world, tmp_path):
    task = fitted(GlaViTUTask(model=unet(), image_size=32), world, tmp_path / "a.ckpt")
    again = GlaViTUTask.from_checkpoint(tmp_path / "a.ckpt")
    assert type(again.model) is smp.Unet
    assert says_the_same(again, task)
    assert again.hparams == task.hparams
    assert says_the_same(GlaViTUTask.load_from_checkpoint(tmp_path / "a.ckpt").eval(), task)
    report = ["--trainer.logger=false", f"--region_report.output={tmp_path}"]
    arguments = ["test", f"--ckpt_path={tmp_path / 'a.ckpt'}", f"--data.root={world}"]
    assert main([*arguments, *PLAIN, *report]) == 0
    quiet().test(again, data(world), verbose=False)
    counts = ["tp", "fp", "fn"]
    table = again.test_confusion.table()
    assert pd.read_csv(tmp_path / "report.csv")[counts].equals(table[counts])


def test_a_model_of_smp_starts_from_weights_for_other_classes(world, tmp_path):
    source = fitted(GlaViTUTask(model=unet(), image_size=32), world, tmp_path / "a.ckpt")
    options = {"num_classes": 3, "initial_weights": str(tmp_path / "a.ckpt")}
    with pytest.warns(UserWarning, match="heads start untrained"):
        started = GlaViTUTask(model=unet(classes=3), image_size=32, **options)
    for key, value in source.state_dict().items():
        if "segmentation_head" not in key:
            assert torch.equal(started.state_dict()[key], value), key


@pytest.fixture(scope="module")
def run(world, tmp_path_factory):
    """A run of a model and a loss that a configuration names, made once."""
    folder = tmp_path_factory.mktemp("run")
    module = {"class_path": "tests.tasks.own_modules.Net", "init_args": {"width": 6}}
    loss = {"class_path": "tests.tasks.own_modules.WeightedLoss"}
    (folder / "own.yaml").write_text(yaml.safe_dump({"model": {"model": module, "loss": loss}}))
    arguments = ["fit", f"--config={folder / 'own.yaml'}", f"--data.root={world}", *SMALL, *PLAIN]
    assert main([*arguments, f"--trainer.logger.init_args.save_dir={folder}"]) == 0
    return folder / "glavitu" / "version_0"


class TestByClassPath:
    """The same from a configuration, as every command takes it."""

    def test_the_checkpoint_keeps_what_the_module_was_built_of(self, run):
        path = run / "checkpoints" / "best_iou.ckpt"
        checkpoint = torch.load(path, weights_only=True)
        options = checkpoint["hyper_parameters"]
        assert options["model"] == "tests.tasks.own_modules.Net"
        assert options["model_args"] == {"width": 6, "channels": 8, "classes": 2}
        assert options["loss"] == "tests.tasks.own_modules.WeightedLoss"
        assert checkpoint["calibration"]

    def test_it_is_tested_by_the_configuration(self, run, world, tmp_path, capsys):
        path = run / "checkpoints" / "best_iou.ckpt"
        arguments = ["test", f"--ckpt_path={path}", f"--data.root={world}", *PLAIN]
        arguments += ["--trainer.logger=false", f"--region_report.output={tmp_path}"]
        assert main(arguments) == 1
        assert "its model tests.tasks.own_modules.Net is not in" in capsys.readouterr().err
        named = ["--model.model.class_path=tests.tasks.own_modules.Net"]
        named += ["--model.model.init_args.width=6"]
        assert main([*arguments, *named]) == 0
        assert main(["test", f"--config={run / 'config.yaml'}", *arguments[1:]]) == 0
        task = GlaViTUTask.from_checkpoint(path, model=Net(6))
        quiet().test(task, data(world), verbose=False)
        counts = ["tp", "fp", "fn"]
        table = task.test_confusion.table()
        assert pd.read_csv(tmp_path / "report.csv")[counts].equals(table[counts])

    def test_it_goes_on(self, run, world, tmp_path):
        arguments = ["fit", f"--config={run / 'config.yaml'}", f"--data.root={world}", *PLAIN]
        arguments += [f"--ckpt_path={run / 'checkpoints' / 'last.ckpt'}", "--trainer.max_epochs=2"]
        assert main([*arguments, f"--trainer.logger.init_args.save_dir={tmp_path}"]) == 0
        path = tmp_path / "glavitu" / "version_0" / "checkpoints" / "last.ckpt"
        assert torch.load(path, weights_only=True)["global_step"] == 4

    def test_it_maps_and_is_calibrated(self, run, world, tmp_path, capsys):
        path = run / "checkpoints" / "last.ckpt"
        files = rasters(world)
        arguments = ["map", f"--checkpoint={path}", f"--output={tmp_path / 'out'}", "--device=cpu"]
        arguments += [f"--optical={files['optical']}", f"--elevation={files['dem']}"]
        assert main(arguments) == 1
        assert "--model with `map`" in capsys.readouterr().err
        assert main([*arguments, f"--model={run / 'config.yaml'}"]) == 0
        told = json.loads((tmp_path / "out" / "run.json").read_text())
        assert told["checkpoints"][0]["name"] == "last.ckpt"
        calibrate = ["calibrate", f"--checkpoint={path}", f"--config={run / 'config.yaml'}"]
        assert main([*calibrate, "--device=cpu", f"--output={tmp_path}"]) == 0

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("data: {}", "is no configuration with model.model"),
            ("model: {model: {class_path: no.Such}}", "model.model cannot be built"),
            ("model: {model: {class_path: tests.tasks.own_modules.Net, init_args: {wide: 1}}}",
             "model.model cannot be built"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_built_is_said(self, run, world, tmp_path, capsys, content, message):
        (tmp_path / "own.yaml").write_text(content)
        path = run / "checkpoints" / "last.ckpt"
        files = rasters(world)
        arguments = ["map", f"--checkpoint={path}", f"--output={tmp_path / 'out'}", "--device=cpu"]
        arguments += [f"--optical={files['optical']}", f"--elevation={files['dem']}"]
        assert main([*arguments, f"--model={tmp_path / 'own.yaml'}"]) == 1
        assert f"own.yaml: {message}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name",
    [
        "this.Net",
        "segmentation_models_pytorch.losses.dice.torch.nn.Linear",
        "glavitu.tasks.hyperparameters.class_name",
        "glavitu.no.Such",
    ],
)
def test_a_checkpoint_does_not_say_what_code_is_run(world, tmp_path, name):
    fitted(GlaViTUTask(**TINY), world, tmp_path / "a.ckpt")
    checkpoint = torch.load(tmp_path / "a.ckpt", weights_only=True)
    checkpoint["hyper_parameters"] |= {"model": name, "model_args": {}}
    torch.save(checkpoint, tmp_path / "b.ckpt")
    arguments = ["test", f"--ckpt_path={tmp_path / 'b.ckpt'}", f"--data.root={world}", *PLAIN]
    assert main(arguments) == 1
    for load in (GlaViTUTask.from_checkpoint, GlaViTUTask.load_from_checkpoint):
        with pytest.raises(InputError, match=r"\.\w+ is not (in the checkpoint|built by its name)"):
            load(tmp_path / "b.ckpt")
    assert "this" not in sys.modules


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_trains_and_travels(world, tmp_path, loss):
    task = fitted(GlaViTUTask(**TINY, loss=loss), world, tmp_path / "a.ckpt")
    again = GlaViTUTask.from_checkpoint(tmp_path / "a.ckpt")
    assert again.hparams["loss"] == loss
    assert type(again.loss) is type(task.loss)
    assert quiet().validate(again, data(world), verbose=False)[0]["val/loss"] >= 0


def test_a_loss_may_be_a_module(world, tmp_path):
    task = fitted(GlaViTUTask(**TINY, loss=WeightedLoss()), world, tmp_path / "a.ckpt")
    again = GlaViTUTask.from_checkpoint(tmp_path / "a.ckpt")  # neither tests nor maps by its loss
    assert says_the_same(again, task)
    with pytest.raises(InputError, match=r"the loss tests\..*WeightedLoss was given as a module"):
        quiet().validate(again, data(world), verbose=False)
    started = GlaViTUTask(**TINY, initial_weights=str(tmp_path / "a.ckpt"))
    assert says_the_same(started.eval(), task)
    with pytest.raises(InputError, match="unknown loss 'l2'; choose from focal, cross_entropy"):
        GlaViTUTask(**TINY, loss="l2")


def test_batches_without_known_labels_leave_the_weights_of_any_loss_alone():
    for loss in (WeightedLoss(), "focal"):
        task = GlaViTUTask(model=Net(6), image_size=32, loss=loss)
        batch = {"image": torch.rand(2, 8, 32, 32), "mask": torch.full((2, 32, 32), 255)}
        value = task.training_step(batch, 0)
        value.backward()
        assert value == 0
        assert all(not p.grad.any() for p in task.parameters())
        task.eval().validation_step(batch, 0)
        known = batch | {"mask": torch.ones(2, 32, 32, dtype=torch.long)}
        task.validation_step(known, 1)
        expected = task.loss(task(known["image"]), known["mask"])
        torch.testing.assert_close(task.val_loss.compute(), expected.detach())
