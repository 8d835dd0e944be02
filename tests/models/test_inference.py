import weakref
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from glavitu.errors import InputError
from glavitu.features import resolve_features
from glavitu.models import FusedSegmenter, GlaViTU
from glavitu.models.inference import (
    DROPOUT_RATE,
    Inference,
    check_ensemble,
    dropout_on,
    running_mean,
)

DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


class Toy(nn.Module):
    """A network with batch norm and both kinds of dropout; it knows its calls."""

    def __init__(self, kernel=3, rate=0.0, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.Sequential(
            nn.Conv2d(2, 8, kernel, padding="same"),
            nn.BatchNorm2d(8),
            nn.Dropout2d(rate),
            nn.Conv2d(8, 3, 1),
            nn.Dropout(rate),
        )
        self.calls = 0
        self.eval()

    def forward(self, image, location=None):
        self.calls += 1
        logits = 3 * self.layers(image)
        return logits if location is None else logits + location[:, :, None, None]


def glavitu(location_size=None):
    torch.manual_seed(0)
    options = {"width": 8, "depth": 1, "heads": 2, "image_size": 32}
    return GlaViTU(["optical"], location_size=location_size, **options).eval()


def images(channels=2, count=2, size=8):
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


class TestOption:
    def test_words_alone_and_together(self):
        for name in ("a.ckpt", "b.ckpt"):
            Path(name).touch()
        assert Inference.parse(()) == Inference.parse([]) == Inference()
        assert Inference.parse("tta") == Inference.parse(["tta"]) == Inference(symmetries=True)
        assert Inference.parse("mc-dropout") == Inference(dropout_runs=10)
        assert Inference.parse("mc-dropout:3") == Inference(dropout_runs=3)
        assert Inference.parse("a.ckpt") == Inference(checkpoints=("a.ckpt",))
        words = ["a.ckpt", "mc-dropout:2", "b.ckpt", "tta"]
        assert Inference.parse(words) == Inference(True, 2, ("a.ckpt", "b.ckpt"))

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ("tte", r"inference 'tte': there is no such checkpoint; give 'tta', 'mc-dropout:N'"),
            (["tta", "gone.ckpt"], r"inference 'gone\.ckpt': there is no such checkpoint"),
            ("mc-dropout:0", "inference 'mc-dropout:0': .* number of 1 or more"),
            ("mc-dropout:", "inference 'mc-dropout:': .* number of 1 or more"),
            ("mc-dropout:-1", "inference 'mc-dropout:-1'"),
            ("mc-dropout:many", "such as mc-dropout:10"),
            (["mc-dropout", "mc-dropout:3"], "'mc-dropout' is given twice"),
        ],
    )
    def test_what_is_none_of_them_is_refused(self, words, message):
        with pytest.raises(InputError, match=message):
            Inference.parse(words)


def test_nothing_asked_for_is_the_models_own_prediction():
    model, image = glavitu(), images(6, size=32)
    assert torch.equal(Inference().predict([model], image), model(image).softmax(1))


class TestSymmetries:
    def test_a_network_that_sees_single_pixels_gains_nothing(self):
        model, image = Toy(kernel=1), images()
        torch.testing.assert_close(
            Inference(symmetries=True).predict([model], image), model(image).softmax(1)
        )
        assert model.calls == 8 + 1

    @pytest.mark.parametrize("place", [None, torch.eye(2, 3)])
    def test_the_mean_is_that_over_all_eight_worked_out_with_numpy(self, place):
        model, image = Toy(), images()
        there_and_back = [
            (lambda a: a, lambda a: a),
            (lambda a: a[..., ::-1], lambda a: a[..., ::-1]),
            (lambda a: a[..., ::-1, :], lambda a: a[..., ::-1, :]),
            (lambda a: a[..., ::-1, ::-1], lambda a: a[..., ::-1, ::-1]),
            (lambda a: a.swapaxes(2, 3), lambda a: a.swapaxes(2, 3)),
            (lambda a: a.swapaxes(2, 3)[..., ::-1], lambda a: a[..., ::-1].swapaxes(2, 3)),
            (lambda a: a.swapaxes(2, 3)[..., ::-1, :], lambda a: a[..., ::-1, :].swapaxes(2, 3)),
            (
                lambda a: a.swapaxes(2, 3)[..., ::-1, ::-1],
                lambda a: a[..., ::-1, ::-1].swapaxes(2, 3),
            ),
        ]
        predictions = []
        for there, back in there_and_back:
            seen = torch.from_numpy(there(image.numpy()).copy())
            predictions.append(back(model(seen, place).softmax(1).numpy()))
        result = Inference(symmetries=True).predict([model], image, place).numpy()
        np.testing.assert_allclose(result, np.mean(predictions, axis=0), atol=1e-6)
        assert np.abs(predictions[0] - result).max() > 0.01

    def test_a_turned_window_is_predicted_turned(self):
        model, image = Toy(), images()
        predict = Inference(symmetries=True).predict
        turned = predict([model], image.rot90(1, (2, 3)).flip(2))
        torch.testing.assert_close(turned, predict([model], image).rot90(1, (2, 3)).flip(2))


