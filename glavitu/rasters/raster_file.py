"""One raster file: what is known of it, and how its bands are read."""

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioError

from glavitu.arrays import FloatArray
from glavitu.errors import InputError
from glavitu.files import is_local
from glavitu.rasters.grid import Grid, check_georeferenced
from glavitu.rasters.units import Units
from glavitu.strangers import check_opened, check_reach
from glavitu.windows import Window

#: Tag of files whose values are in the model's range already, as `glavitu convert` writes them.
SCALED_TAG = "glavitu_scaled"

#: Files kept open at once; a folder may hold more than an operating system lets a process open.
OPEN_FILES = 64


class OpenFiles:
    """Datasets by their name, those used last kept open.

    They may be used by several threads, by one at a time.
    """

    def __init__(self) -> None:
        self._datasets: OrderedDict[str, Any] = OrderedDict()

    def get(self, name: str) -> Any:
        """Return a dataset, open.

        Args:
            name: A path of this machine, or what else GDAL opens.

        Raises:
            InputError: If the file is missing or is no raster.
        """
        if name in self._datasets:
            self._datasets.move_to_end(name)
            return self._datasets[name]
        check_reach(name)
        local = is_local(name)
        if local and not Path(name).exists():
            raise InputError(f"{name} does not exist; check the path")
        try:
            dataset = rasterio.open(Path(name) if local else name)
        except RasterioError as error:
            remedy = (
                "give a GeoTIFF, and if it is one, it seems damaged: download or write it again"
                if local
                else "check the name, and that what it names can be reached from here"
            )
            raise InputError(f"{name} cannot be read as a raster ({error}); {remedy}") from error
        check_opened(name, dataset.driver, dataset.files)
        while len(self._datasets) >= OPEN_FILES:
            self._datasets.popitem(last=False)[1].close()
        self._datasets[name] = dataset
        return dataset

    def close(self) -> None:
        """Close all."""
        while self._datasets:
            self._datasets.popitem()[1].close()


