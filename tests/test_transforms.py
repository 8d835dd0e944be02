import torch

from glavitu.transforms import augmentations


def batch(n: int = 64) -> dict:
    torch.manual_seed(0)
    mask = torch.randint(2, (n, 24, 24))
    # The first channel holds the mask, so that it shows where the image moved.
    image = torch.cat([mask[:, None].float(), torch.rand(n, 2, 24, 24)], dim=1)
    return {"image": image, "mask": mask, "region": torch.arange(n), "name": "kept"}


def test_masks_move_exactly_with_their_images():
    moved = augmentations()(batch())
    assert moved["mask"].dtype == torch.int64
    assert torch.equal(moved["image"][:, 0].round().long(), moved["mask"])
    assert torch.equal(moved["region"], torch.arange(64))
    assert moved["name"] == "kept"


def test_each_sample_becomes_one_of_its_8_symmetries():
    before, after = batch(), augmentations()(batch())
    seen = set()
    for image, moved in zip(before["image"], after["image"], strict=True):
        symmetries = [
            torch.rot90(side, k, (1, 2)) for side in (image, image.flip(2)) for k in range(4)
        ]
        errors = torch.stack([(moved - symmetry).abs().max() for symmetry in symmetries])
        assert errors.min() < 1e-4  # quarter turns are interpolated
        seen.add(int(errors.argmin()))
    assert seen == set(range(8))


def test_probability_0_leaves_samples_alone():
    before, after = batch(), augmentations(0.0, 0.0, 0.0)(batch())
    assert torch.equal(before["image"], after["image"])
    assert torch.equal(before["mask"], after["mask"])
