"""The search of configs/few_tiles.yaml: many short trainings on the Everest scene, on one GPU.

Each training draws a level of every factor of :data:`FACTORS`; after the first half of the time
most levels come from the best eighth of the trainings so far. Scores are those of the validation
strip alone: the test third is not read. One row of JSON for each training that ended:

    python -m benchmarks.experiments.few_tiles_search --data "$GLAVITU_EVEREST" --rows rows.jsonl \
        --minutes 5 --processes 12
    python -m benchmarks.experiments.few_tiles_search --rows rows.jsonl   # what they say
"""

import argparse
import json
import multiprocessing
import random
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR

from benchmarks.experiments.everest import sample, scores
from glavitu.features import FeatureGroup
from glavitu.tasks import GlaViTUTask
from glavitu.transforms import Augmentation, TrainingAugmentation

RGB = FeatureGroup("rgb", ("red", "green", "blue"), (0, 0, 0), (255, 255, 255))

#: Models by name, and their arguments by size.
SIZES: dict[str, dict[str, dict[str, Any]]] = {
    "glavitu": {
        "small": {"width": 16, "depth": 4, "heads": 4},
        "medium": {"width": 32, "depth": 4, "heads": 4},
        "large": {"width": 48, "depth": 6, "heads": 4},
    },
    "unet": {
        "small": {"encoder": "mobilenet_v2", "width": 16},
        "medium": {"encoder": "resnet18", "width": 16},
        "large": {"encoder": "resnet34", "width": 32},
    },
}

#: Windows of a batch by their side, so that batches have about as many pixels.
BATCHES = {96: 16, 128: 8, 192: 4}

COLOURS: dict[str, dict[str, float]] = {
    "none": {"contrast": 0, "shift": 0, "noise": 0},
    "published": {},
    "strong": {"contrast_strength": 0.5, "shift_std": 0.1, "noise_std": 0.02},
}

#: What is varied, and its levels.
FACTORS: dict[str, tuple[Any, ...]] = {
    "size": ("small", "medium", "large"),
    "momentum": (0.01, 0.1),
    "loss": ("focal", "cross_entropy", "jaccard"),
    "lr": (3e-4, 1e-3, 3e-3),
    "steps": (300, 600, 1200),
    "window": tuple(BATCHES),
    "dropout": (0.0, 0.1, 0.3),
    "colours": tuple(COLOURS),
    "occlusion": (0.0, 0.5),
    "crop_scale": (0.8, 0.5),
}

#: Scores of the validation strip are taken after these shares of a training.
STOPS = (0.25, 0.5, 0.75, 1.0)

Row = dict[str, Any]
Part = dict[str, Tensor]


