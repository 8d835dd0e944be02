"""Small worlds that a model must learn something to solve, made from a seed.

Band ratios find the clean ice of these worlds and miss the debris-covered ice, which shows in the
interferometric coherence and a little in the thermal band. They take the benchmark's place where
that is not at hand: in the demo, the tests and the benchmarks of speed.
"""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import geopandas
import h5py
import numpy as np
import numpy.typing as npt
import pyproj
import rasterio
import rasterio.features
import rasterio.warp
import torch
from affine import Affine
from shapely.geometry import shape
from tqdm import tqdm

from glavitu.arrays import BoolArray, FloatArray
from glavitu.classes import GLACIER
from glavitu.errors import InputError
from glavitu.features import FEATURES
from glavitu.files import opened, when_complete
from glavitu.outlines.vector_files import write_vectors
from glavitu.rasters.writing import write_geotiff
from glavitu.regions import region_index
from glavitu.synthetic.regions import PROFILES
from glavitu.synthetic.sensors import observe
from glavitu.synthetic.terrain import landscape
from glavitu.windows import centred_padding

SPLITS = ("train", "val", "test")

#: The released files are padded to multiples of this.
WINDOW = 384

#: Tiles stand in rows of so many from west to east, and a tenth of a tile apart.
TILES_PER_ROW = 8


@dataclass(frozen=True)
class Tile:
    """A place of the synthetic world, what the sensors see of it, and the truth.

    Args:
        name: Of the tile, such as ``'HMA_train_000'``.
        region: One of :data:`glavitu.regions.REGION_CODES`.
        subregion: A part of the region, such as ``'HMA1'``.
        crs: EPSG code of the UTM zone.
        transform: From columns and rows to easting and northing in m.
        features: Feature groups by name, float32 (C, H, W), in physical units: reflectance; m and
            degrees; linear sigma0; coherence; K.
        mask: uint8 (H, W), 1 = glacier, covered by debris or not.
        debris: uint8 (H, W), 1 = glacier covered by debris.
    """

    name: str
    region: str
    subregion: str
    crs: int
    transform: Affine
    features: dict[str, FloatArray]
    mask: npt.NDArray[np.uint8]
    debris: npt.NDArray[np.uint8]

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east and north in the tile's CRS, m."""
        height, width = self.mask.shape
        west, south, east, north = rasterio.transform.array_bounds(height, width, self.transform)
        return west, south, east, north

    def outlines(self) -> geopandas.GeoDataFrame:
        """Return one polygon per glacier, along the edges of the pixels.

        Rasterised on the tile's grid they give back ``mask`` exactly.
        """
        polygons = [
            shape(outline)
            for outline, _ in rasterio.features.shapes(
                self.mask, mask=self.mask == GLACIER, connectivity=4, transform=self.transform
            )
        ]
        glaciers = geopandas.GeoDataFrame(geometry=polygons, crs=self.crs)
        glaciers["region"] = self.region
        glaciers["subregion"] = self.subregion
        glaciers["area_km2"] = glaciers.area / 1e6
        return glaciers


