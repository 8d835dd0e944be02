import pytest
import torch
from torch import Tensor

from glavitu.errors import InputError
from glavitu.features import FeatureGroup
from glavitu.regions import UNKNOWN
from glavitu.transforms import Augmentation, TrainingAugmentation
from glavitu.transforms.intensity import RandomIntensity, change

THREE = FeatureGroup("three", ("a", "b", "c"), (0.0,) * 3, (1.0,) * 3)
TWO = FeatureGroup("two", ("d", "e"), (0.0,) * 2, (1.0,) * 2)
GEOMETRY = ("vertical_flip", "horizontal_flip", "rotation", "crop")
INTENSITY = ("contrast", "occlusion", "shift", "noise")
OFF = dict.fromkeys((*GEOMETRY, *INTENSITY, "unknown_region"), 0.0)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def only(location: str | None = None, **values: float) -> TrainingAugmentation:
    """The augmentation with nothing but the operations named."""
    return TrainingAugmentation(Augmentation(**{**OFF, **values}), (THREE, TWO), location)


def images(n: int, size: int = 32) -> dict:
    return {"image": torch.rand(n, 5, size, size), "mask": torch.randint(3, (n, size, size))}


def constant(n: int, value: float, size: int = 32) -> dict:
    return {
        "image": torch.full((n, 5, size, size), value),
        "mask": torch.zeros(n, size, size, dtype=torch.int64),
    }


def near(share: float, p: float, n: int) -> bool:
    """Whether a share of n draws is within 4 standard deviations of their probability."""
    return abs(share - p) < 4 * (p * (1 - p) / n) ** 0.5


def touched(before: Tensor, after: Tensor) -> Tensor:
    return (before != after).flatten(1).any(1)


def test_the_defaults_are_those_of_the_protocol():
    probabilities = {key: getattr(Augmentation(), key) for key in OFF}
    assert probabilities.pop("rotation") == 0.75
    assert probabilities.pop("unknown_region") == 0.1
    assert len(probabilities) == 7
    assert set(probabilities.values()) == {0.5}


@pytest.mark.parametrize("key", GEOMETRY + INTENSITY)
def test_the_share_of_changed_samples_is_the_probability(key):
    batch = images(600, 64)
    p = 0.3
    after = only(**{key: p})(batch)
    first = touched(batch["image"][:, :3], after["image"][:, :3])
    second = touched(batch["image"][:, 3:], after["image"][:, 3:])
    assert near(first.double().mean(), p, 600)
    # Geometry moves all groups at once; intensities are drawn for each group.
    both = p if key in GEOMETRY else p * p
    assert near((first & second).double().mean(), both, 600)
    assert torch.equal(batch["mask"], after["mask"]) == (key in INTENSITY)


def test_masks_move_exactly_with_their_images():
    batch = images(64, 48)
    batch["mask"] = (batch["image"][:, 1] > 0.4).long() + (batch["image"][:, 1] > 0.8)
    after = only(vertical_flip=0.5, horizontal_flip=0.5, rotation=0.75, crop=0.7)(batch)
    assert after["mask"].dtype == torch.int64
    assert after["image"].dtype == torch.float32
    band = after["image"][:, 1]
    assert torch.equal((band > 0.4).long() + (band > 0.8), after["mask"])
    assert touched(batch["mask"], after["mask"]).sum() > 50


def test_flips_and_rotations_are_exact_and_reach_all_8_symmetries():
    batch = images(400, 8)
    after = only(vertical_flip=0.5, horizontal_flip=0.5, rotation=0.75)(batch)
    found = torch.zeros(400, 8, dtype=torch.bool)
    for i in range(8):
        side = batch["image"].flip(-1) if i < 4 else batch["image"]
        found[:, i] = ~touched(torch.rot90(side, i % 4, (2, 3)), after["image"])
    assert (found.sum(1) == 1).all()
    assert found.any(0).all()


def test_the_three_rotations_are_equally_likely():
    batch = images(1500, 4)
    after = only(rotation=1.0)(batch)["image"]
    for k in (1, 2, 3):
        turned = ~touched(torch.rot90(batch["image"], k, (2, 3)), after)
        assert near(turned.double().mean(), 1 / 3, 1500)


def test_only_rotations_need_square_windows():
    batch = {"image": torch.rand(4, 5, 16, 24), "mask": torch.zeros(4, 16, 24, dtype=torch.int64)}
    after = only(vertical_flip=1.0, crop=1.0, occlusion=1.0)(batch)
    assert after["image"].shape == (4, 5, 16, 24)
    assert after["mask"].shape == (4, 16, 24)
    with pytest.raises(InputError, match=r"16 x 24.*data\.augmentation\.rotation"):
        only(rotation=1.0)(batch)


