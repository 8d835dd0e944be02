"""How near the published model comes to what the machine can compute, in inference and training.

Time of a patch of 384 x 384 pixels, optical and elevation, is told in multiples of the time that
the machine would take for its operations (239 GFLOP, three times as many in training) if all were
one large matrix product:

    python -m benchmarks.speed.model_speed inference
    python -m benchmarks.speed.model_speed training
    python -m benchmarks.speed.model_speed inference training --device cuda --batches 8 32

On a GPU the same is told as utilisation, the inverse, in percent.
"""

import argparse
import copy
import statistics
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed import measuring
from glavitu import GlaViTUTask
from glavitu.mapping import devices

CLASSES = 2


def flops_of(task: GlaViTUTask) -> float:
    """Operations of one patch's prediction, a multiplication and an addition being two."""
    image = patches(task, 1)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        task(image)
    # The upsampling convolutions are counted as published, not as they are computed here.
    published = sum(
        2 * 4 * up.convolution.in_channels * up.convolution.out_channels * (1 - 9 / 16) * side**2
        for up, side in zip(
            (step.up for step in task.model.resunet.up),
            (task.image_size // 4, task.image_size // 2, task.image_size),
            strict=True,
        )
    )
    return counter.get_total_flops() + published


def patches(task: GlaViTUTask, count: int) -> torch.Tensor:
    channels = sum(len(group) for group in task.features)
    return torch.rand(count, channels, task.image_size, task.image_size)


def predictor(task: GlaViTUTask, batch: int, compiled: bool) -> Callable[[torch.Tensor], object]:
    """What maps predict with."""
    predict = devices.Predictor(task, batch, 10**9 if compiled else 1)

    def run(images: torch.Tensor) -> object:
        with torch.inference_mode():
            return predict(images, None)

    return run


def inference(task: GlaViTUTask, batch: int, rounds: int, device: str) -> dict:
    """Time the plain module, and what maps predict with, uncompiled and compiled."""
    flops = flops_of(task)
    task = task.to(device).eval()
    images = patches(task, batch)

    def plain() -> object:
        with torch.inference_mode():
            return task.predict_probabilities(images.to(device))

    folded, compiled = (predictor(task, batch, choice) for choice in (False, True))
    work = {
        "plain": plain,
        "folded, channels last": lambda: folded(images),
        "compiled too": lambda: compiled(images),
    }
    work |= measuring.matrix_products(device)
    times = measuring.alternate(work, rounds, device)
    return told(times, flops * batch, batch, device)


def training(task: GlaViTUTask, batch: int, rounds: int, device: str) -> dict:
    """Time steps of the plain module, and of what `fit` trains with."""
    flops = 3 * flops_of(task)
    image = patches(task, batch).to(device)
    mask = (image[:, 0] > 0.5).long()
    precise = torch.float32
    narrow = torch.bfloat16 if device == "cuda" else precise
    cases = {
        "plain": (False, False, precise),
        "channels last": (True, False, narrow),
        "compiled too": (True, True, narrow),
    }
    work: dict[str, Callable[[], object]] = {}
    for name, (last, compiled, dtype) in cases.items():
        trained = copy.deepcopy(task).to(device).train()
        if last:
            trained.model.to(memory_format=torch.channels_last)
        loss_of = trained.training_loss
        if compiled:
            loss_of = torch.compile(loss_of, dynamic=False)
        optimiser = torch.optim.Adam(trained.parameters(), lr=5e-4)
        work[name] = step_of(loss_of, optimiser, image, mask, device, dtype)
    work |= measuring.matrix_products(device)
    return told(measuring.alternate(work, rounds, device), flops * batch, batch, device)


def step_of(loss_of, optimiser, image, mask, device, dtype) -> Callable[[], None]:
    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(device, dtype, enabled=dtype != torch.float32):
            loss = loss_of(image, mask)
        loss.backward()
        optimiser.step()

    return step


def told(times: measuring.Seconds, flops: float, batch: int, device: str) -> dict:
    """Multiples of the machine's own time for each case, and the seconds that they come from."""
    rates = measuring.machine_rates(times, device)
    figures: dict = {"batch": batch, "machine_gflops": round(statistics.median(rates) / 1e9)}
    names = [name for name in times if name.startswith("matrices")]
    figures["machine"] = {
        name: round(measuring.product_flops(device) / statistics.median(times[name]) / 1e9)
        for name in names
    }
    for name in times:
        if name in names:
            continue
        multiples = [s * rate / flops for s, rate in zip(times[name], rates, strict=True)]
        multiple = statistics.median(multiples)
        figures[name] = {
            "seconds_a_patch": statistics.median(times[name]) / batch,
            "times_the_machine": round(multiple, 3),
            "utilisation": round(1 / multiple, 4),
            "speed_against_plain": round(measuring.ratio(times, "plain", name), 2),
        }
    return figures


def main() -> None:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="+", choices=["inference", "training"])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--batches", type=int, nargs="+", help="default: 1 to predict, 2 to train")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count (default: 5)")
    parser.add_argument("--small", action="store_true", help="a small model, to try the script")
    options = parser.parse_args()
    torch.manual_seed(0)
    small = {"model_args": {"width": 8, "depth": 1, "heads": 2}, "image_size": 64}
    task = GlaViTUTask(**small) if options.small else GlaViTUTask()
    for what in options.what:
        for batch in options.batches or [1 if what == "inference" else 2]:
            run = inference if what == "inference" else training
            figures = run(copy.deepcopy(task), batch, options.rounds, options.device)
            if options.small:
                print(figures)
            else:
                measuring.save("model_speed", {f"{what}, batch {batch}": figures}, options.device)


if __name__ == "__main__":
    main()
