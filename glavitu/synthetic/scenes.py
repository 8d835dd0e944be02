"""The synthetic world in another year and under another sensor, to test how models generalise."""

import csv
import os
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from glavitu.files import opened, when_complete
from glavitu.synthetic.world import (
    SyntheticGlaciers,
    Tile,
    write_tile,
)

#: How far the equilibrium line has risen in m, by year. Training tiles are of the first.
YEARS: Mapping[str, float] = {"2000": 0.0, "2020": 60.0}


class Sensor(NamedTuple):
    """An optical sensor.

    Attributes:
        gains: What the reflectance of each band comes out multiplied by: other response curves,
            another calibration.
        noise: Standard deviation of its own noise, in reflectance.
    """

    gains: tuple[float, float, float, float, float, float]
    noise: float


#: Sensors by name. Training tiles are of the first, which adds nothing of its own.
SENSORS: Mapping[str, Sensor] = {
    "sensor-a": Sensor((1.0, 1.0, 1.0, 1.0, 1.0, 1.0), 0.0),
    "sensor-b": Sensor((1.10, 1.05, 0.97, 0.92, 1.25, 1.20), 0.02),
}


def write_scenes(
    world: SyntheticGlaciers, root: str | os.PathLike[str], progress: bool = True
) -> Path:
    """Write the places of a world's test tiles in every year and under every sensor.

    ``root/{tile}_{year}_{sensor}/`` has the rasters and outlines of a scene, and
    ``root/scenes.csv`` is the manifest of all, for `glavitu test --data.root root/scenes.csv`. The
    first year under the first sensor is the test tile itself. In the later year the land is the
    same and the glaciers have retreated; sensors differ in the optical bands alone.

    Args:
        world: Its regions, number of test tiles, size and seed are taken.
        root: Folder to write to; made if missing. Files that exist are overwritten.
        progress: Show a progress bar.

    Returns:
        The manifest.

    Raises:
        InputError: If another process writes into the folder, or a vector file is not whole.
        OSError: If a raster is not whole, as on a full disk.
    """
    root = Path(root)
    with opened(root):
        return _write_scenes(world, root, progress)


def _write_scenes(world: SyntheticGlaciers, root: Path, progress: bool) -> Path:
    places = [(region, i) for region in world.regions for i in range(world.tiles["test"])]
    rows = []
    for region, index in tqdm(places, desc="scenes", disable=not progress):
        for year, rise in YEARS.items():
            tile = world.tile("test", region, index, rise)
            for sensor in SENSORS:
                folder = f"{tile.name}_{year}_{sensor}"
                write_tile(seen_by(sensor, tile, world.seed), root / folder)
                rows.append((folder, region, year, sensor))
    manifest = root / "scenes.csv"
    with when_complete(manifest) as partial, partial.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("scene", "region", "date", "sensor"))
        writer.writerows(rows)
    return manifest


def seen_by(name: str, tile: Tile, seed: int) -> Tile:
    """Return a tile as a sensor sees it; its noise is the same whatever the year."""
    sensor = SENSORS[name]
    rng = np.random.default_rng([seed, zlib.crc32(f"{tile.name} {name}".encode())])
    optical = tile.features["optical"] * np.array(sensor.gains)[:, None, None]
    if sensor.noise:
        optical = optical + sensor.noise * rng.standard_normal(optical.shape)
    return replace(tile, features=tile.features | {"optical": optical.astype(np.float32)})