@pytest.mark.parametrize("smallest", [0.5, 0.8])
def test_crops_are_squares_inside_the_window_of_the_sizes_asked_for(smallest):
    n, size = 500, 40
    batch = constant(n, 0.0, size)
    batch["image"][:, 0] = torch.arange(size)[:, None]
    batch["image"][:, 1] = torch.arange(size)
    rows, columns = only(crop=1.0, crop_scale=smallest)(batch)["image"][:, :2].unbind(1)
    # The same rows are fetched for each column, and the other way round.
    assert torch.equal(rows, rows[:, :, :1].expand_as(rows))
    assert torch.equal(columns, columns[:, :1].expand_as(columns))
    rows, columns = rows[:, :, 0], columns[:, 0]
    for source in (rows, columns):
        assert source.min() == 0
        assert source.max() == size - 1
        # In order, each pixel repeated at most ceil(1 / smallest) times, none left out.
        assert set(source.diff().unique().tolist()) <= {0.0, 1.0}
        sides = source[:, -1] - source[:, 0] + 1
        assert sides.min() >= smallest * size - 1
        assert abs(sides.mean() / size - (1 + smallest) / 2) < 0.03
    height, width = (x[:, -1] - x[:, 0] + 1 for x in (rows, columns))
    assert (height - width).abs().max() <= 1
    # Places are uniform, and independent down and across.
    roomy = height < size - 4
    places = torch.stack([rows[:, 0] / (size - height), columns[:, 0] / (size - width)])[:, roomy]
    assert ((places.mean(1) - 0.5).abs() < 0.06).all()
    assert ((places.std(1) - 12**-0.5).abs() < 0.06).all()
    assert torch.corrcoef(places)[0, 1].abs() < 0.2


def test_contrast_raises_each_channel_to_its_own_power():
    after = only(contrast=1.0)(constant(800, 0.5, 4))["image"]
    exponents = after.log2().neg()
    assert torch.allclose(exponents, exponents[..., :1, :1].expand_as(exponents))
    exponents = exponents[..., 0, 0]
    assert exponents.min() >= 0.8 - 1e-6
    assert exponents.max() <= 1.2 + 1e-6
    assert abs(exponents.mean() - 1) < 0.01
    assert abs(exponents.std() - 0.4 / 12**0.5) < 0.01
    assert torch.corrcoef(exponents.T).fill_diagonal_(0).abs().max() < 0.15


def test_contrast_keeps_values_above_1_and_turns_powers_of_negatives_into_0():
    after = only(contrast=1.0, contrast_strength=0.5)(constant(100, 4.0, 4))["image"]
    assert after.min() >= 2
    assert after.max() > 6
    assert not only(contrast=1.0)(constant(100, -0.01, 4))["image"].any()


def test_occlusion_is_one_rectangle_in_all_channels_of_a_group():
    n, size = 500, 40
    zero = only(occlusion=1.0)(constant(n, 1.0, size))["image"] == 0
    for group in (zero[:, :3], zero[:, 3:]):
        assert torch.equal(group, group[:, :1].expand_as(group))
        rows, columns = group[:, 0].any(2), group[:, 0].any(1)
        assert torch.equal(group[:, 0], rows[:, :, None] & columns[:, None, :])
        for covered in (rows, columns):
            # One run of pixels: it begins at most once.
            assert (covered.long().diff(prepend=torch.zeros(n, 1)) == 1).sum(1).max() == 1
            assert 18 <= covered.sum(1).max() <= 20
            assert abs(covered.sum(1).double().mean() - 10) < 1
            assert covered.any(0).all()
    assert near(touched(zero[:, 0], zero[:, 3]).double().mean(), 0.99, n)


def test_occlusion_size_1_can_cover_almost_all():
    zero = only(occlusion=1.0, occlusion_size=1.0)(constant(300, 1.0, 16))["image"] == 0
    assert zero[:, 0].double().mean((1, 2)).max() > 0.75


def test_shift_adds_a_normal_value_to_each_channel():
    after = only(shift=1.0)(constant(2000, 0.0, 2))["image"]
    assert torch.equal(after, after[..., :1, :1].expand_as(after))
    shifts = after[..., 0, 0]
    assert abs(shifts.mean()) < 0.001
    assert abs(shifts.std() - 0.025) < 0.001
    assert torch.corrcoef(shifts.T).fill_diagonal_(0).abs().max() < 0.1


def test_noise_is_drawn_for_each_pixel():
    noise = only(noise=1.0)(constant(20, 0.0))["image"]
    assert abs(noise.mean()) < 1e-4
    assert abs(noise.std() - 0.005) < 1e-4
    assert abs(noise.mean((2, 3)).std() - 0.005 / 32) < 5e-5