class SyntheticGlaciers:
    """Worlds of glaciers, the same for the same seed.

    Each tile depends on the seed, its split, region and index alone, and lies in a place of its
    own in its region's UTM zone.

    Args:
        regions: Codes of the regions. By default one of clean ice, one rich in debris and a
            maritime one.
        tiles: Tiles per region in train, val and test.
        size: Height and width of a tile in pixels, at least 32.
        resolution: Size of a pixel in m.
        seed: Of the world, 0 or more.

    Raises:
        InputError: If a region is unknown or named twice, or a number out of range.

    Example:
        >>> tile = SyntheticGlaciers(size=64).tile("train", "HMA", 0)
        >>> tile.features["optical"].shape
        (6, 64, 64)
    """

    def __init__(
        self,
        regions: Sequence[str] = ("SC", "HMA", "NZ"),
        tiles: tuple[int, int, int] = (8, 2, 2),
        size: int = 256,
        resolution: float = 30.0,
        seed: int = 0,
    ) -> None:
        """Check and keep the options; nothing is made yet."""
        self.regions = (regions,) if isinstance(regions, str) else tuple(regions)
        self.tiles = dict(zip(SPLITS, tiles, strict=False))
        self.size = size
        self.resolution = resolution
        self.seed = seed
        for region in self.regions:
            _check_region(region)
        if not self.regions or len(set(self.regions)) < len(self.regions):
            raise InputError(f"regions are {self.regions}; name at least one, and each once")
        if len(tiles) != len(SPLITS) or min(tiles) < 0:
            raise InputError(
                f"tiles is {tuple(tiles)}; give three counts of 0 or more, for {', '.join(SPLITS)}"
            )
        if size < 32:
            raise InputError(f"size is {size} pixels; valleys need at least 32")
        if not (math.isfinite(resolution) and resolution > 0):
            raise InputError(f"resolution is {resolution} m; give a number above 0")
        if seed < 0:
            raise InputError(f"seed is {seed}; give an integer of 0 or more")

    def tile(self, split: str, region: str, index: int, rise: float = 0.0) -> Tile:
        """Make one tile, whether or not it is among those that are written.

        Args:
            split: ``'train'``, ``'val'`` or ``'test'``.
            region: Code of any of the 11 regions.
            index: Number of the tile, 0 or more.
            rise: How far the equilibrium line has risen since in m: the same place with its
                glaciers retreated.

        Raises:
            InputError: If the split or the region is unknown, or the index negative.
        """
        if split not in SPLITS:
            raise InputError(f"unknown split {split!r}; choose from {', '.join(SPLITS)}")
        _check_region(region)
        if index < 0:
            raise InputError(f"tile index is {index}; give an integer of 0 or more")
        profile = PROFILES[region]
        rng = np.random.default_rng([self.seed, SPLITS.index(split), region_index(region), index])
        land = landscape(rng, profile, self.size, self.resolution, rise)
        # Plants do not follow the ice at once.
        profile = replace(profile, vegetation=profile.vegetation - rise)
        return Tile(
            name=f"{region}_{split}_{index:03d}",
            region=region,
            subregion=f"{region}{1 + index % 2}",
            crs=profile.epsg,
            transform=self._transform(split, region, index),
            features=observe(rng, profile, land, self.resolution),
            mask=land.ice.astype(np.uint8),
            debris=land.debris.astype(np.uint8),
        )

    def split(self, split: str, progress: bool = False) -> Iterator[Tile]:
        """Make the tiles of a split one after the other.

        Args:
            split: ``'train'``, ``'val'`` or ``'test'``.
            progress: Show a progress bar.
        """
        if split not in SPLITS:
            raise InputError(f"unknown split {split!r}; choose from {', '.join(SPLITS)}")
        names = [(region, i) for region in self.regions for i in range(self.tiles[split])]
        for region, index in tqdm(names, desc=f"{split} tiles", disable=not progress):
            yield self.tile(split, region, index)

    def write_geotiffs(self, root: str | os.PathLike[str], progress: bool = True) -> Path:
        """Write every tile as GeoTIFFs and its outlines as a GeoPackage.

        The layout is ``root/{split}/{tile}/{feature group}.tif`` and ``outlines.gpkg`` beside
        them. Files that exist are overwritten; each appears when it is complete.

        Args:
            root: Folder to write to; made if missing.
            progress: Show a progress bar.

        Returns:
            The folder.
        """
        root = Path(root)
        with opened(root):
            for split in SPLITS:
                for tile in self.split(split, progress):
                    write_tile(tile, root / split / tile.name)
        return root

    def write_hdf5(self, root: str | os.PathLike[str], progress: bool = True) -> Path:
        """Write one HDF5 file per split, as the benchmark was released; a split is made in memory.

        Args:
            root: Folder to write ``train.hdf5``, ``val.hdf5`` and ``test.hdf5`` to; made if
                missing.
            progress: Show a progress bar.

        Returns:
            The folder.
        """
        root = Path(root)
        with opened(root):
            for split in SPLITS:
                with when_complete(root / f"{split}.hdf5") as path:
                    # In memory first, for on a full disk HDF5 ends the process.
                    with h5py.File(path, "w", driver="core", backing_store=False) as file:
                        for tile in self.split(split, progress):
                            _write_group(file, tile)
                        file.flush()
                        image = file.id.get_file_image()
                    path.write_bytes(image)
        return root

    def _transform(self, split: str, region: str, index: int) -> Affine:
        """Give the tile its place: rows of tiles from south to north, the splits by turns."""
        profile = PROFILES[region]
        to_utm = pyproj.Transformer.from_crs(4326, profile.epsg, always_xy=True)
        east, north = to_utm.transform(profile.longitude, profile.latitude)
        row, col = divmod(index, TILES_PER_ROW)
        row = row * len(SPLITS) + SPLITS.index(split)
        step = math.ceil(1.1 * self.size) * self.resolution
        west = round(east, -3) + (col - TILES_PER_ROW // 2) * step
        top = round(north, -3) + row * step
        return Affine(self.resolution, 0, west, 0, -self.resolution, top)


def band_ratio(
    optical: FloatArray, threshold: float = 2.0, minimum_blue: float = 0.12
) -> BoolArray:
    """Map glaciers by the ratio of red to shortwave infrared 1, the baseline to beat.

    The classic method for clean ice (Paul et al. 2002, doi 10.3189/172756402781817941). The blue
    band keeps water and shaded rock out.

    Args:
        optical: (6, H, W) reflectance in the order of :data:`glavitu.features.OPTICAL`.
        threshold: Ratio from which on a pixel is ice.
        minimum_blue: Reflectance in the blue band from which on a pixel can be ice.

    Returns:
        (H, W), True = glacier.

    Raises:
        InputError: If there are not six bands.
    """
    if optical.ndim != 3 or len(optical) != 6:
        raise InputError(
            f"band_ratio got an array of shape {optical.shape}; give (6, H, W), the bands "
            f"{', '.join(FEATURES['optical'].channels)}"
        )
    blue, red, swir1 = optical[0], optical[2], optical[4]
    # As a product, since noise can bring the shortwave infrared to 0 and below.
    return np.asarray((red >= threshold * swir1) & (blue >= minimum_blue))


def write_tile(tile: Tile, folder: Path) -> None:
    """Write a tile as GeoTIFFs, one for each feature group, and its outlines as a GeoPackage.

    Args:
        tile: The tile.
        folder: Folder to write to; made if missing. Files that exist are overwritten.
    """
    for name in tile.features:
        _write_geotiff(folder / f"{name}.tif", tile, name)
    write_vectors(tile.outlines(), folder / "outlines.gpkg", "outlines")


def _check_region(region: str) -> None:
    if region not in PROFILES:
        raise InputError(f"unknown region {region!r}; choose from {', '.join(PROFILES)}")


def _write_geotiff(path: Path, tile: Tile, name: str) -> None:
    write_geotiff(
        path,
        tile.features[name].astype(np.float32, copy=False),
        descriptions=FEATURES[name].channels,
        tags={"region": tile.region, "subregion": tile.subregion},
        crs=tile.crs,
        transform=tile.transform,
        nodata=np.nan,
        tiled=True,
        blockxsize=256,
        blockysize=256,
        compress="deflate",
        predictor=3,
        zlevel=1,
    )


def _write_group(file: h5py.File, tile: Tile) -> None:
    height, width = tile.mask.shape
    vertical, horizontal = centred_padding(height, WINDOW), centred_padding(width, WINDOW)
    margins = ((vertical.before, vertical.after), (horizontal.before, horizontal.after), (0, 0))
    group = file.create_group(tile.name)
    arrays = {
        name: FEATURES[name].scale(torch.from_numpy(values)).numpy().transpose(1, 2, 0)
        for name, values in tile.features.items()
    }
    arrays["outlines"] = np.stack([tile.mask == 0, tile.mask == GLACIER], axis=-1).astype(
        np.float32
    )
    for name, values in arrays.items():
        group.create_dataset(name, data=np.pad(values, margins), compression="lzf")
    xmin, ymin, xmax, ymax = rasterio.warp.transform_bounds(tile.crs, 4326, *tile.bounds)
    group.attrs.update(
        region=tile.region,
        subregion=tile.subregion,
        height=vertical.size,
        width=horizontal.size,
        padding_height=vertical.before,
        padding_width=horizontal.before,
        original_height=height,
        original_width=width,
        xmin=xmin,
        xmax=xmax,
        ymin=ymin,
        ymax=ymax,
    )
