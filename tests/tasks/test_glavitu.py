import math

import pandas as pd
import pytest
import torch
from lightning.pytorch import Callback, Trainer

from glavitu.cli import main
from glavitu.datamodules import GlacierDataModule
from glavitu.errors import InputError
from glavitu.models import FusedSegmenter
from glavitu.regions import UNKNOWN, region_vector
from glavitu.tasks import GlaViTUTask

TINY = {"width": 8, "depth": 1, "heads": 2}


def task(**options) -> GlaViTUTask:
    torch.manual_seed(0)
    return GlaViTUTask(**({"model_args": TINY, "image_size": 32} | options))


def quiet(**options) -> Trainer:
    return Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **({"enable_checkpointing": False} | options),
    )


def data(world, **options) -> GlacierDataModule:
    return GlacierDataModule(
        str(world), **({"patch_size": 32, "batch_size": 2, "steps_per_epoch": 3} | options)
    )


def batch(size=32) -> dict:
    torch.manual_seed(1)
    return {"image": torch.rand(2, 8, size, size), "mask": torch.randint(2, (2, size, size))}


def test_the_loss_of_a_step_weighs_both_heads():
    module = task(deep_supervision=0.25)
    sample = batch()
    loss = module.training_step(sample, 0)
    logits, deep = module.model(sample["image"], None, True)
    expected = module.loss(logits, sample["mask"]) + 0.25 * module.loss(deep, sample["mask"])
    torch.testing.assert_close(loss, expected)


def test_the_schedule_restarts_at_the_published_epochs():
    module = task(lr=5e-4)
    steps = 3

    class Epochs:
        estimated_stepping_batches = steps * 150
        num_training_batches = steps
        accumulate_grad_batches = 1

    module._trainer = Epochs()
    configured = module.configure_optimizers()
    optimiser, scheduler = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    assert type(optimiser) is torch.optim.Adam
    assert optimiser.defaults["eps"] == 1e-7  # Keras' own
    assert configured["lr_scheduler"]["interval"] == "step"
    rates = []
    for _ in range(steps * 150):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    starts = [i / steps for i, rate in enumerate(rates) if rate == 5e-4]
    assert starts == [0, 10, 30, 70]
    # Cosine: half way down in the middle of a cycle, and close to 0 at its end.
    assert rates[20 * steps] == pytest.approx(2.5e-4)
    assert rates[50 * steps] == pytest.approx(2.5e-4)
    end = 5e-4 * (1 + math.cos(math.pi * (80 * steps - 1) / (80 * steps))) / 2
    assert rates[-1] == pytest.approx(end)


class Rates(Callback):
    """Keeps the learning rate of every step of the optimiser."""

    def __init__(self):
        self.values = []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.values.append(optimizer.param_groups[0]["lr"])


@pytest.mark.parametrize("accumulated", [2, 3, 4, 5, 9])
def test_a_cycle_has_its_epochs_however_many_batches_are_accumulated(world, accumulated):
    rates = Rates()
    trainer = quiet(
        max_epochs=6,
        limit_val_batches=0,
        accumulate_grad_batches=accumulated,
        callbacks=[rates],
    )
    trainer.fit(task(lr=1e-3, cycle_epochs=2), data(world, steps_per_epoch=8))
    steps = math.ceil(8 / accumulated)
    assert len(rates.values) == 6 * steps
    # Cycles of 2 and 4 epochs: the rate is at its maximum at their starts alone.
    assert [i for i, rate in enumerate(rates.values) if rate == 1e-3] == [0, 2 * steps]


class Endless(torch.utils.data.IterableDataset):
    """Batches without end."""

    def __iter__(self):
        while True:
            yield batch()


def test_batches_that_cannot_be_counted_need_a_limit():
    endless = torch.utils.data.DataLoader(Endless(), batch_size=None)
    with pytest.raises(InputError, match=r"set trainer\.limit_train_batches"):
        quiet(max_epochs=1).fit(task(), endless)
    trainer = quiet(max_epochs=1, limit_train_batches=2)
    trainer.fit(task(), endless)
    assert trainer.global_step == 2


