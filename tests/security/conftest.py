import numpy as np
import pytest

from ..raster_files import write_raster


@pytest.fixture
def secret(tmp_path):
    """A file outside of what a stranger's file may reach, with numbers that would be read."""
    path = tmp_path / "elsewhere" / "secret.bin"
    path.parent.mkdir()
    path.write_bytes(b"root:x:0:0:root:" * 1000)
    return path


@pytest.fixture
def tile(tmp_path):
    return write_raster(tmp_path / "tiles" / "a.tif", np.ones((8, 8), np.uint8))