class TestDropout:
    def test_the_mean_is_that_of_runs_with_masks_drawn_by_hand(self):
        model, image = Toy(), images()
        convolution, norm, _, head, _ = model.layers
        generator = torch.Generator().manual_seed(0)
        runs = []
        for _ in range(4):
            channels = torch.empty(8).bernoulli_(0.9, generator=generator)[:, None, None]
            pixels = torch.empty(3, 8, 8).bernoulli_(0.9, generator=generator)
            hidden = norm(convolution(image)) * channels / 0.9
            runs.append((3 * head(hidden) * pixels / 0.9).softmax(1))
        result = Inference(dropout_runs=4).predict([model], image)
        torch.testing.assert_close(result, torch.stack(runs).mean(0))

    @pytest.mark.parametrize("layer", [nn.Dropout(), nn.Dropout2d(0.3)])
    def test_a_tenth_is_dropped_and_the_mean_is_kept(self, layer):
        model = nn.Sequential(nn.Conv2d(1, 1, 1), layer).eval()  # its device is that of a weight
        with dropout_on(model):
            dropped = layer(torch.ones(3, 5000, 2, 2))
        assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.9])
        assert (dropped == 0).float().mean().item() == pytest.approx(DROPOUT_RATE, abs=0.02)
        assert dropped.mean().item() == pytest.approx(1, abs=0.02)
        channels = dropped[0].flatten(1)
        same_in_channel = (channels == channels[:, :1]).all().item()
        assert same_in_channel == isinstance(layer, nn.Dropout2d)

    def test_what_is_said_of_a_window_does_not_depend_on_its_batch_nor_on_what_came_before(self):
        model, image = glavitu(12), images(6, count=5, size=32)
        location = torch.eye(12)[:5]
        predict = Inference(dropout_runs=3).predict
        together = predict([model], image, location)
        torch.rand(7)
        alone = [predict([model], image[i : i + 1], location[i : i + 1]) for i in (4, 0, 1, 2, 3)]
        torch.testing.assert_close(torch.cat([*alone[1:], alone[0]]), together)

    def test_a_model_trained_without_dropout_varies(self):
        model, image = glavitu(12), images(6, size=32)
        layers = [module for module in model.modules() if isinstance(module, DROPOUTS)]
        assert {layer.p for layer in layers} == {0.0}
        location = torch.eye(12)[:2]
        with dropout_on(model):
            first, second = (model(image, location).softmax(1) for _ in range(2))
        assert (first - second).abs().mean() > 1e-3
        with dropout_on(model, seed=1):
            assert not torch.equal(first, model(image, location).softmax(1))

    def test_each_place_that_the_paper_drops_at_matters(self):
        model, image, location = glavitu(12), images(6, size=32), torch.eye(12)[:2]
        plain = model(image, location)
        for part in (model.fusion.location, model.fusion.branches, model.setr, model.resunet):
            with dropout_on(part):
                assert not torch.equal(model(image, location), plain)

    def test_a_baseline_varies(self):
        torch.manual_seed(0)
        model = FusedSegmenter(["optical"], encoder="resnet18", width=8).eval()
        image = images(6, size=32)
        many = Inference(dropout_runs=2).predict([model], image)
        assert not torch.allclose(many, model(image).softmax(1), atol=1e-4)

    def test_the_spread_falls_with_the_runs(self):
        model, image = Toy(), images()

        def spread(runs: int) -> float:
            means = []
            for seed in range(10):
                with dropout_on(model, seed):
                    means.append(running_mean(model(image).softmax(1) for _ in range(runs)))
            return torch.stack(means).var(0).mean().item()

        assert spread(1) > 4 * spread(16) > 0  # 16 in the mean

    @pytest.mark.parametrize("fails", [False, True])
    def test_nothing_of_the_model_or_the_random_state_is_changed(self, fails):
        model, image = Toy(rate=0.3), images()
        model.layers.training = True  # an odd mode, which has to stay
        plain = model(image)

        class Failing(nn.Module):
            def forward(self, x):
                raise RuntimeError("out of memory")

        def state():
            modules = list(model.modules())
            rates = [module.p for module in modules if isinstance(module, DROPOUTS)]
            hooks = [len(module._forward_hooks) for module in modules]
            tensors = {key: value.tolist() for key, value in model.state_dict().items()}
            modes = [module.training for module in modules]
            return modes, rates, hooks, tensors, torch.get_rng_state().tolist()

        before = state()
        if fails:
            last, model.layers[3] = model.layers[3], Failing()
            with pytest.raises(RuntimeError, match="out of memory"):
                Inference(dropout_runs=2).predict([model], image)
            model.layers[3] = last
        else:
            Inference(dropout_runs=2).predict([model], image)
        assert state() == before
        assert torch.equal(model(image), plain)