class Modes(Callback):
    """Keeps which modules train."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.training = {module.training for module in pl_module.modules()}


@pytest.mark.parametrize("frozen", ["task", "model"])
def test_what_was_built_in_eval_mode_is_trained_whole(world, tmp_path, frozen):
    if frozen == "task":
        module = GlaViTUTask.from_checkpoint(stored(tmp_path)[0])
    else:
        module = task(model=task().model.eval())
    before = [norm.running_mean.clone() for norm in norms(module)]
    modes = Modes()
    quiet(max_epochs=1, limit_val_batches=0, callbacks=[modes]).fit(module, data(world))
    assert modes.training == {True}
    assert not any(map(torch.equal, before, [norm.running_mean for norm in norms(module)]))


def test_a_part_that_was_frozen_on_purpose_stays_so(world):
    module = task()
    module.model.fusion.eval()
    modes = Modes()
    quiet(max_epochs=1, limit_val_batches=0, callbacks=[modes]).fit(module, data(world))
    assert modes.training == {True, False}
    assert not module.model.fusion.training


class Losses(Callback):
    """Keeps the loss of every step."""

    def __init__(self):
        self.values = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.values.append(outputs["loss"].item())


def test_training_lowers_the_loss(world):
    losses = Losses()
    trainer = quiet(max_epochs=1, limit_val_batches=0, callbacks=[losses])
    trainer.fit(task(lr=5e-3, cycle_epochs=1), data(world, steps_per_epoch=60))
    assert sum(losses.values[-10:]) < 0.8 * sum(losses.values[:10])


def test_a_module_can_be_validated_before_it_is_trained(world):
    module = task()
    quiet().validate(module, data(world), verbose=False)
    trainer = quiet(max_epochs=1, num_sanity_val_steps=0)
    trainer.fit(module, data(world))
    assert trainer.callback_metrics["val/loss"].isfinite()


def test_validation_iou_is_the_mean_over_windows_with_glacier():
    module = task().eval()
    module.log = lambda *args, **kwargs: logged.update({args[0]: args[1]})
    logged: dict = {}
    module.on_validation_epoch_start()
    masks, predictions = batch()["mask"], []
    for index in range(2):
        masks[index, :, :16] = index  # no window is without glacier
        sample = {"image": batch()["image"][index : index + 1], "mask": masks[index : index + 1]}
        predictions.append(module.validation_step(sample, index)[0] == 1)
    module.on_validation_epoch_end()
    truths = masks == 1
    ious = [(p & t).sum() / (p | t).sum() for p, t in zip(predictions, truths, strict=True)]
    assert logged["val/iou"].item() == pytest.approx(torch.stack(ious).mean().item())


def validated(module, world, **options) -> dict[str, float]:
    trainer = quiet()
    (metrics,) = trainer.validate(module, data(world, **options), verbose=False)
    return metrics


def test_validation_does_not_depend_on_the_batches(world):
    # 18 windows: the last batch of 4 is half as large.
    expected = validated(task(), world, batch_size=1)
    for batch_size in (4, 18):
        assert validated(task(), world, batch_size=batch_size) == pytest.approx(expected, rel=1e-6)


def test_validation_with_regions_sees_every_window_with_its_region_and_as_unknown(world):
    module = task(location="region")
    module.model.fusion.location[3].weight.data *= 1000  # so that the region matters
    metrics = validated(module, world, location="region", batch_size=4)
    datamodule = data(world, location="region", batch_size=1)
    datamodule.setup("validate")
    losses: dict[bool, list] = {True: [], False: []}
    ious = []
    with torch.no_grad():
        for window in datamodule.val_dataloader():
            for known in (True, False):
                location = window["location"] if known else region_vector(UNKNOWN)[None]
                logits = module.eval()(window["image"], location)
                losses[known].append(module.loss(logits, window["mask"]))
                predicted, true = logits.argmax(1) == 1, window["mask"] == 1
                if (predicted | true).any():
                    ious.append((predicted & true).sum() / (predicted | true).sum())
    means = [torch.stack(losses[known]).mean().item() for known in (True, False)]
    assert abs(means[0] - means[1]) > 1e-3
    assert metrics["val/loss"] == pytest.approx(sum(means) / 2, rel=1e-5)
    assert metrics["val/iou"] == pytest.approx(torch.stack(ious).mean().item(), rel=1e-5)


def test_the_prediction_of_a_validation_step_is_that_with_the_region():
    module = task(location="region").eval()
    module.model.fusion.location[3].weight.data *= 1000
    location = region_vector(5).expand(2, -1)
    sample = batch() | {"location": location}
    with torch.no_grad():
        known = module(sample["image"], location).argmax(1)
        unknown = module(sample["image"], region_vector(UNKNOWN).expand(2, -1)).argmax(1)
        assert torch.equal(module.validation_step(sample, 0), known)
    assert not torch.equal(known, unknown)


def test_a_process_without_windows_or_tiles_counts_none():
    module = task().eval()
    empty = {"image": torch.zeros(1, 8, 0, 0), "mask": torch.zeros(1, 0, 0, dtype=torch.long)}
    empty["region"] = torch.zeros(1, dtype=torch.long)
    module.validation_step(batch(), 0)
    loss, iou = module.val_loss.compute(), module.val_metrics["iou"].compute()
    module.validation_step(empty, 1)
    module.test_step(empty, 0)
    module.val_loss._computed = module.val_metrics["iou"]._computed = None
    assert module.val_loss.compute() == loss
    assert torch.equal(module.val_metrics["iou"].compute(), iou)
    assert module.test_confusion.table().empty


@pytest.mark.parametrize("location", [None, "region", "coordinates"])
def test_a_checkpoint_alone_rebuilds_the_task(world, tmp_path, location):
    module = task(location=location)
    trainer = quiet(max_epochs=1, num_sanity_val_steps=0)
    trainer.fit(module, data(world, location=location))
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    torch.load(tmp_path / "run.ckpt", weights_only=True)  # no code in it
    again = GlaViTUTask.from_checkpoint(tmp_path / "run.ckpt")
    assert again.hparams == module.hparams
    assert all(
        torch.equal(value, again.state_dict()[key]) for key, value in module.state_dict().items()
    )
    lightnings = GlaViTUTask.load_from_checkpoint(tmp_path / "run.ckpt", map_location="cpu")
    assert lightnings.features == module.features


def test_baselines_are_chosen_by_name(world):
    module = task(model="unet", model_args={"encoder": "resnet18", "width": 8})
    assert isinstance(module.model, FusedSegmenter)
    trainer = quiet(max_epochs=1, num_sanity_val_steps=0)
    trainer.fit(module, data(world))
    assert trainer.callback_metrics["train/loss"].isfinite()


def test_whole_tiles_are_predicted_by_blended_windows(world):
    module = task().eval()
    datamodule = data(world)
    datamodule.setup("test")
    whole = next(iter(datamodule.test_dataloader()))
    assert whole["image"].shape == (1, 8, 64, 64)
    with torch.inference_mode():
        probabilities = module.predict_tiles(whole)
    assert probabilities.shape == (1, 2, 64, 64)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(1, 64, 64))


def test_a_checkpoint_keeps_that_borders_are_mirrored(world, tmp_path):
    module = task(mirrored=True)
    trainer = quiet(max_epochs=1, num_sanity_val_steps=0)
    trainer.fit(module, data(world))
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    again = GlaViTUTask.from_checkpoint(tmp_path / "run.ckpt")
    assert again.mirrored
    image = torch.rand(1, 8, 40, 40)
    with torch.inference_mode():
        mirrored = again.predict_tiles({"image": image})
        again.mirrored = False
        padded = again.predict_tiles({"image": image})
    assert not torch.allclose(mirrored, padded, atol=1e-4)


def test_testing_counts_every_pixel_of_every_region(world):
    module = task()
    results = quiet().test(module, data(world), verbose=False)[0]
    table = module.test_confusion.table()
    assert table["region"].tolist() == ["HMA", "SC"]
    assert table["pixels"].tolist() == [64 * 64] * 2
    union = table[["tp", "fp", "fn"]].sum()
    assert results["test/iou"] == pytest.approx(union["tp"] / union.sum())
    assert results["test/iou_HMA"] == pytest.approx(table["iou"][0])
    assert results["test/iou_mean"] == pytest.approx(table["iou"].mean())


def test_finetuning_starts_from_a_checkpoints_weights(tmp_path):
    source = task()
    trainer = quiet()
    trainer.strategy.connect(source)
    trainer.save_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    torch.manual_seed(5)
    started = GlaViTUTask(
        model_args=TINY, image_size=32, initial_weights=str(tmp_path / "a.ckpt"), lr=5e-5
    )
    for key, value in source.state_dict().items():
        assert torch.equal(value, started.state_dict()[key])
    assert "initial_weights" not in started.hparams
    with pytest.raises(InputError, match=r"a\.ckpt: was trained with the features optical, dem"):
        task(features=["optical"], initial_weights=str(tmp_path / "a.ckpt"))
    with pytest.raises(InputError, match=r"a\.ckpt: its weights do not fit"):
        task(model_args=TINY | {"width": 16}, initial_weights=str(tmp_path / "a.ckpt"))


UNET = {"model": "unet", "model_args": {"encoder": "resnet18", "width": 8}}


def stored(folder, **options) -> tuple[str, GlaViTUTask]:
    """A task as a checkpoint, all its weights different from those of a new one."""
    source = task(**options)
    with torch.no_grad():
        for parameter in source.parameters():
            parameter += 0.125
    trainer = quiet()
    trainer.strategy.connect(source)
    trainer.save_checkpoint(folder / "a.ckpt", weights_only=True)
    return str(folder / "a.ckpt"), source


@pytest.mark.parametrize("model", [{}, UNET])
@pytest.mark.parametrize(
    ("before", "after", "untrained", "message"),
    [
        ({}, {"num_classes": 3}, ("heads",), "heads start untrained.* 2 classes and now are 3"),
        ({}, {"location": "region"}, ("location",), "location encoding starts untrained"),
        ({"location": "region"}, {}, (), "location encoding is dropped.* was region and now is"),
        (
            {"location": "region"},
            {"location": "coordinates", "num_classes": 4},
            ("heads", "location"),
            "heads start untrained.*; the location encoding starts untrained",
        ),
    ],
)
def test_finetuning_for_other_classes_or_places_keeps_all_other_weights(
    tmp_path, model, before, after, untrained, message
):
    path, source = stored(tmp_path, **model, **before)
    with pytest.warns(UserWarning, match=message):
        started = task(initial_weights=path, **model, **after)
    fresh = task(**model, **after).state_dict()
    parts = {
        "heads": ("model.output", "model.deep_supervision", "model.segmenter.segmentation_head"),
        "location": ("model.fusion.location",),
    }
    prefixes = tuple(prefix for part in untrained for prefix in parts[part])
    seen = set()
    for key, value in started.state_dict().items():
        is_untrained = key.startswith(prefixes)
        expected = fresh if is_untrained else source.state_dict()
        assert torch.equal(value, expected[key]), key
        seen.add(is_untrained)
    assert seen == ({True, False} if untrained else {False})
    batch_of_two = torch.rand(2, 8, 32, 32)
    size = started.model.location_size
    location = None if size is None else torch.rand(2, size)
    assert started(batch_of_two, location).shape == (2, started.num_classes, 32, 32)


def test_finetuning_for_the_same_purpose_says_nothing_and_is_strict(tmp_path, recwarn):
    path, _ = stored(tmp_path, location="region")
    task(initial_weights=path, location="region")
    assert not [w for w in recwarn if "a.ckpt" in str(w.message)]
    checkpoint = torch.load(path, weights_only=True)
    del checkpoint["state_dict"]["model.output.bias"]
    torch.save(checkpoint, path)
    message = r"(?s)a\.ckpt: its weights do not fit.*model\.output\.bias"
    with pytest.raises(InputError, match=message):
        task(initial_weights=path, location="region")
    with pytest.raises(InputError, match=r"a\.ckpt: its weights do not fit"):
        task(initial_weights=path, num_classes=3, model_args=TINY | {"width": 16})


def norms(module) -> list:
    return [
        m for m in module.modules() if isinstance(m, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d)
    ]


@pytest.mark.parametrize("model", [{}, UNET])
def test_the_momentum_of_all_batch_norms_can_be_set(tmp_path, model):
    assert {norm.momentum for norm in norms(task())} == {0.01}  # as published
    path, source = stored(tmp_path, location="region", batch_norm_momentum=0.3, **model)
    assert {norm.momentum for norm in norms(source)} == {0.3}
    again = GlaViTUTask.from_checkpoint(path)
    assert {norm.momentum for norm in norms(again)} == {0.3}
    for wrong in (0.0, 1.5):
        with pytest.raises(InputError, match="batch_norm_momentum"):
            task(batch_norm_momentum=wrong)


def test_one_window_cannot_be_normalised_with_a_location(world):
    with pytest.raises(InputError, match=r"data\.batch_size is 1"):
        quiet(max_epochs=1).fit(
            task(location="region"), data(world, batch_size=1, location="region")
        )


def test_a_checkpoint_of_other_features_is_refused(world, tmp_path):
    trainer = quiet()
    trainer.strategy.connect(task())
    trainer.save_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    other = task(features=["optical", "thermal"])
    with pytest.raises(InputError, match=r"optical, dem, but the data gives optical, thermal"):
        quiet().test(
            other, data(world, features=["optical", "thermal"]), ckpt_path=tmp_path / "a.ckpt"
        )


def test_a_checkpoint_of_another_location_or_size_is_refused(world, tmp_path):
    path, _ = stored(tmp_path)
    with pytest.raises(InputError, match=r"set data\.location to None"):
        quiet().test(task(location="region"), data(world, location="region"), ckpt_path=path)
    with pytest.raises(InputError, match=r"set data\.patch_size to 32"):
        quiet().test(task(image_size=64), data(world, patch_size=64), ckpt_path=path)
    with pytest.raises(InputError, match=r"set data\.patch_size to 32"):
        task(image_size=64, initial_weights=path)


def test_a_checkpoint_of_another_version_is_refused_with_both_versions(tmp_path):
    trainer = quiet()
    trainer.strategy.connect(task())
    trainer.save_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    checkpoint = torch.load(tmp_path / "a.ckpt", weights_only=True)
    checkpoint["hyper_parameters"]["novelty"] = 1
    checkpoint["glavitu_version"] = "99.0"
    torch.save(checkpoint, tmp_path / "b.ckpt")
    with pytest.raises(InputError, match=r"b\.ckpt.*99\.0.*novelty"):
        GlaViTUTask.from_checkpoint(tmp_path / "b.ckpt")


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such checkpoint"), (b"no", "cannot be read"), (b"PK\x03\x04", "cannot be read")],
)
def test_files_that_are_no_checkpoints_are_refused(tmp_path, content, message):
    path = tmp_path / "x.ckpt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=rf"x\.ckpt: {message}"):
        GlaViTUTask.from_checkpoint(path)
    torch.save({"a": 1}, path)
    with pytest.raises(InputError, match="not a glavitu checkpoint"):
        GlaViTUTask.from_checkpoint(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"location": "planet"}, "unknown location 'planet'"),
        ({"model_args": {"breadth": 8}}, "breadth"),
        ({"model": "no_such"}, "no_such"),
        ({"features": ["radar"]}, "'radar'"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        task(**options)


def written(module: GlaViTUTask, path) -> str:
    trainer = quiet()
    trainer.strategy.connect(module)
    trainer.save_checkpoint(path, weights_only=True)
    return str(path)


def member(seed=0, **options) -> GlaViTUTask:
    """A task whose weights tell something else of each window."""
    module = task(**options)
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return module.eval()


class TestInference:
    """What predictions are the mean of; tests/models/test_inference.py has the means themselves."""

    @pytest.fixture
    def paths(self, tmp_path) -> list[str]:
        return [written(member(seed), tmp_path / f"{seed}.ckpt") for seed in range(2)]

    def test_an_ensemble_is_the_mean_of_its_members(self, paths):
        image = batch()["image"]
        alone = [GlaViTUTask.from_checkpoint(path) for path in paths]
        with torch.no_grad():
            first, second = (module.predict_probabilities(image) for module in alone)
            ensemble = GlaViTUTask.from_checkpoint(paths[0], paths[1])
            both = ensemble.predict_probabilities(image)
            twice = GlaViTUTask.from_checkpoint(paths[0], [paths[0]])
            assert torch.equal(twice.predict_probabilities(image), first)
        torch.testing.assert_close(both, (first + second) / 2)
        assert (first - second).abs().max() > 0.01

    def test_a_baseline_joins_an_ensemble_and_every_word_multiplies(self, paths, tmp_path):
        unet = written(member(2, **UNET), tmp_path / "unet.ckpt")
        module = GlaViTUTask.from_checkpoint(paths[0], [unet, "tta", "mc-dropout:2"])
        calls = []
        for model in (module, *module._ensemble):
            model.register_forward_hook(lambda model, *_: calls.append(model))
        with torch.no_grad():
            probabilities = module.predict_probabilities(batch()["image"])
        assert (calls.count(module), calls.count(module._ensemble[0])) == (16, 16)
        torch.testing.assert_close(probabilities.sum(1), torch.ones(2, 32, 32))

    def test_a_checkpoint_neither_keeps_nor_needs_it(self, paths, tmp_path):
        module = GlaViTUTask.from_checkpoint(paths[0], ["tta", "mc-dropout", paths[1]])
        plain = GlaViTUTask.from_checkpoint(paths[0])
        assert module.state_dict().keys() == plain.state_dict().keys()
        assert list(module.parameters()) == list(module.model.parameters())
        checkpoint = torch.load(written(module, tmp_path / "c.ckpt"), weights_only=True)
        assert checkpoint["hyper_parameters"] == dict(plain.hparams)
        again = GlaViTUTask.load_from_checkpoint(tmp_path / "c.ckpt", inference="mc-dropout:3")
        assert (again.inference.symmetries, again.inference.dropout_runs) == (False, 3)

    def test_members_follow_the_task_to_its_device_and_precision(self, paths):
        module = GlaViTUTask.from_checkpoint(paths[0], paths[1]).to(torch.bfloat16)
        with torch.no_grad():
            probabilities = module.predict_probabilities(batch()["image"].to(torch.bfloat16))
        assert probabilities.dtype == torch.float32

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"num_classes": 3}, r"b\.ckpt: was trained with num_classes 3, but .* with 2"),
            ({"location": "region"}, r"b\.ckpt: was trained with location region, but .* None"),
            ({"image_size": 64}, r"b\.ckpt: was trained with image_size 64, but .* with 32"),
            ({"features": ["optical"]}, r"b\.ckpt: .* features \('optical',\), but .* 'dem'\)"),
        ],
    )
    def test_members_of_another_kind_are_refused(self, paths, tmp_path, options, message):
        other = written(task(**options), tmp_path / "b.ckpt")
        with pytest.raises(InputError, match=message):
            GlaViTUTask.from_checkpoint(paths[0], other)

    def test_what_is_no_checkpoint_is_refused(self, paths, tmp_path):
        (tmp_path / "b.ckpt").write_text("no")
        with pytest.raises(InputError, match=r"b\.ckpt: cannot be read as a checkpoint"):
            GlaViTUTask.from_checkpoint(paths[0], str(tmp_path / "b.ckpt"))
        with pytest.raises(InputError, match="'dropout': there is no such checkpoint; give 'tta'"):
            task(inference="dropout")

    @pytest.mark.slow
    @pytest.mark.parametrize("words", ["tta", "[mc-dropout:2,1.ckpt]", "1.ckpt"])
    def test_the_command_tests_as_asked_whatever_the_checkpoint_was_made_with(
        self, world, paths, tmp_path, words
    ):
        maker = GlaViTUTask.from_checkpoint(paths[0], "mc-dropout:1")
        arguments = ["test", "--ckpt_path", written(maker, tmp_path / "0.ckpt")]
        arguments += ["--data.root", str(world), "--model.inference", words]
        arguments += ["--trainer.logger", "false", "--trainer.accelerator", "cpu"]
        assert main([*arguments, "--region_report.output", str(tmp_path)]) == 0
        report = pd.read_csv(tmp_path / "report.csv")
        asked = GlaViTUTask.from_checkpoint(paths[0], words.strip("[]").split(","))
        plain = GlaViTUTask.from_checkpoint(paths[0])
        for module in (asked, plain):
            quiet().test(module, data(world), verbose=False)
        counts = ["tp", "fp", "fn"]
        assert report[counts].equals(asked.test_confusion.table()[counts])
        assert not report[counts].equals(plain.test_confusion.table()[counts])


@pytest.mark.parametrize(
    ("form", "padding", "mirrored"),
    [("world", None, True), ("world", "land", False), ("benchmark", None, False)],
)
def test_borders_are_mirrored_where_padding_was_unknown_in_training(
    request, tmp_path, form, padding, mirrored
):
    trainer = quiet(max_steps=1, num_sanity_val_steps=0, limit_val_batches=1)
    module = task()
    trainer.fit(module, data(request.getfixturevalue(form), padding=padding))
    assert module.mirrored == mirrored
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    assert GlaViTUTask.from_checkpoint(tmp_path / "run.ckpt").mirrored == mirrored


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"features": ("dem", "optical")}, "features dem, optical, but .* for optical, dem"),
        ({"features": ("optical",)}, "features optical, but the model was built for optical, dem"),
        ({"patch_size": 48}, r"windows of 48 pixels \(patch_size\).* those of 32"),
    ],
)
def test_a_data_module_of_other_images_is_refused(world, options, says):
    with pytest.raises(InputError, match=says):
        quiet(max_epochs=1, num_sanity_val_steps=0).fit(task(), data(world, **options))
