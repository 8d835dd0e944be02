"""Where the time of a prediction and of a training step goes, by kind of operation and by part.

    python -m benchmarks.speed.model_profile
    python -m benchmarks.speed.model_profile --device cuda --batch 8

Kinds are those of the profiler's operations, parts those of the model (forward only). The model is
not compiled, since fused operations have no kind.
"""

import argparse
import re
import time
from collections import defaultdict
from collections.abc import Callable

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from benchmarks.speed import measuring
from benchmarks.speed.model_speed import patches, step_of
from glavitu import GlaViTUTask
from glavitu.models.folding import fold_batch_norms

#: The first that is found in an operation's name counts.
KINDS = {
    "convolutions, backward": r"convolution.*backward|dgrad|wgrad|bgrad",
    "convolutions": r"conv|xmma|cudnn.*fprop|implicit",
    "batch norms": r"batch_norm|bn_",
    "attention": r"attention|fmha|flash",
    "dense layers": r"\bmm\b|addmm|bmm|gemm|linear|cublas",
    "activations": r"relu|gelu|sigmoid|softmax",
    "resampling and pooling": r"upsample|max_pool",
    "optimiser": r"adam|optimizer|_foreach",
    "copies and filling": r"copy|cat\b|fill|zero|clone|contiguous|pad|memcpy|memset",
    "sums, products and means": r"add|mul|sum|mean|div|sub|pow|log|exp|clamp|elementwise|reduce",
}


def kinds(work: Callable[[], object], device: str) -> dict[str, float]:
    """Share of each kind of operation in the time of one run, after one that does not count."""
    work()
    activities = [ProfilerActivity.CPU]
    if device == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiler:
        work()
        if device == "cuda":
            torch.cuda.synchronize()
    seconds: dict[str, float] = defaultdict(float)
    for event in profiler.key_averages():
        spent = event.self_device_time_total if device == "cuda" else event.self_cpu_time_total
        name = event.key.lower()
        kind = next((kind for kind, words in KINDS.items() if re.search(words, name)), "other")
        seconds[kind] += spent
    return shares(seconds)


def parts(task: GlaViTUTask, image: torch.Tensor, device: str) -> dict[str, float]:
    """Share of the model's parts in a prediction."""
    model = task.model
    seconds: dict[str, float] = defaultdict(float)
    starts: list[float] = []

    def now() -> float:
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    named: dict[str, nn.Module] = {"fusion": model.fusion, "transformer branch": model.setr}
    named |= {"U-Net branch": model.resunet, "heads": model.output}
    for name, module in named.items():
        module.register_forward_pre_hook(lambda *_: starts.append(now()))

        def stop(*_: object, name: str = name) -> None:
            seconds[name] += now() - starts.pop()

        module.register_forward_hook(stop)
    for turn in range(3):
        if turn == 1:
            seconds.clear()
        with torch.inference_mode():
            task(image)
    return shares(seconds)


def shares(seconds: dict[str, float]) -> dict[str, float]:
    total = sum(seconds.values())
    ordered = sorted(seconds.items(), key=lambda item: -item[1])
    return {name: round(value / total, 4) for name, value in ordered}


def main() -> None:
    """Profile what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--batch", type=int, default=2, help="patches of a batch (default: 2)")
    options = parser.parse_args()
    torch.manual_seed(0)
    device, narrow = options.device, torch.bfloat16
    task = GlaViTUTask().to(device)
    task.model.to(memory_format=torch.channels_last)
    image = patches(task, options.batch).to(device)
    mask = (image[:, 0] > 0.5).long()
    dtype = narrow if device == "cuda" else torch.float32
    optimiser = torch.optim.Adam(task.parameters(), lr=5e-4)
    step = step_of(task.training_loss, optimiser, image, mask, device, dtype)
    figures = {"training": kinds(step, device)}
    task.eval()
    fold_batch_norms(task)

    def predict() -> None:
        with torch.inference_mode(), torch.autocast(device, narrow, enabled=device == "cuda"):
            task(image)

    figures["inference"] = kinds(predict, device)
    figures["parts"] = parts(task, image, device)
    measuring.save("model_profile", figures, device)


if __name__ == "__main__":
    main()
