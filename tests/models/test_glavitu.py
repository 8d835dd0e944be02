import pytest
import torch

from glavitu.errors import InputError
from glavitu.features import FeatureGroup
from glavitu.models import FusedSegmenter, GlaViTU

RGB = FeatureGroup("rgb", ("red", "green", "blue"), (0, 0, 0), (255, 255, 255))


def tiny(**options) -> GlaViTU:
    torch.manual_seed(0)
    options = {"width": 8, "depth": 1, "heads": 2, "image_size": 64} | options
    return GlaViTU(**options).eval()


def size(model: torch.nn.Module) -> int:
    running = [b for name, b in model.named_buffers() if "running" in name]
    return sum(tensor.numel() for tensor in [*model.parameters(), *running])


@pytest.mark.parametrize(
    ("location_size", "output", "both"),
    [(None, 10_031_938, 10_032_068), (12, 10_037_442, 10_037_572)],
)
def test_parameter_counts_are_the_published_ones(location_size, output, both):
    model = GlaViTU(location_size=location_size)
    assert size(model) == both
    assert size(model) - size(model.deep_supervision) == output


@pytest.mark.parametrize(("height", "width"), [(64, 64), (16, 16), (32, 96), (128, 48)])
def test_any_multiple_of_16_gives_logits_of_its_size(height, width):
    model = tiny(num_classes=3)
    with torch.inference_mode():
        assert model(torch.rand(2, 8, height, width)).shape == (2, 3, height, width)


@pytest.mark.parametrize(("height", "width"), [(65, 64), (64, 24), (0, 16), (8, 8)])
def test_other_sizes_are_refused(height, width):
    with pytest.raises(InputError, match=f"{height} x {width}.*multiples of 16"):
        tiny()(torch.rand(1, 8, height, width))


def test_the_positional_embedding_is_its_own_on_its_own_grid_and_smooth_on_others():
    position = tiny().setr.position
    assert torch.equal(position(4, 4), position.embedding)
    with torch.no_grad():
        position.embedding.copy_(torch.arange(8.0).expand(16, 8))
    torch.testing.assert_close(position(6, 9), torch.arange(8.0).expand(54, 8))


def test_deep_supervision_comes_when_asked_for_and_logits_stay_the_same():
    model, image = tiny(), torch.rand(1, 8, 64, 64)
    with torch.inference_mode():
        logits, deep = model(image, None, True)
        assert torch.equal(logits, model(image))
    assert deep.shape == logits.shape
    assert not torch.equal(deep, logits)


def test_every_parameter_learns():
    model = tiny(location_size=4).train()
    logits, deep = model(torch.rand(2, 8, 64, 64), torch.rand(2, 4), True)
    (logits.square().mean() + deep.square().mean()).backward()
    still = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # Batch norm takes the mean away, and softmax what is common to all keys: biases before them
    # have no effect, so only kernels and norms have to move.
    assert [n for n in still if not n.endswith("bias")] == []


@pytest.mark.parametrize("model_class", [GlaViTU, FusedSegmenter])
def test_own_feature_groups_work_as_objects_and_dictionaries(model_class):
    options = {"width": 8} if model_class is GlaViTU else {"width": 8, "encoder": "resnet18"}
    for feature in (RGB, RGB.to_dict()):
        model = model_class(features=[feature, "thermal"], **options).eval()
        assert model.features[0] == RGB
        with torch.inference_mode():
            assert model(torch.rand(1, 4, 32, 32)).shape == (1, 2, 32, 32)


def test_a_wrong_number_of_channels_is_refused():
    with pytest.raises(InputError, match="5 channels.*8.*optical 6, dem 2"):
        tiny()(torch.rand(1, 5, 64, 64))


def test_a_location_is_wanted_or_not():
    with pytest.raises(InputError, match="wants a location"):
        tiny(location_size=12)(torch.rand(1, 8, 64, 64))
    with pytest.raises(InputError, match="takes no location"):
        tiny()(torch.rand(1, 8, 64, 64), torch.rand(1, 12))


def test_the_location_changes_the_logits():
    model, image = tiny(location_size=12), torch.rand(1, 8, 64, 64)
    with torch.inference_mode():
        one, other = (model(image, torch.eye(12)[None, i]) for i in (0, 11))
    assert not torch.allclose(one, other)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(InputError, match="width 10.*4 heads"):
        GlaViTU(width=10, heads=4)


def test_dropout_acts_in_training_alone():
    model, image = tiny(dropout=0.5), torch.rand(2, 8, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(image), model(image))
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout | torch.nn.Dropout2d):
                module.train()
        assert not torch.equal(model(image), model(image))


@pytest.mark.parametrize("architecture", ["unet", "deeplabv3plus", "fpn"])
def test_baselines_take_the_same_sizes_and_inputs(architecture):
    model = FusedSegmenter(
        location_size=4, architecture=architecture, encoder="resnet18", width=8
    ).eval()
    with torch.inference_mode():
        logits = model(torch.rand(1, 8, 48, 80), torch.rand(1, 4))
    assert logits.shape == (1, 2, 48, 80)


def test_the_papers_baseline_builds():
    model = FusedSegmenter(architecture="deeplabv3plus", encoder="tu-resnest101e").eval()
    with torch.inference_mode():
        assert model(torch.rand(1, 8, 64, 64)).shape == (1, 2, 64, 64)


@pytest.mark.parametrize(
    ("architecture", "encoder"), [("no_such", "resnet18"), ("unet", "no_such")]
)
def test_unknown_architectures_and_encoders_are_refused(architecture, encoder):
    with pytest.raises(InputError, match="no_such"):
        FusedSegmenter(architecture=architecture, encoder=encoder)


def test_an_encoder_starts_from_a_checkpoint(tmp_path):
    from safetensors.torch import save_file

    options = {"architecture": "unet", "encoder": "resnet18", "width": 8}
    source = FusedSegmenter(**options)
    weights = {k: v.contiguous() for k, v in source.segmenter.encoder.state_dict().items()}
    save_file(weights, tmp_path / "encoder.safetensors")
    loaded = FusedSegmenter(**options, encoder_weights=tmp_path / "encoder.safetensors")
    for key, value in loaded.segmenter.encoder.state_dict().items():
        assert torch.equal(value, weights[key])
    (tmp_path / "broken.safetensors").write_bytes(b"no")
    with pytest.raises(InputError, match=r"broken\.safetensors"):
        FusedSegmenter(**options, encoder_weights=tmp_path / "broken.safetensors")


def test_weights_start_as_in_keras():
    setr = GlaViTU().setr
    assert setr.embedding.weight.std().item() == pytest.approx(
        (2 / (16 * 16 * 64 + 64)) ** 0.5, 0.02
    )
    for block in setr.blocks:
        attention = block.attention
        for layer in (attention.query, attention.key, attention.value):
            # Keras' kernel (64, 4, 16): fans of 4 * 64 and 16 * 64.
            assert 0.067 < layer.weight.abs().max().item() < (6 / 1280) ** 0.5
        # And (4, 16, 64): fans of 16 * 4 and 64 * 4.
        assert 0.134 < attention.output.weight.abs().max().item() < (6 / 320) ** 0.5
        # As dense layers of 64 and 256.
        assert 0.134 < block.mlp[0].weight.abs().max().item() < (6 / 320) ** 0.5
    biases = [value for name, value in setr.named_parameters() if name.endswith("bias")]
    assert not any(bias.any() for bias in biases)
