"""What training over two processes costs on this machine, and what follows for GPUs.

Each process has one thread and trains the published model on one patch. In turns: one process
trains while the other waits, both train without exchanging gradients, and both exchange them
(DistributedDataParallel, gloo):

    python -m benchmarks.speed.ddp_speed
"""

import argparse
import os
import statistics
import tempfile
from contextlib import nullcontext
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from benchmarks.speed import measuring
from benchmarks.speed.model_speed import patches
from glavitu import GlaViTUTask

PROCESSES = 2
#: GPUs of a node, and bytes a second that one sends while all exchange: NVLink 4 and PCIe 5.
GPUS, LINKS = 8, {"NVLink 4": 450e9, "PCIe 5 x16": 50e9}


class Loss(nn.Module):
    """The task's training loss as a module's forward, which DDP wants."""

    def __init__(self, task: GlaViTUTask) -> None:
        super().__init__()
        self.task = task

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.task.training_loss(image, mask)


def work(rank: int, meeting: str, rounds: int, small: bool, target: str) -> None:
    """One process: time the three cases in turns."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=PROCESSES)
    torch.manual_seed(rank)
    tiny = {"model_args": {"width": 8, "depth": 1, "heads": 2}, "image_size": 64}
    task = GlaViTUTask(**tiny) if small else GlaViTUTask()
    task.model.to(memory_format=torch.channels_last)
    model = DistributedDataParallel(Loss(task))
    optimiser = torch.optim.Adam(task.parameters(), lr=5e-4)
    image = patches(task, 1)
    mask = (image[:, 0] > 0.5).long()

    def step(exchange: bool) -> None:
        optimiser.zero_grad(set_to_none=True)
        # Calling the wrapper would exchange the statistics of batch norms even without gradients.
        with nullcontext() if exchange else model.no_sync():
            (model if exchange else model.module)(image, mask).backward()
        optimiser.step()

    def alone() -> None:
        if rank == 0:
            step(False)
        dist.barrier()

    def apart() -> None:
        step(False)
        dist.barrier()

    cases = {"alone": alone, "apart": apart, "together": lambda: step(True)}
    times = measuring.alternate(cases, rounds)
    if rank == 0:
        gradients = sum(p.numel() * p.element_size() for p in task.parameters())
        figures = {name: statistics.median(seconds) for name, seconds in times.items()}
        figures |= {
            "slower_side_by_side": measuring.ratio(times, "apart", "alone"),
            "slower_by_exchange": measuring.ratio(times, "together", "apart"),
            "gradient_mb": gradients / 2**20,
            f"exchange_of_{GPUS}_gpus_ms": {
                # A ring sends each value twice but for the own share.
                link: 2 * (GPUS - 1) / GPUS * gradients / rate * 1e3
                for link, rate in LINKS.items()
            },
        }
        if small:
            print(figures)
        else:
            measuring.save(target, figures)
    dist.destroy_process_group()


def main() -> None:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="rounds that count (default: 7)")
    parser.add_argument("--small", action="store_true", help="a small model, to try the script")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        arguments = (str(Path(folder) / "meeting"), options.rounds, options.small, "ddp_speed")
        torch.multiprocessing.spawn(work, arguments, nprocs=PROCESSES)


if __name__ == "__main__":
    main()
