"""Map a low and a high scene, each in its own process, and print their peak memory in bytes."""

import json
import os
import resource
import sys
from pathlib import Path

import numpy as np
import torch

from glavitu.features import FeatureGroup
from glavitu.mapping import map_scene
from tests.mapping.conftest import TinyModel
from tests.raster_files import write_raster

PLAIN = FeatureGroup("plain", ("value",), (0.0,), (1.0,))


def peak(folder: Path, height: int) -> int:
    """Map in a child, so that nothing of one scene counts for the other."""
    read_end, write_end = os.pipe()
    if os.fork() == 0:
        torch.set_num_threads(1)
        values = np.ones((height, 500), dtype=np.float32)
        path = write_raster(folder / f"{height}.tif", values)
        del values
        baseline = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        model = TinyModel((PLAIN,), image_size=256)
        model.predict_probabilities = lambda image, location: model.probabilities(image)
        map_scene(model, {"plain": path}, folder / f"out{height}", overlap=0, progress=False)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        os.write(write_end, json.dumps([baseline, grown]).encode())
        os._exit(0)
    os.wait()
    baseline, grown = json.loads(os.read(read_end, 1000))
    assert grown > baseline, (baseline, grown)
    return grown * 1024


print(json.dumps([peak(Path(sys.argv[1]), height) for height in (12_000, 48_000)]))