class TestEnsemble:
    def test_a_model_with_itself_is_that_model(self):
        model, image = Toy(), images()
        assert torch.equal(Inference().predict([model, model], image), model(image).softmax(1))

    def test_two_models_are_averaged(self):
        one, other, image = Toy(), Toy(seed=1), images()
        expected = (one(image).softmax(1) + other(image).softmax(1)) / 2
        torch.testing.assert_close(Inference().predict([one, other], image), expected)
        assert not torch.allclose(one(image), other(image))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"features": ("dem",)}, r"b\.ckpt: .* features \('dem',\), but .* \('optical',\)"),
            ({"num_classes": 3}, r"b\.ckpt: was trained with num_classes 3, but .* with 2"),
            ({"location": "region"}, r"b\.ckpt: was trained with location region, but .* None"),
            ({"image_size": 64}, r"b\.ckpt: was trained with image_size 64, but .* with 32"),
        ],
    )
    def test_models_of_different_kinds_are_refused(self, change, message):
        def model(**options):
            kind = {"features": ("optical",), "num_classes": 2, "location": None, "image_size": 32}
            kind |= options
            return SimpleNamespace(**kind | {"features": resolve_features(kind["features"])})

        check_ensemble(model(), model(), "b.ckpt")
        with pytest.raises(InputError, match=message):
            check_ensemble(model(), model(**change), "b.ckpt")

    def test_a_group_of_the_same_name_that_is_scaled_otherwise_is_refused(self):
        group = {"name": "heat", "channels": ["kelvin"], "minimum": [200], "maximum": [320]}
        one, other = (
            SimpleNamespace(features=resolve_features([group | scale]))
            for scale in ({}, {"minimum": [100]})
        )
        with pytest.raises(InputError, match=r"minimum=\(100.*but .*minimum=\(200"):
            check_ensemble(one, other, "b.ckpt")


def test_all_together_are_the_mean_over_each_with_each():
    models, image = [Toy(), Toy(seed=1)], images()
    result = Inference(symmetries=True, dropout_runs=2).predict(models, image)
    assert [model.calls for model in models] == [16, 16]
    total = torch.zeros(2, 3, 8, 8)
    for model in models:
        with dropout_on(model):
            for _, (flip, turns) in product(range(2), product((False, True), range(4))):
                seen = image.rot90(turns, (2, 3))
                seen = seen.flip(3) if flip else seen
                back = model(seen).softmax(1)
                total += (back.flip(3) if flip else back).rot90(-turns, (2, 3))
    torch.testing.assert_close(result, total / 32)


def test_a_running_mean_is_that_of_the_stack_and_keeps_no_value():
    stack = torch.rand(9, 2, 3)
    alive = []

    def values():
        for value in stack:
            own = value.clone()
            alive.append(weakref.ref(own))
            assert sum(reference() is not None for reference in alive) <= 2
            yield own
            del own

    torch.testing.assert_close(running_mean(values()), stack.mean(0))
    assert len(alive) == 9
    first = torch.ones(2)
    running_mean([first, first])
    assert first.tolist() == [1, 1]
