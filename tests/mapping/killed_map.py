"""Kill maps at several places, go on with each, and print what was there and what was predicted.

Prints the visible files after the kill and the batches that the second run predicted, by the kill.
"""

import json
import os
import signal
import sys
from pathlib import Path

import torch

from glavitu.features import FeatureGroup
from glavitu.mapping import (
    map_scene,
    mapper,
)
from glavitu.mapping import (
    output_folder as workplace,
)
from tests.mapping.conftest import TinyModel

PLAIN = FeatureGroup("plain", ("value",), (0.0,), (1.0,))


class Convolving(TinyModel):
    def __init__(self, killed_at: int | None) -> None:
        torch.manual_seed(0)
        super().__init__((PLAIN,))
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(1, 4, 9, padding=4), torch.nn.BatchNorm2d(4), torch.nn.Conv2d(4, 2, 1)
        )
        self.killed_at = killed_at

    def predict_probabilities(self, image, location):
        count("batch", self.killed_at)
        return self.layers(image).softmax(1)


counts: dict[str, int] = {}


def count(what: str, killed_at: int | None) -> None:
    counts[what] = counts.get(what, 0) + 1
    if counts[what] == killed_at:
        os.kill(os.getpid(), signal.SIGKILL)


def killing(function, what: str, killed_at: int):
    def called(*args, **kwargs):
        count(what, killed_at)
        return function(*args, **kwargs)

    return called


def run(path: str, output: Path, what: str = "", at: int | None = None) -> int:
    """Map in a child; return the number of batches, -1 if it was killed."""
    read_end, write_end = os.pipe()
    if os.fork() == 0:
        torch.set_num_threads(1)
        if what == "raster":
            mapper.write_cog = killing(mapper.write_cog, what, at)
        elif what == "move":
            workplace._remove_beside = killing(workplace._remove_beside, what, at)
        model = Convolving(at if what == "batch" else None)
        map_scene(model, {"plain": path}, output, batch_size=3, progress=False)
        os.write(write_end, str(counts.get("batch", 0)).encode())
        os._exit(0)
    _, status = os.wait()
    os.close(write_end)
    said = os.read(read_end, 100)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert killed != bool(said), status
    return -1 if killed else int(said)


path, folder = sys.argv[1], Path(sys.argv[2])
assert run(path, folder / "whole") > 10
results = {}
for what, at in [
    *[("batch", at) for at in (1, 2, 9)],
    *[("raster", at) for at in (1, 2)],
    *[("move", at) for at in (1, 3)],
]:
    output = folder / f"{what}-{at}"
    assert run(path, output, what, at) == -1
    there = sorted(file.name for file in output.iterdir() if not file.name.startswith("."))
    results[output.name] = (there, run(path, output))
print(json.dumps(results))
