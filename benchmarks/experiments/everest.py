"""A table and a figure of the test part of the Everest scene.

Scores trained checkpoints, the best single threshold on brightness (chosen on the training part)
and calling everything glacier, all on the test part of configs/everest.yaml:

    python -m benchmarks.experiments.everest --data "$GLAVITU_EVEREST" \
        --checkpoint GlaViTU=runs/few_tiles/version_0/checkpoints/best_iou.ckpt

The figure in the docs is that of :mod:`benchmarks.experiments.few_tiles`.
"""

import argparse
from pathlib import Path

import torch
import yaml
from matplotlib.figure import Figure
from torch import Tensor

from benchmarks import ROOT
from benchmarks.pages import markdown
from glavitu.datasets import GlacierRasters, TileWindow
from glavitu.metrics import RegionConfusion
from glavitu.pictures import MASK_COLOURS, stretched
from glavitu.tasks import GlaViTUTask

CONFIG = ROOT / "configs" / "everest.yaml"


def sample(data: Path, part: str) -> dict:
    """Read a part of the scene whole."""
    config = yaml.safe_load(CONFIG.read_text())["data"]
    options = {key: config[key] for key in ("features", "files", "outlines", "region")}
    dataset = GlacierRasters(data, bounds=config[f"{part}_bounds"], **options)
    return dataset[TileWindow(0, dataset.extents[0])]


def scores(prediction: Tensor, mask: Tensor) -> dict:
    metric = RegionConfusion()
    metric.update(prediction[None], mask[None], torch.tensor([5]))
    return metric.table().iloc[0].to_dict()


def best_threshold(train: dict) -> int:
    """Return the grey value from which on a pixel is glacier with the best training IoU."""
    grey = 255 * train["image"].mean(0)
    return max(range(256), key=lambda value: scores((grey >= value).long(), train["mask"])["iou"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the scene")
    parser.add_argument("--checkpoint", action="append", default=[], metavar="NAME=CKPT")
    parser.add_argument("--figure", type=Path, default=Path("everest.png"))
    options = parser.parse_args()

    test = sample(options.data, "test")
    predictions: dict[str, Tensor] = {}
    for entry in options.checkpoint:
        name, _, path = entry.partition("=")
        task = GlaViTUTask.from_checkpoint(path)
        with torch.inference_mode():
            predictions[name] = task.predict_tiles({"image": test["image"][None]})[0].argmax(0)
    threshold = best_threshold(sample(options.data, "train"))
    bright = 255 * test["image"].mean(0) >= threshold
    predictions[f"brightness >= {threshold}"] = bright.long()
    predictions["everything is glacier"] = torch.ones_like(test["mask"])

    rows = []
    for name, prediction in predictions.items():
        row = scores(prediction, test["mask"])
        cells = (f"{row[key]:.3f}" for key in ("iou", "precision", "recall", "f1", "accuracy"))
        rows.append([name, *cells])
    print(markdown(["method", "IoU", "precision", "recall", "F1", "accuracy"], rows))
    draw(test, predictions, options.figure)


def draw(test: dict, predictions: dict[str, Tensor], path: Path) -> None:
    panels = {"image": stretched(test["image"].numpy()), "truth (RGI 6.0)": test["mask"]}
    panels |= {k: v for k, v in predictions.items() if not k.startswith("everything")}
    figure = Figure(figsize=(2.9 * len(panels), 8.0), dpi=90, layout="constrained")
    for axes, (name, picture) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        axes.imshow(picture, cmap=MASK_COLOURS, vmin=0, vmax=1, interpolation="nearest")
        second = ""
        if name in predictions:
            second = f"IoU {scores(predictions[name], test['mask'])['iou']:.3f}"
        axes.set_title(f"{name}\n{second}")
        axes.set_axis_off()
    figure.savefig(path)


if __name__ == "__main__":
    main()
