"""One raster file: what is known of it, and how its bands are read."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioError

from glavitu.arrays import FloatArray
from glavitu.errors import InputError
from glavitu.features import FEATURES, OPTICAL, FeatureGroup
from glavitu.rasters.grid import Grid, check_georeferenced
from glavitu.rasters.open_files import OpenFiles
from glavitu.rasters.opening import reason
from glavitu.rasters.stored_units import (
    Conversion,
    conversion,
    not_understood,
    vertical_unit,
)
from glavitu.rasters.units import SLOPE, Units
from glavitu.windows import Window

#: Tag of files whose values are in the model's range already, as `glavitu convert` writes them.
SCALED_TAG = "glavitu_scaled"


@dataclass(frozen=True, eq=False)
class RasterFile:
    """A file, or some of its bands.

    Attributes:
        name: Its name, see :mod:`glavitu.rasters.names`.
        grid: Its pixels' place on the Earth.
        bands: Numbers of the bands that count, from 1.
        units: Of each of these bands.
        names: What each of these bands is called, None where nothing tells.
        words: Units of each of these bands in the file's own words, empty where it has none.
        counts: Whether each of these bands holds integers.
        unmarked: Whether nothing tells which pixels of each of these bands are missing.
        alpha: Numbers of bands that are masks, and no data.
        scaled: Whether values are in the model's range already.
        tags: Its tags.
        block_row_bytes: Size of one row of its blocks, as decoded.
        files: Where it is opened.
        group: The feature group of its bands, None until :meth:`stored_as` tells.
        channels: Their numbers among the group's channels.
    """

    name: str
    grid: Grid
    bands: tuple[int, ...]
    units: tuple[Units, ...]
    names: tuple[str | None, ...]
    words: tuple[str, ...]
    counts: tuple[bool, ...]
    unmarked: tuple[bool, ...]
    alpha: frozenset[int]
    scaled: bool
    tags: dict[str, str] = field(repr=False)
    block_row_bytes: int
    files: OpenFiles = field(repr=False)
    group: FeatureGroup | None = None
    channels: tuple[int, ...] = ()

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
        # Most tiles share a value type; a file of many types needs no better estimate.
        bytes_per_row = dataset.width * dataset.block_shapes[0][0] * dataset.count
        return cls(
            name=name,
            grid=Grid(dataset.crs, dataset.transform, dataset.shape),
            bands=bands,
            units=_own_units(name, dataset, scaled),
            names=_names(dataset),
            words=tuple(unit or "" for unit in dataset.units),
            counts=tuple(np.dtype(dtype).kind in "iu" for dtype in dataset.dtypes),
            unmarked=tuple(flags == [MaskFlags.all_valid] for flags in dataset.mask_flag_enums),
            alpha=frozenset(
                band
                for band, colour in zip(bands, dataset.colorinterp, strict=True)
                if colour == ColorInterp.alpha
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
        # Only where there is no place does the file itself tell why.
        placed = self.grid.crs and not self.grid.transform.is_identity
        check_georeferenced(self.name, self.grid if placed else self.files.get(self.name))

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
        per_band = ("bands", "units", "names", "words", "counts", "unmarked", "channels")
        parts: dict[str, Any] = {
            name: tuple(getattr(self, name)[number] for number in numbers)
            for name in per_band
            if getattr(self, name)
        }
        return replace(self, **parts)

    def stored_as(
        self, group: FeatureGroup, channels: Sequence[int], units: Sequence[Units]
    ) -> "RasterFile":
        """Return the file as channels of a group, in units given by hand or by itself.

        Args:
            group: The group.
            channels: For each band the number of its channel in the group.
            units: What is given by hand, for each band.

        Raises:
            InputError: If units are given, but it is scaled already.
        """
        if self.scaled and any(unit != Units() for unit in units):
            raise InputError(
                f"{self.name} has scaled values (tag {SCALED_TAG}); leave out the units given "
                "for it"
            )
        file = replace(self, group=group, channels=tuple(channels))
        return (
            file
            if self.scaled
            else replace(file, units=tuple(map(file._unit, range(len(units)), units)))
        )

    def _unit(self, number: int, given: Units) -> Units:
        """Return the unit of a band: what is given, and what the file says besides."""
        assert self.group is not None
        own = self.units[number]
        unit = given.of_band(own.scale or 1.0, own.offset)
        channel = self.group.channels[self.channels[number]]
        word = self.words[number]
        if not word and self.group.name == "dem" and channel != SLOPE:
            word = vertical_unit(self.grid.crs) or ""
        if given.scale is None and not_understood(self.group, channel, word):
            option = SLOPE if channel == SLOPE else self.group.name
            self.files.said(
                ("unknown unit", self.group.name, channel, word),
                f"{self.name}: {self.group.name} ({channel}) is in {word!r}, as the file says, "
                "which is a unit unknown here, and is taken as it is; give --scale "
                f"{option}=SCALE,OFFSET, or 1 if it is right",
            )
        known = conversion(self.group, channel, word)
        if known is None or given.scale is not None or known == Conversion(known.unit):
            return unit
        scale = unit.scale or 1.0
        converted = replace(
            unit,
            scale=scale * known.scale,
            offset=unit.offset * known.scale + known.offset,
            decibels=unit.decibels or known.decibels,
            percent=unit.percent or known.percent,
        )
        if converted != unit:
            option = SLOPE if channel == SLOPE else self.group.name
            self.files.said(
                ("unit", self.group.name, channel, known.unit),
                f"{self.name}: {self.group.name} ({channel}) is in {known.unit}, as the file says, "
                f"and is converted; if that is wrong, give --scale {option}=1",
            )
        return converted

    def read(self, window: Window) -> FloatArray:
        """Read a window inside the file.

        Args:
            window: Pixels of the file.

        Returns:
            float32 (bands, h, w) in the units that the model wants, NaN where missing. What no
            channel of the group can have is missing too, and a warning says so.

        Raises:
            InputError: If the file is damaged there.
        """
        filled = self.read_all(window)
        if self.scaled or self.group is None or self.group.possible is None:
            return filled
        for number, channel in enumerate(filled):
            low, high = self.group.possible[self.channels[number]]
            impossible = (channel < low) | (channel > high)
            if impossible.any():
                self._say_impossible(number, float(channel[impossible][0]))
                channel[impossible] = np.nan
        return filled

    def read_all(self, window: Window) -> FloatArray:
        """Read as :meth:`read` does, but with values that cannot be."""
        filled = self._read(self.bands, window, self.units)
        _forget_infinite(filled)
        # GDAL takes alpha for a mask in files of two and of four bands alone.
        for band in sorted(self.alpha.difference(self.bands)):
            filled[:, np.nan_to_num(self._read((band,), window)[0]) == 0] = np.nan
        if any(unit.changes for unit in self.units):
            for channel, unit in zip(filled, self.units, strict=True):
                unit.convert(channel)
            _forget_infinite(filled)
        return filled

    def _say_impossible(self, number: int, value: float) -> None:
        assert self.group is not None
        assert self.group.possible is not None
        channel = self.group.channels[self.channels[number]]
        low, high = self.group.possible[self.channels[number]]
        option = SLOPE if channel == SLOPE else self.group.name
        self.files.said(
            impossible_kind(self.group, channel),
            f"{self.name}: {self.group.name} ({channel}) has values such as {value:.7g}, but it "
            f"lies between {low:g} and {high:g}: they are taken as missing. If they mean missing, "
            f"say so with --nodata {option}={self.units[number].stored(value):.7g}; if the unit is "
            f"another one, with --scale {option}=SCALE,OFFSET",
        )

    def zero_is_missing(self, number: int) -> bool:
        """Tell whether 0 in a band means missing, though nothing in the file says so.

        Numbers that satellites store start at 1, and no radar measures exactly nothing.
        """
        group, unit = self.group, self.units[number]
        if self.scaled or unit.nodata is not None or not self.unmarked[number]:
            return False
        if group is None or FEATURES.get(group.name) != group:
            return False
        return group.transform == "log10" or (group == OPTICAL and self.counts[number])

    def _read(
        self, bands: tuple[int, ...], window: Window, units: Sequence[Units] = ()
    ) -> FloatArray:
        """Read bands as they are stored, NaN where missing, as units say if they do."""
        last_row, last_col = window.row + window.height, window.col + window.width
        place = ((window.row, last_row), (window.col, last_col))
        try:
            dataset = self.files.get(self.name)
            values = dataset.read(list(bands), window=place)
            # GDAL's own masks read all pixels a second time.
            missing = [_missing(dataset, band, values.dtype) for band in bands]
            for number, unit in enumerate(units):
                if unit.nodata is not None:
                    missing[number] = unit.nodata
                elif self.zero_is_missing(number):
                    missing[number] = 0.0
                    self._say_zero(number, stored=values[number])
            filled: FloatArray = values.astype(np.float32, copy=False)
            for channel, stored, band, value in zip(filled, values, bands, missing, strict=True):
                if value is None:
                    channel[dataset.read_masks(band, window=place) == 0] = np.nan
                elif value == value:
                    np.putmask(channel, _equal(stored, value), np.float32(np.nan))
        except RasterioError as error:
            raise InputError(
                f"{self.name} cannot be read at rows {window.row} to {last_row} "
                f"({reason(error)}); it seems damaged, download or write it again"
            ) from error
        return filled

    def _say_zero(self, number: int, stored: Any) -> None:
        assert self.group is not None
        if not stored.all():
            channel = self.group.channels[self.channels[number]]
            self.files.said(
                ("zero", self.group.name),
                f"{self.name}: {self.group.name} ({channel}) has pixels of 0 and no nodata value: "
                f"they are taken as missing. Say so with --nodata {self.group.name}=0, or "
                f"--nodata {self.group.name}=none if they are data",
            )


def _own_units(name: str, dataset: Any, scaled: bool) -> tuple[Units, ...]:
    """Return the scale and offset that a file's tags give each band."""
    units = []
    for band, (scale, offset) in enumerate(zip(dataset.scales, dataset.offsets, strict=True), 1):
        try:
            units.append(Units() if scaled else Units(scale or 1.0, offset))
        except InputError as error:
            raise InputError(
                f"{name}: the tags of band {band}: {error}; correct them with gdal_edit.py -scale"
            ) from error
    return tuple(units)


