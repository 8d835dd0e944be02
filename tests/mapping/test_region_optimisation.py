import numpy as np
import pytest
import torch

from glavitu.errors import InputError
from glavitu.features import FeatureGroup
from glavitu.mapping.region_optimisation import optimise_region
from glavitu.rasters.scene import Scene
from glavitu.regions import region_index
from glavitu.tasks import GlaViTUTask

GROUP = FeatureGroup("plain", ("value",), (0.0,), (1.0,))


class Sure(torch.nn.Module):
    """The surer, the larger the share of a region; the same for all windows."""

    features, num_classes, location, image_size, calibration = (GROUP,), 2, "region", 16, None
    device = torch.device("cpu")

    def __init__(self, region):
        super().__init__()
        self.region = region_index(region)
        self.weight = torch.nn.Parameter(torch.tensor(3.0))
        self.asked = []

    def predict_probabilities(self, image, location):
        self.asked.append((image.shape, location.detach()))
        glacier = torch.sigmoid(self.weight * (0.1 + location[:, self.region]))
        glacier = glacier[:, None, None].expand(len(image), *image.shape[-2:])
        return torch.stack([1 - glacier, glacier], dim=1)


@pytest.fixture
def scene(write_raster):
    values = np.random.default_rng(0).random((40, 70)).astype(np.float32)
    values[:, :20] = np.nan
    with Scene({"plain": write_raster("a.tif", values)}, [GROUP]) as scene:
        yield scene


def test_it_starts_from_equal_shares_and_finds_the_region_that_is_surest(scene):
    model = Sure("NZ")
    fit = optimise_region(model, scene, learning_rate=0.5, epochs=30, progress=False)
    torch.testing.assert_close(model.asked[0][1], torch.full((8, 12), 1 / 12))
    assert fit.vector.sum().item() == pytest.approx(1)
    assert fit.vector.argmax().item() == region_index("NZ")
    assert fit.vector.max() > 0.9
    assert fit.entropy_after < fit.entropy_before

    def entropy(share):
        p = 1 / (1 + np.exp(-3 * (0.1 + share)))
        return -(p * np.log2(p) + (1 - p) * np.log2(1 - p))

    assert fit.entropy_before == pytest.approx(entropy(1 / 12), abs=1e-5)
    assert fit.entropy_after == pytest.approx(entropy(float(fit.vector.max())), abs=1e-5)


def test_the_defaults_are_published_and_adam_moves_each_logit_by_its_rate(scene):
    model = Sure("NZ")
    fit = optimise_region(model, scene, progress=False)
    # 40 x 70 pixels are one batch of windows of 16 x 16 an epoch; the first 4 batches are measured.
    assert fit.epochs == 100
    assert {shape for shape, _ in model.asked} == {(8, 1, 16, 16)}
    assert len(model.asked) == 4 + 100 + 4
    own = fit.vector[region_index("NZ")].log()
    others = fit.vector[region_index("HMA")].log()
    # 100 steps of 1e-4 up, and as many down.
    assert (own - others).item() == pytest.approx(0.02, rel=0.01)


def test_it_ends_when_nothing_changes(scene):
    fit = optimise_region(Sure("NZ"), scene, learning_rate=1e-9, progress=False)
    assert fit.epochs == 5


def test_the_weights_of_a_real_model_stay_and_ask_for_gradients_again(scene):
    torch.manual_seed(0)
    task = GlaViTUTask(
        [GROUP], model_args={"width": 8, "depth": 1, "heads": 2}, location="region", image_size=32
    )
    before = {name: values.clone() for name, values in task.state_dict().items()}
    fit = optimise_region(task, scene, learning_rate=0.1, epochs=5, progress=False)
    again = optimise_region(task, scene, learning_rate=0.1, epochs=5, progress=False)
    torch.testing.assert_close(fit.vector, again.vector)
    assert fit.entropy_after < fit.entropy_before
    assert not fit.vector.allclose(torch.tensor(1 / 12))
    assert all(weight.requires_grad and weight.grad is None for weight in task.parameters())
    for name, values in task.state_dict().items():
        torch.testing.assert_close(values, before[name], rtol=0, atol=0)


def test_models_without_region_encoding_are_refused(scene):
    task = GlaViTUTask([GROUP], model_args={"width": 8, "depth": 1, "heads": 2}, image_size=32)
    with pytest.raises(InputError, match="only be optimised for a model with region encoding"):
        optimise_region(task, scene)


def test_scenes_without_data_are_refused(write_raster):
    path = write_raster("a.tif", np.full((40, 70), np.nan, np.float32))
    with (
        Scene({"plain": path}, [GROUP]) as empty,
        pytest.raises(InputError, match="have no data, so the region cannot be optimised"),
    ):
        optimise_region(Sure("NZ"), empty, progress=False)