@dataclass(frozen=True, eq=False)
class RasterFile:
    """A file, or some of its bands.

    Attributes:
        name: Its name, see :mod:`glavitu.rasters.names`.
        grid: Its pixels' place on the Earth.
        bands: Numbers of the bands that count, from 1.
        units: Of each of these bands.
        alpha: Numbers of bands that are masks, and no data.
        scaled: Whether values are in the model's range already.
        tags: Its tags.
        block_row_bytes: Size of one row of its blocks, as decoded.
        files: Where it is opened.
    """

    name: str
    grid: Grid
    bands: tuple[int, ...]
    units: tuple[Units, ...]
    alpha: frozenset[int]
    scaled: bool
    tags: dict[str, str] = field(repr=False)
    block_row_bytes: int
    files: OpenFiles = field(repr=False)

    @classmethod
    def open(cls, name: str, files: OpenFiles) -> "RasterFile":
        """Look into a file.

        Raises:
            InputError: If it is missing, is no raster, or holds complex numbers.
        """
        dataset = files.get(name)
        if any("complex" in str(dtype) for dtype in dataset.dtypes):
            raise InputError(
                f"{name} holds complex numbers; write what the model wants of them, such as sigma0"
            )
        tags = dataset.tags()
        scaled = SCALED_TAG in tags
        bands = tuple(range(1, dataset.count + 1))
        pairs = zip(dataset.scales, dataset.offsets, strict=True)
        # Most tiles share a value type; a file of many types needs no better estimate.
        bytes_per_row = dataset.width * dataset.block_shapes[0][0] * dataset.count
        return cls(
            name=name,
            grid=Grid(dataset.crs, dataset.transform, dataset.shape),
            bands=bands,
            units=tuple(
                Units() if scaled else Units(scale or 1.0, offset) for scale, offset in pairs
            ),
            alpha=frozenset(
                band for band in bands if dataset.colorinterp[band - 1] == ColorInterp.alpha
            ),
            scaled=scaled,
            tags=tags,
            block_row_bytes=bytes_per_row * np.dtype(dataset.dtypes[0]).itemsize,
            files=files,
        )

    def check_georeferenced(self) -> None:
        """Check that it has a place on the Earth.

        Raises:
            InputError: If it has none.
        """
        # Only where there is no CRS does the file itself tell why.
        check_georeferenced(self.name, self.grid if self.grid.crs else self.files.get(self.name))

    def holding(self, bands: int) -> "RasterFile | None":
        """Return the file with this number of bands that are data; None if it has another.

        A mask band (alpha) does not count, unless the number is only reached with it: many files
        with four bands call the fourth so whatever it is.
        """
        if len(self.bands) == bands:
            return self
        data = [number for number, band in enumerate(self.bands) if band not in self.alpha]
        return self.part(data) if len(data) == bands else None

    def part(self, numbers: Sequence[int]) -> "RasterFile":
        """Return the file with some of its bands, by their index in :attr:`bands`."""
        return replace(
            self,
            bands=tuple(self.bands[number] for number in numbers),
            units=tuple(self.units[number] for number in numbers),
        )

    def stored_as(self, units: Sequence[Units]) -> "RasterFile":
        """Return the file with units given by hand, one for each band.

        Raises:
            InputError: If it is scaled already.
        """
        if self.scaled and any(unit != Units() for unit in units):
            raise InputError(
                f"{self.name} has scaled values (tag {SCALED_TAG}); leave out the units given "
                "for it"
            )
        own = zip(units, self.units, strict=True)
        return replace(
            self,
            units=tuple(
                unit if self.scaled else unit.of_band(band.scale or 1.0, band.offset)
                for unit, band in own
            ),
        )

    def read(self, window: Window) -> FloatArray:
        """Read a window inside the file.

        Args:
            window: Pixels of the file.

        Returns:
            float32 (bands, h, w) in the units that the model wants, NaN where missing.

        Raises:
            InputError: If the file is damaged there.
        """
        filled = self._read(self.bands, window)
        _forget_infinite(filled)
        # GDAL takes alpha for a mask in files of two and of four bands alone.
        for band in sorted(self.alpha.difference(self.bands)):
            filled[:, np.nan_to_num(self._read((band,), window)[0]) == 0] = np.nan
        if any(unit.changes for unit in self.units):
            for channel, unit in zip(filled, self.units, strict=True):
                unit.convert(channel)
            _forget_infinite(filled)
        return filled

    def _read(self, bands: tuple[int, ...], window: Window) -> FloatArray:
        """Read bands as they are stored, NaN where missing."""
        last_row, last_col = window.row + window.height, window.col + window.width
        place = ((window.row, last_row), (window.col, last_col))
        try:
            dataset = self.files.get(self.name)
            values = dataset.read(list(bands), window=place)
            # GDAL's own masks read all pixels a second time.
            missing = [_missing(dataset, band, values.dtype) for band in bands]
            filled: FloatArray = values.astype(np.float32, copy=False)
            for channel, stored, band, value in zip(filled, values, bands, missing, strict=True):
                if value is None:
                    channel[dataset.read_masks(band, window=place) == 0] = np.nan
                elif value == value:
                    np.putmask(channel, stored == value, np.float32(np.nan))
        except RasterioError as error:
            raise InputError(
                f"{self.name} cannot be read at rows {window.row} to {last_row} "
                f"({error}); it seems damaged, download or write it again"
            ) from error
        return filled


def _missing(dataset: Any, band: int, kind: np.dtype[Any]) -> float | None:
    """Return the value of missing pixels, NaN for none; None where only GDAL can tell."""
    flags, nodata = dataset.mask_flag_enums[band - 1], dataset.nodatavals[band - 1]
    if flags == [MaskFlags.all_valid]:
        return math.nan
    if flags != [MaskFlags.nodata] or nodata is None:
        return None
    if math.isnan(nodata):
        return math.nan
    # GDAL rounds nodata of integers, and compares floats with tolerance.
    return int(nodata) if kind.kind in "iu" and nodata == int(nodata) else None


def _forget_infinite(values: FloatArray) -> None:
    infinite = ~np.isfinite(values)
    if infinite.any():
        np.putmask(values, infinite, np.float32(np.nan))