def impossible_kind(group: FeatureGroup, channel: str) -> Hashable:
    """Return the kind of a warning of impossible values: one for a group, and one for slope."""
    return "impossible", group.name, channel == SLOPE


def _names(dataset: Any) -> tuple[str | None, ...]:
    """Return what tells which channel each band is: its description, wavelength or colour."""
    # GDAL calls the bands of any file of three or four bytes so, whatever they are.
    guessed = dataset.count in (3, 4) and dataset.dtypes[0] == "uint8"
    colours = () if guessed else (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    names: list[str | None] = []
    for description, colour in zip(dataset.descriptions, dataset.colorinterp, strict=True):
        # A file of thousands of bands is no scene, and its tags take minutes.
        tags = dataset.tags(len(names) + 1, ns="IMAGERY") if dataset.count < 1000 else {}
        wavelength = tags.get("CENTRAL_WAVELENGTH_UM")
        named = str(colour.name) if colour in colours else None
        names.append(description or (f"{wavelength} um" if wavelength else named))
    return tuple(names)


def _equal(stored: Any, value: float) -> Any:
    """Compare with a value that was written in another precision."""
    if stored.dtype.kind == "f" and value != 0 and math.isfinite(value):
        return np.abs(stored - stored.dtype.type(value)) <= 1e-6 * abs(value)
    return stored == value


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