def test_all_samples_at_once_are_changed_as_one_by_one():
    # On a CPU samples are changed one by one, elsewhere at once.
    augment = RandomIntensity(Augmentation(noise=0.0))
    image = torch.rand(16, 3, 32, 32)
    params = augment.forward_parameters(image.shape)
    once = image.clone()
    names = ("exponents", "rectangles", "shifts", "noise_stds")
    change(once, *(params[name] for name in names))
    assert not touched(image, once).all()
    assert torch.equal(augment(image.clone(), params), once)


def test_shift_comes_after_contrast_and_occlusion():
    after = only(contrast=1.0, occlusion=1.0, shift=1.0)(constant(50, 1.0))["image"].flatten(2)
    occluded, kept = after.min(2).values, after.max(2).values
    hit = occluded != kept
    assert hit.sum() > 100
    assert torch.allclose((kept - occluded)[hit], torch.tensor(1.0))
    assert (occluded[hit] < 0).any()


@pytest.mark.parametrize("kind", ["region", "coordinates", None])
def test_only_regions_become_unknown(kind):
    n, size = 2000, {"region": 12, "coordinates": 4, None: 12}[kind]
    batch = images(n, 2) | {"location": torch.eye(size)[torch.arange(n) % 4]}
    after = only(kind, unknown_region=0.1)(batch)["location"]
    changed = touched(batch["location"], after)
    if kind == "region":
        assert near(changed.double().mean(), 0.1, n)
        assert torch.equal(after[changed], torch.eye(12)[UNKNOWN].expand(changed.sum(), -1))
    else:
        assert not changed.any()


def test_nothing_happens_where_all_probabilities_are_0():
    batch = images(8) | {"location": torch.eye(12)[:8]}
    state = torch.get_rng_state()
    after = only("region")(batch)
    assert all(after[key] is batch[key] for key in batch)
    assert torch.equal(torch.get_rng_state(), state)


def test_other_keys_pass_through_and_the_batch_given_is_not_changed():
    batch = images(8) | {
        "location": torch.eye(12)[:8],
        "region": torch.arange(8),
        "bbox": [1, 2],
        "label": "kept",
    }
    copies = {key: value.clone() for key, value in batch.items() if isinstance(value, Tensor)}
    everything = Augmentation(**dict.fromkeys(OFF, 1.0))
    after = TrainingAugmentation(everything, (THREE, TWO), "region")(batch)
    assert list(after) == list(batch)
    assert all(after[key] is batch[key] for key in ("region", "bbox", "label"))
    assert all(torch.equal(batch[key], copy) for key, copy in copies.items())
    assert all(touched(batch[key], after[key]).all() for key in ("image", "mask", "location"))


def test_a_seed_repeats_the_augmentation():
    batch = images(8) | {"location": torch.eye(12)[:8]}
    augment = TrainingAugmentation(Augmentation(), (THREE, TWO), "region")
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(augment(batch))
    assert all(torch.equal(results[0][key], results[1][key]) for key in batch)
    assert not torch.equal(results[0]["image"], results[2]["image"])


def test_a_batch_of_one_window_keeps_its_shape():
    after = TrainingAugmentation(Augmentation(**dict.fromkeys(OFF, 1.0)), (THREE, TWO))(images(1))
    assert after["image"].shape == (1, 5, 32, 32)
    assert after["mask"].shape == (1, 32, 32)


def test_all_is_drawn_on_the_device_of_the_batch():
    # The meta device stands for an accelerator: values of its tensors cannot reach the host.
    batch = images(4) | {"location": torch.eye(12)[:4]}
    batch = {key: value.to("meta") for key, value in batch.items()}
    state = torch.get_rng_state()
    after = TrainingAugmentation(Augmentation(), (THREE, TWO), "region")(batch)
    assert {value.device.type for value in after.values()} == {"meta"}
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("vertical_flip", 1.5),
        ("rotation", -0.1),
        ("unknown_region", float("nan")),
        ("crop_scale", 0.0),
        ("crop_scale", 1.2),
        ("contrast_strength", 1.0),
        ("occlusion_size", 192.0),
        ("shift_std", -0.025),
        ("noise_std", float("inf")),
    ],
)
def test_values_out_of_range_are_named(key, value):
    with pytest.raises(InputError, match=rf"data\.augmentation\.{key} is {value}, but must be"):
        Augmentation(**{key: value})


def test_unknown_pixels_move_with_the_image_and_stay_what_they_are():
    mask = torch.where(torch.rand(50, 32, 32) < 0.3, 255, torch.randint(2, (50, 32, 32)))
    batch = {"image": mask[:, None].float().expand(-1, 5, -1, -1).clone(), "mask": mask}
    after = only(**dict.fromkeys(GEOMETRY, 0.5))(batch)
    assert set(after["mask"].unique().tolist()) == {0, 1, 255}
    assert (after["image"] == after["mask"][:, None]).all()
    assert not torch.equal(after["mask"], mask)