def draw(model: str, rows: list[Row], learn: bool, source: random.Random) -> Row:
    """Draw a level of each factor: any, or mostly one of the best rows of this model."""
    own = sorted((row for row in rows if row["model"] == model), key=lambda row: -row["iou"])
    best = own[: max(3, len(own) // 8)]
    return {"model": model} | {
        key: source.choice(best)[key]
        if learn and best and source.random() < 0.8
        else source.choice(levels)
        for key, levels in FACTORS.items()
    }


def windows(part: Part, size: int, count: int) -> Part:
    """Cut random windows that lie inside a part of the scene, on its device."""
    image, mask = part["image"], part["mask"]
    height, width = mask.shape
    device, side = mask.device, torch.arange(size, device=mask.device)
    row = torch.randint(height - size + 1, (count, 1), device=device) + side
    col = torch.randint(width - size + 1, (count, 1), device=device) + side
    row, col = row[:, :, None], col[:, None, :]
    return {"image": image[:, row, col].transpose(0, 1).contiguous(), "mask": mask[row, col]}


def part_scores(task: GlaViTUTask, part: Part, mirrored: bool = False) -> dict[str, float]:
    """Score a part of the scene, padded with 0 or mirrored at its borders."""
    task.eval()
    task.mirrored = mirrored
    with torch.inference_mode():
        prediction = task.predict_tiles({"image": part["image"][None]})[0].argmax(0)
    task.train()
    return scores(prediction, part["mask"].cpu())


def train(row: Row, parts: dict[str, Part], deadline: float) -> Row | None:
    """Train as a row says, and return it with its scores; None where the time did not suffice."""
    start = time.monotonic()
    torch.manual_seed(row["seed"])
    dropout = {"dropout": row["dropout"]}
    task = GlaViTUTask(
        features=[RGB],
        model=row["model"],
        model_args=SIZES[row["model"]][row["size"]] | dropout,
        image_size=row["window"],
        loss=row["loss"],
        batch_norm_momentum=row["momentum"],
    )
    task.to(parts["train"]["mask"].device)
    task.model.to(memory_format=torch.channels_last)
    augmentation = Augmentation(
        **COLOURS[row["colours"]], occlusion=row["occlusion"], crop_scale=row["crop_scale"]
    )
    augment = TrainingAugmentation(augmentation, task.features)
    optimiser = torch.optim.Adam(task.parameters(), lr=row["lr"])
    schedule = CosineAnnealingLR(optimiser, row["steps"])
    stops = {round(row["steps"] * share) for share in STOPS}
    curve = []
    task.train()
    for step in range(1, row["steps"] + 1):
        batch = augment(windows(parts["train"], row["window"], BATCHES[row["window"]]))
        optimiser.zero_grad()
        loss = task.training_loss(batch["image"], batch["mask"])
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if step in stops:
            curve.append(part_scores(task, parts["val"]))
        if step % 20 == 0 and time.monotonic() > deadline:
            return None
    last = curve[-1]
    return row | {
        "iou": last["iou"],
        "precision": last["precision"],
        "recall": last["recall"],
        "curve": [score["iou"] for score in curve],
        "iou_mirrored": part_scores(task, parts["val"], mirrored=True)["iou"],
        "iou_train": part_scores(task, parts["train"])["iou"],
        "seconds": time.monotonic() - start,
    }


def work(rank: int, parts: dict[str, Part], path: Path, start: float, seconds: float) -> None:
    """Train until the time is over: what one process does."""
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parts = {
        name: {key: part[key].to(device) for key in ("image", "mask")}
        for name, part in parts.items()
    }
    source, trained = random.Random(rank), 0
    while time.monotonic() < start + seconds:
        model = tuple(SIZES)[(rank + trained) % len(SIZES)]
        learn = time.monotonic() > start + seconds / 2
        row = draw(model, read(path), learn, source) | {"seed": 1000 * rank + trained}
        ended = train(row, parts, start + seconds)
        trained += 1
        if ended is not None:
            with path.open("a") as file:  # one write of a line, which processes do not mix
                file.write(json.dumps(ended) + "\n")


def search(data: Path, path: Path, minutes: float, processes: int) -> None:
    """Run the search."""
    start = time.monotonic()
    parts = {name: sample(data, name) for name in ("train", "val")}
    context = multiprocessing.get_context("fork")  # before the GPU is touched
    arguments = (parts, path, start, 60 * minutes)
    workers = [context.Process(target=work, args=(i, *arguments)) for i in range(processes)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(max(1.0, start + 60 * minutes + 20 - time.monotonic()))
        worker.kill()


def read(path: Path) -> list[Row]:
    """Read the rows that there are."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def effects(rows: list[Row]) -> pd.DataFrame:
    """Estimate what each level adds to the mean IoU of its factor, all factors together.

    Ridge regression on the levels, model by model.
    """
    columns = {}
    for model in SIZES:
        table = pd.DataFrame([row for row in rows if row["model"] == model])
        if len(table) < 3:
            continue
        levels = pd.get_dummies(table[list(FACTORS)].astype(str)).astype(float)
        centred = levels - levels.mean()
        x = torch.tensor(centred.to_numpy())
        y = torch.tensor(table["iou"].to_numpy()) - table["iou"].mean()
        weights = torch.linalg.solve(x.T @ x + torch.eye(x.shape[1], dtype=x.dtype), x.T @ y)
        columns[model] = pd.Series(weights.numpy(), levels.columns)
        columns[f"{model} n"] = levels.sum().astype(int)
    return pd.DataFrame(columns).round(4)


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the scene; without it, show the rows")
    parser.add_argument("--rows", type=Path, required=True, help="where rows go, and come from")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--processes", type=int, default=12)
    options = parser.parse_args()
    if options.data is not None:
        search(options.data, options.rows, options.minutes, options.processes)
    rows = read(options.rows)
    if not rows:
        parser.error(f"{options.rows} has no row")
    table = pd.DataFrame(rows)
    print(effects(rows).to_string())
    print(table.groupby("model")[["iou", "iou_mirrored"]].mean())
    shown = [
        "model",
        "iou",
        "iou_mirrored",
        "iou_train",
        "precision",
        "recall",
        "seconds",
    ]
    table = table.sort_values("iou", ascending=False)[[*shown, *FACTORS, "curve"]]
    for _, part in table.groupby("model"):
        print(part.head(15).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
