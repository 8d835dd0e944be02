import torch

from glavitu.datasets.joining import join, merge


def sample(mask, value=1.0):
    return {"image": torch.full((1, 1, len(mask)), value), "mask": torch.tensor([mask])}


def test_unknown_labels_never_win_over_known_ones():
    first, second = sample([0, 1, 255, 255, 255]), sample([1, 255, 0, 1, 255])
    assert merge([first, second])["mask"].tolist() == [[1, 1, 0, 1, 255]]
    assert merge([second, first])["mask"].tolist() == [[1, 1, 0, 1, 255]]
    joined = join([first, second])
    assert joined["mask"].tolist() == [[0, 1, 0, 1, 255]]
    assert joined["image"].shape == (2, 1, 5)
    assert first["mask"].tolist() == [[0, 1, 255, 255, 255]]


def test_images_alone_are_joined_as_they_were():
    image = {"image": torch.ones(1, 1, 2)}
    assert "mask" not in join([image, image])
    assert "mask" not in merge([image, image])
    assert join([image, sample([0, 255])])["mask"].tolist() == [[0, 255]]
