"""Small released files for tests, whole and damaged."""

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np


def write_release(
    path: Path, tiles: Sequence[str] = ("a", "b"), height: int = 5, width: int = 7, **groups: int
) -> Path:
    """Write tiles with 2 rows and 1 column of padding before, and 1 row and 3 columns after."""
    rng = np.random.default_rng(0)
    margins = ((2, 1), (1, 3), (0, 0))
    with h5py.File(path, "w") as file:
        for tile in tiles:
            group = file.create_group(tile)
            for name, channels in (groups or {"thermal": 1}).items():
                values = rng.random((height, width, channels), dtype=np.float32)
                group[name] = np.pad(values, margins)
            ice = rng.integers(0, 2, (height, width))
            group["outlines"] = np.pad(np.stack([1 - ice, ice], axis=-1), margins)
            group.attrs.update(region="HMA", subregion="HMA2", xmin=86, xmax=87, ymin=27, ymax=28)
            group.attrs.update(original_height=height, original_width=width)
            group.attrs.update(padding_height=2, padding_width=1)
            group.attrs.update(height=height + 3, width=width + 4)
    return path


def damage(path: Path, array: str) -> None:
    """Overwrite a chunk of a compressed array, as a failing disk or download might."""
    with h5py.File(path, "r+") as file:
        values = file[array][...]
        del file[array]
        stored = file.create_dataset(array, data=values, compression="gzip")
        chunk = stored.id.get_chunk_info(0)
    with open(path, "r+b") as file:
        file.seek(chunk.byte_offset)
        file.write(b"\0" * chunk.size)
