import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from glavitu.features import FeatureGroup

from . import raster_files

# Tests must not log to anybody's account, nor depend on one.
os.environ["WANDB_MODE"] = "offline"

# Of several that test at once (pytest-xdist) each calculates in one thread, as do its children.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Run each test in a folder of its own, so that nothing is left in the checkout."""
    monkeypatch.chdir(tmp_path)
    yield
    if "wandb" in sys.modules:  # The next run must not go on with this one.
        sys.modules["wandb"].finish()


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Path:
    """A synthetic world of two regions with small tiles."""
    from glavitu.datasets import SyntheticGlaciers

    world = SyntheticGlaciers(("SC", "HMA"), tiles=(2, 1, 1), size=64, seed=0)
    return world.write_geotiffs(tmp_path_factory.mktemp("world"), progress=False)


@pytest.fixture(scope="session")
def benchmark(tmp_path_factory) -> Path:
    """The same world as the benchmark was released: one HDF5 file per split."""
    from glavitu.datasets import SyntheticGlaciers

    world = SyntheticGlaciers(("SC", "HMA"), tiles=(2, 1, 1), size=64, seed=0)
    return world.write_hdf5(tmp_path_factory.mktemp("benchmark"), progress=False)


@pytest.fixture(scope="session")
def everest() -> Path:
    """The folder of the real scene, where GLAVITU_EVEREST names it."""
    folder = os.environ.get("GLAVITU_EVEREST")
    if not folder:
        pytest.skip("GLAVITU_EVEREST does not name the folder of the real scene")
    return Path(folder)


@pytest.fixture
def write_raster(tmp_path: Path) -> Callable[..., Path]:
    """Write (bands, H, W) as a GeoTIFF in tmp_path/in."""

    def write(name: str, values: np.ndarray, *grid, **options) -> Path:
        return raster_files.write_raster(tmp_path / "in" / name, values, *grid, **options)

    return write


@pytest.fixture
def plain() -> FeatureGroup:
    """One channel that is not changed by scaling."""
    return FeatureGroup("plain", ("value",), (0.0,), (1.0,))
