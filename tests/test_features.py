import math

import pytest
import torch

from glavitu.errors import InputError
from glavitu.features import FEATURES, FeatureGroup, resolve_features

RGB = {"name": "rgb", "channels": ["r", "g", "b"], "minimum": [0, 0, 0], "maximum": [255, 255, 255]}


def test_the_published_groups_are_known():
    assert {name: len(group) for name, group in FEATURES.items()} == {
        "optical": 6,
        "dem": 2,
        "co_pol_sar": 2,
        "cross_pol_sar": 2,
        "in_sar": 2,
        "thermal": 1,
    }


@pytest.mark.parametrize("group", FEATURES.values(), ids=lambda group: group.name)
def test_minimum_becomes_0_and_maximum_1(group):
    def raw(bounds):
        values = torch.tensor(bounds, dtype=torch.float64).reshape(-1, 1, 1)
        return 10**values - 1e-6 if group.transform == "log10" else values

    # Single precision leaves little of 1e-6 beside a log10 minimum of -6.
    torch.testing.assert_close(
        group.scale(raw(group.minimum)), torch.zeros(len(group), 1, 1), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(group.scale(raw(group.maximum)), torch.ones(len(group), 1, 1))


def test_missing_values_become_0_before_scaling():
    elevation, slope = FEATURES["dem"].scale(torch.full((2, 1, 1), math.nan)).flatten().tolist()
    assert elevation == pytest.approx(103.29675627 / (8349.42706884 + 103.29675627))
    assert slope == 0


@pytest.mark.parametrize("name", ["co_pol_sar", "cross_pol_sar"])
def test_sigma0_is_scaled_as_a_logarithm(name):
    group = FEATURES[name]
    scaled = group.scale(torch.full((2, 1, 1), 0.1)).flatten().tolist()
    logarithm = math.log10(0.1 + 1e-6)
    assert scaled == pytest.approx([(logarithm + 6) / (top + 6) for top in group.maximum])
    # No backscatter, and less than none where noise was subtracted, is the minimum.
    assert group.scale(torch.tensor([0.0, -0.01])[:, None, None]).flatten().tolist() == [0, 0]


def test_batches_scale_like_single_images():
    images = torch.rand(3, 2, 4, 4) * 1000
    group = FEATURES["dem"]
    assert torch.equal(group.scale(images), torch.stack([group.scale(i) for i in images]))


def test_groups_of_ones_own_come_from_yaml_and_go_back():
    (group,) = resolve_features([RGB])
    assert group == FeatureGroup("rgb", ("r", "g", "b"), (0, 0, 0), (255, 255, 255))
    assert resolve_features([group.to_dict()]) == (group,)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (["optical", "radar"], "'radar'.*known are optical, dem"),
        (["dem", "dem"], "twice"),
        ([], "no feature group"),
        ([RGB | {"minimum": [0, 0]}], "minimum has 2 values.*3 channels"),
        ([RGB | {"maximum": [255, 0, 255]}], "'g'.*maximum"),
        ([RGB | {"transform": "sqrt"}], "'sqrt'"),
        ([RGB | {"scale": 2}], "scale"),
        ([{"name": "rgb"}], "channels"),
        ([RGB | {"channels": [], "minimum": [], "maximum": []}], "no channels"),
    ],
)
def test_bad_features_are_refused(features, message):
    with pytest.raises(InputError, match=f"(?s){message}"):
        resolve_features(features)
