import pytest
import torch
from torch import nn

from glavitu.errors import InputError
from glavitu.mapping.devices import Predictor, choose_device
from glavitu.models.compiling import can_compile
from glavitu.tasks import GlaViTUTask


def test_auto_is_the_best_device_there_is():
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    expected = "mps" if torch.backends.mps.is_available() else expected
    assert choose_device().type == expected
    assert choose_device("cpu").type == "cpu"


@pytest.mark.parametrize("name", ["cuda:99", "tpu", "", "cpu:1", "CUDA"])
def test_a_device_that_is_not_there_is_an_error_that_tells_which_are(name):
    with pytest.raises(InputError, match=f"device '{name}' is not available; here there are .*cpu"):
        choose_device(name)


@pytest.mark.parametrize("inference", [(), ("tta", "mc-dropout:2")])
def test_a_quick_model_predicts_the_same_and_the_model_stays(inference):
    torch.manual_seed(0)
    task = GlaViTUTask(model_args={"width": 8, "depth": 1, "heads": 2}, image_size=32)
    task.inference = task.inference.parse(inference)
    with torch.no_grad():
        for module in task.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.3)
    task.eval()
    before = {key: value.clone() for key, value in task.state_dict().items()}
    images = torch.rand(3, 8, 32, 32)
    predictor = Predictor(task, 4, 10)
    with torch.inference_mode():
        torch.testing.assert_close(
            predictor(images, None), task.predict_probabilities(images), atol=1e-5, rtol=0
        )
    assert any(isinstance(module, nn.BatchNorm2d) for module in task.modules())
    for key, value in task.state_dict().items():
        assert torch.equal(value, before[key])
        assert value.is_contiguous()


@pytest.mark.slow
def test_a_compiled_model_predicts_the_same_for_any_number_of_windows():
    if not can_compile("cpu"):
        pytest.skip("PyTorch cannot compile here")
    torch.manual_seed(0)
    task = GlaViTUTask(model_args={"width": 8, "depth": 1, "heads": 2}, image_size=32).eval()
    images = torch.rand(2, 8, 32, 32)
    plain, compiled = Predictor(task, 2, 10), Predictor(task, 2, 10**9)
    assert (plain.compiled, compiled.compiled) == (False, True)
    with torch.inference_mode():
        for count in (2, 1):
            torch.testing.assert_close(
                compiled(images[:count], None), plain(images[:count], None), atol=1e-5, rtol=0
            )


def test_small_scenes_and_small_models_are_not_worth_compiling():
    small = GlaViTUTask(model_args={"width": 8, "depth": 1, "heads": 2}, image_size=32).eval()
    assert not Predictor(small, 1, 10_000).compiled
    assert not Predictor(GlaViTUTask().eval(), 1, 100).compiled


@pytest.mark.slow
def test_a_model_that_cannot_be_compiled_predicts_as_it_is():
    if not can_compile("cpu"):
        pytest.skip("PyTorch cannot compile here")
    task = GlaViTUTask(model_args={"width": 8, "depth": 1, "heads": 2}, image_size=32).eval()
    images = torch.rand(1, 8, 32, 32)
    predictor = Predictor(task, 1, 10**9)
    torch.compiler.reset()
    # A compiler that was there a moment ago. (pytest's monkeypatch leaves these options broken.)
    gone = {"cpp.cxx": (None, "/bin/false"), "force_disable_caches": True}
    with torch._inductor.config.patch(gone), torch.inference_mode():
        with pytest.warns(UserWarning, match="could not be compiled and runs as it is"):
            found = predictor(images, None)
        torch.testing.assert_close(found, Predictor(task, 1, 1)(images, None))
    assert not predictor.compiled
    torch.compiler.reset()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_says_nearly_the_same(tmp_path):
    torch.manual_seed(0)
    task = GlaViTUTask(model_args={"width": 8, "depth": 1, "heads": 2}, image_size=32).eval()
    images = torch.rand(3, 8, 32, 32)
    with torch.inference_mode():
        expected = Predictor(task, 4, 10)(images, None)
        for windows in (10, 10**9):  # the latter compiles
            found = Predictor(task.cuda(), 4, windows)(images, None)
            torch.testing.assert_close(found.cpu(), expected, atol=0.02, rtol=0)
