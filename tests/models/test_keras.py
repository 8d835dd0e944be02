import re

import h5py
import numpy as np
import pytest
import torch

from glavitu.errors import InputError
from glavitu.models import GlaViTU

from .keras_files import CONFIGURATIONS, REFERENCE, inputs, layout, write_weights


@pytest.mark.slow
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_both_heads_give_the_published_probabilities(configuration, tmp_path):
    table = layout(configuration)
    model = GlaViTU.from_keras(write_weights(tmp_path / "w.h5", table), table["features"])
    image, location = inputs(table)
    with torch.inference_mode():
        output, deep = (logits.softmax(1)[0, 1].numpy() for logits in model(image, location, True))
    expected = np.load(REFERENCE / f"{configuration}.npz")
    np.testing.assert_allclose(output[::8, ::8], expected["output"], atol=1e-5, rtol=0)
    np.testing.assert_allclose(deep[::8, ::8], expected["deepsupervision"], atol=1e-5, rtol=0)
    np.testing.assert_allclose(output[200], expected["row"], atol=1e-5, rtol=0)
    np.testing.assert_allclose(output[:, 37], expected["column"], atol=1e-5, rtol=0)
    np.testing.assert_allclose(output.mean(), expected["mean"], atol=1e-5, rtol=0)


@pytest.fixture
def table():
    return layout("global_optical_dem")


def state(path, features=("optical", "dem")):
    return GlaViTU.from_keras(path, features).state_dict()


def test_numbers_in_names_do_not_matter(table, tmp_path):
    def renumber(name: str) -> str:
        # conv2d_7 becomes conv2d_107, fusion_block becomes fusion_block_1.
        name = re.sub(r"_(\d+)(?=/|:|$)", lambda m: f"_{int(m[1]) + 100}", name)
        return re.sub(r"^(fusion_block|SETR|ResUNet)", r"\1_1", name)

    plain = state(write_weights(tmp_path / "plain.h5", table))
    renamed = state(write_weights(tmp_path / "renamed.h5", table, renumber))
    assert plain.keys() == renamed.keys()
    assert all(torch.equal(plain[key], renamed[key]) for key in plain)


def test_location_size_and_classes_come_from_the_file(tmp_path):
    table = layout("regionencoding_optical_dem")
    for row in table["weights"]:
        if row[0] in ("output", "deepsupervision"):
            row[2] = [*row[2][:-1], 3]
        if row[1] == "location_encoding_block/dense/kernel:0":
            row[2] = [4, 64]
    model = GlaViTU.from_keras(write_weights(tmp_path / "w.h5", table), table["features"])
    assert (model.location_size, model.num_classes) == (4, 3)


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_a_file_without_the_deep_supervision_head_loads(configuration, tmp_path):
    table = layout(configuration)
    table["weights"] = [row for row in table["weights"] if row[0] != "deepsupervision"]
    with pytest.warns(UserWarning, match="no deep-supervision head"):
        model = GlaViTU.from_keras(write_weights(tmp_path / "w.h5", table), table["features"])
    assert model.location_size == table["location_size"]


def test_a_branch_too_many_names_the_first_weight_that_differs(table, tmp_path):
    path = write_weights(tmp_path / "w.h5", table)
    with pytest.raises(InputError) as error:
        GlaViTU.from_keras(path, ["optical", "dem", "in_sar"])
    message = str(error.value)
    assert str(path) in message
    assert "fusion_block/dense/kernel:0" in message
    assert "(64, 64)" in message
    assert "(3, 3, 2, 64)" in message
    assert "optical, dem, in_sar" in message


def test_features_in_another_order_are_refused(table, tmp_path):
    path = write_weights(tmp_path / "w.h5", table)
    with pytest.raises(InputError, match=r"\(3, 3, 6, 64\).*\(3, 3, 2, 64\)"):
        GlaViTU.from_keras(path, ["dem", "optical"])


def test_weights_that_end_early_are_refused(table, tmp_path):
    table["weights"] = table["weights"][:-1]
    with pytest.raises(InputError, match="model's output"):
        GlaViTU.from_keras(write_weights(tmp_path / "w.h5", table), ["optical", "dem"])


def test_another_models_layers_are_refused(table, tmp_path):
    table["weights"] = [row for row in table["weights"] if row[0] in ("SETR", "output")]
    with pytest.raises(InputError, match="another model"):
        GlaViTU.from_keras(write_weights(tmp_path / "w.h5", table), ["optical", "dem"])


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_file_is_refused(share, table, tmp_path):
    path = write_weights(tmp_path / "w.h5", table)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"w\.h5.*(truncated|damaged)"):
        GlaViTU.from_keras(path, ["optical", "dem"])


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        GlaViTU.from_keras(tmp_path / "none.h5", ["optical", "dem"])


def test_an_hdf5_file_of_another_kind_is_refused(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["x"] = [1]
    with pytest.raises(InputError, match="layer_names"):
        GlaViTU.from_keras(tmp_path / "w.h5", ["optical", "dem"])
