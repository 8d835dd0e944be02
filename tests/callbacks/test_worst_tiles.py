import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from matplotlib.colors import to_hex
from PIL import Image

from glavitu.callbacks import WorstTiles
from glavitu.callbacks.worst_tiles import SIZE, draw_sample, thin_out
from glavitu.features import FeatureGroup
from glavitu.pictures import UNKNOWN_COLOUR

from ..raster_files import write_raster
from .echo import Echo, data_module, write_tile


@pytest.fixture
def world(tmp_path):
    root = tmp_path / "world"
    write_tile(root, "best", (10, 0, 0, 30), "HMA")
    write_tile(root, "clear", (0, 0, 0, 40), "HMA")
    write_tile(root, "fair", (8, 1, 1, 30), "SC")
    write_tile(root, "poor", (2, 4, 4, 30), "SC")
    write_tile(root, "worst", (0, 1, 0, 39), "SC")
    return root


def drawn(world, output, samples) -> set[str]:
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        callbacks=WorstTiles(samples, str(output)),
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.test(Echo(), data_module(world), verbose=False)
    return {path.name for path in output.glob("samples/*")}


def test_the_tiles_with_the_lowest_iou_are_drawn(world, tmp_path):
    assert drawn(world, tmp_path, 2) == {"poor.png", "worst.png"}
    with Image.open(tmp_path / "samples/worst.png") as image:
        width, height = image.size
    # Five panels of 4 x 10 pixels in a row.
    assert width > 3 * height


@pytest.mark.slow
def test_a_tile_without_glacier_and_without_error_is_never_worse_than_another(world, tmp_path):
    assert drawn(world, tmp_path, 4) == {"best.png", "fair.png", "poor.png", "worst.png"}
    assert len(drawn(world, tmp_path, 16)) == 5


def test_pictures_of_an_earlier_test_go(world, tmp_path):
    drawn(world, tmp_path, 16)
    assert drawn(world, tmp_path, 1) == {"worst.png"}


def test_none_are_drawn_where_none_are_wanted(world, tmp_path):
    assert drawn(world, tmp_path, 0) == set()


def test_large_tiles_are_thinned_out_but_scored_whole(plain):
    glacier = torch.zeros(3 * SIZE, 2 * SIZE)
    glacier[:, : SIZE + 1] = 1
    mask = torch.zeros_like(glacier, dtype=torch.long)
    mask[:, :SIZE] = 1
    sample = thin_out(glacier[None], mask, torch.stack([1 - glacier, glacier]), (plain,))
    assert sample.iou == pytest.approx(SIZE / (SIZE + 1))
    shape = (SIZE, -(-2 * SIZE // 3))
    assert sample.truth.shape == sample.prediction.shape == sample.confidence.shape == shape
    assert sample.image.shape == (*shape, 4)
    np.testing.assert_array_equal(sample.truth, mask[::3, ::3].bool().numpy())
    assert sample.confidence.min() > 0.99


def test_confidence_is_calibrated_where_the_checkpoint_is():
    probabilities = torch.full((2, 4, 4), 0.5)
    arguments = (torch.rand(1, 4, 4), torch.zeros(4, 4, dtype=torch.long), probabilities)
    plain = (FeatureGroup("plain", ("value",), (0.0,), (1.0,)),)
    raw = thin_out(*arguments, plain)
    assert raw.confidence.max() < 1e-3
    calibrated = thin_out(*arguments, plain, lambda sure: sure + 0.7)
    assert calibrated.confidence.min() > 0.69
    titles = [
        [axes.get_title() for axes in draw_sample(sample, "a").axes] for sample in (raw, calibrated)
    ]
    assert "confidence (raw)" in titles[0]
    assert "confidence (calibrated)" in titles[1]


def test_the_panels_show_where_the_errors_are(plain):
    prediction = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    sample = thin_out(
        prediction[None],
        torch.tensor([[1, 0, 1, 0]]),
        torch.stack([1 - prediction, prediction]),
        (plain,),
    )
    assert sample.iou == pytest.approx(1 / 3)
    figure = draw_sample(sample, "a")
    (errors,) = [axes for axes in figure.axes if axes.get_title() == "errors"]
    (image,) = errors.get_images()
    colours = [tuple(colour) for colour in image.to_rgba(image.get_array())[0]]
    assert len(set(colours)) == 4
    shown = {text.get_text(): None for text in figure.legends[0].get_texts()}
    patches = dict(zip(shown, figure.legends[0].get_patches(), strict=True))
    for place, name in enumerate(("true positive", "false positive", "false negative")):
        assert patches[name].get_facecolor() == pytest.approx(colours[place])


def test_what_is_unknown_is_drawn_apart_and_scored_nowhere(plain):
    prediction = torch.tensor([[1.0, 1.0, 0.0, 0.0, 1.0]])
    sample = thin_out(
        prediction[None],
        torch.tensor([[1, 0, 255, 255, 255]]),
        torch.stack([1 - prediction, prediction]),
        (plain,),
    )
    assert sample.iou == 0.5
    figure = draw_sample(sample, "a")
    shown = {axes.get_title(): axes.get_images()[0] for axes in figure.axes if axes.get_title()}
    colours = {
        title: [to_hex(colour) for colour in shown[title].to_rgba(shown[title].get_array())[0]]
        for title in ("truth", "errors")
    }
    assert colours["truth"] == ["#2b7bba", "#f2efe9", *[UNKNOWN_COLOUR] * 3]
    assert colours["errors"] == ["#2b7bba", "#e08214", *[UNKNOWN_COLOUR] * 3]
    assert "unknown" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_tile_without_known_labels_is_not_drawn(world, tmp_path):
    labels = world / "test" / "clear" / "outlines.tif"
    write_raster(labels, np.full((4, 10), 255, np.uint8), nodata=255)
    with pytest.warns(UserWarning, match="all its pixels are unknown"):
        names = drawn(world, tmp_path, 16)
    assert names == {"best.png", "fair.png", "poor.png", "worst.png"}
