"""How fast the training augmentation is: against numpy on the CPU, as a share of a step on a GPU.

On the CPU, in one thread: samples a second of the published augmentation of a batch, against the
same steps in numpy, which a sample goes through where they are drawn for it; and the share of a
training step in float32 at batch 2. On a GPU: the share of a step under bfloat16 autocast at batch
8 and 32, and how often the host waits for the device while it augments:

    python -m benchmarks.speed.augmentation_speed
    python -m benchmarks.speed.augmentation_speed --device cuda
"""

import argparse
import statistics
import warnings
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.speed.measuring import Seconds, alternate, ratio, save
from glavitu import GlaViTUTask
from glavitu.transforms import Augmentation, TrainingAugmentation

SIZE = 384
BATCH = 8
BATCHES = {"cpu": (2,), "cuda": (8, 32)}


def batch_of(samples: int, channels: int, device: str = "cpu") -> dict[str, torch.Tensor]:
    """Make a batch of windows."""
    image = torch.rand(samples, channels, SIZE, SIZE, device=device)
    return {"image": image, "mask": (image[:, 0] > 0.5).long()}


def in_numpy(
    images: np.ndarray, masks: np.ndarray, channels: list[int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Augment a batch sample by sample."""
    moved, truths = np.empty_like(images), np.empty_like(masks)
    for image, mask, out, truth in zip(images, masks, moved, truths, strict=True):
        out[...], truth[...] = move(image, mask, rng)
        for first, count in zip(np.cumsum([0, *channels]), channels, strict=False):
            change(out[first : first + count], rng)
    return moved, truths


def move(
    image: np.ndarray, mask: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Flip, rotate and crop; all but the crop are views."""
    a = Augmentation()
    if rng.random() < a.vertical_flip:
        image, mask = image[:, ::-1], mask[::-1]
    if rng.random() < a.horizontal_flip:
        image, mask = image[:, :, ::-1], mask[:, ::-1]
    if rng.random() < a.rotation:
        turns = rng.integers(1, 4)
        image, mask = np.rot90(image, turns, (1, 2)), np.rot90(mask, turns)
    if rng.random() < a.crop:
        side = rng.uniform(a.crop_scale, 1)
        centres = (np.arange(SIZE) + 0.5) * side
        top, left = rng.uniform(0, (1 - side) * SIZE, 2)
        rows, columns = (top + centres).astype(int), (left + centres).astype(int)
        image, mask = image[:, rows[:, None], columns], mask[rows[:, None], columns]
    return image, mask


def change(group: np.ndarray, rng: np.random.Generator) -> None:
    """Change the values of a feature group (C, H, W) in place."""
    a, channels = Augmentation(), (len(group), 1, 1)
    if rng.random() < a.contrast:
        s = a.contrast_strength
        np.power(group, rng.uniform(1 - s, 1 + s, channels).astype(np.float32), out=group)
        np.nan_to_num(group, copy=False, nan=0.0)
    if rng.random() < a.occlusion:
        height, width = rng.uniform(0, a.occlusion_size * SIZE, 2)
        top, left = rng.uniform(0, SIZE - height), rng.uniform(0, SIZE - width)
        group[:, round(top) : round(top + height), round(left) : round(left + width)] = 0
    if rng.random() < a.shift:
        group += rng.normal(0, a.shift_std, channels).astype(np.float32)
    if rng.random() < a.noise:
        group += np.float32(a.noise_std) * rng.standard_normal(group.shape, np.float32)


def against_numpy(rounds: int) -> dict[str, float]:
    """Compare samples a second in one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    features = GlaViTUTask().features
    channels = [len(group) for group in features]
    augment, batch = TrainingAugmentation(Augmentation(), features), batch_of(BATCH, sum(channels))
    images, masks = batch["image"].numpy(), batch["mask"].numpy()
    rng = np.random.default_rng(0)
    times = alternate(
        {
            "glavitu": lambda: augment(batch),
            "numpy": lambda: in_numpy(images, masks, channels, rng),
        },
        rounds,
    )
    torch.set_num_threads(threads)
    return {"samples_a_second_to_numpy": ratio(times, "numpy", "glavitu")} | {
        f"{name}_seconds_a_sample": statistics.median(seconds) / BATCH
        for name, seconds in times.items()
    }


def share(samples: int, rounds: int, device: str) -> dict[str, float]:
    """Measure what share of a training step the augmentation is."""
    task = GlaViTUTask().to(device).train()
    task.model.to(memory_format=torch.channels_last)  # as `fit` does
    optimiser = torch.optim.Adam(task.model.parameters(), 5e-4)
    augment = TrainingAugmentation(Augmentation(), task.features)
    batch = batch_of(samples, sum(len(group) for group in task.features), device)

    def step() -> None:
        optimiser.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            loss = task.training_step(augment(batch), 0)
        loss.backward()
        optimiser.step()

    work: dict[str, Callable[[], object]] = {"augmentation": lambda: augment(batch), "step": step}
    times: Seconds = alternate(work, rounds, device)
    figures = {f"share_batch_{samples}": ratio(times, "augmentation", "step")} | {
        f"{name}_seconds_batch_{samples}": statistics.median(seconds)
        for name, seconds in times.items()
    }
    if device == "cuda":
        figures[f"waits_batch_{samples}"] = waits(work["augmentation"])
    return figures


def waits(run: Callable[[], object]) -> int:
    """Count how often the host waits for the GPU, as PyTorch tells it."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        run()
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing" in str(warning.message) for warning in told)


def main() -> None:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=list(BATCHES), default="cpu")
    parser.add_argument("--rounds", type=int, default=15, help="of the augmentation (%(default)s)")
    parser.add_argument("--steps", type=int, help="rounds of a step (2 on the CPU, 15 on a GPU)")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message=r".*self\.log\(\).*")
    steps = options.steps or (2 if options.device == "cpu" else 15)
    figures = against_numpy(options.rounds) if options.device == "cpu" else {}
    for samples in BATCHES[options.device]:
        figures |= share(samples, steps, options.device)
    save("augmentation_speed", figures, options.device)


if __name__ == "__main__":
    main()
