"""A scene: the rasters of a place on one grid, read as the model's input window by window."""

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from types import TracebackType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from glavitu.arrays import BoolArray, DoubleArray, FloatArray
from glavitu.errors import InputError
from glavitu.features import FeatureGroup
from glavitu.files import as_name
from glavitu.rasters.fill import forget_fill
from glavitu.rasters.grid import (
    Grid,
    horizontal,
)
from glavitu.rasters.ground import Ground
from glavitu.rasters.mosaic import Mosaic, mosaic_on
from glavitu.rasters.open_files import OpenFiles, Said
from glavitu.rasters.raster_file import SCALED_TAG
from glavitu.rasters.sampling import all_findings, sampled_findings
from glavitu.rasters.sources import (
    Files,
    Parts,
    check_grids,
    check_place,
    open_parts,
    slice_parts,
    takes_slope,
)
from glavitu.rasters.terrain import slope_and_aspect, slope_degrees
from glavitu.rasters.units import (
    SLOPE,
    Units,
    check_names,
)
from glavitu.rasters.values import Finding
from glavitu.windows import Window, intersection

__all__ = ["SCALED_TAG", "SLOPE", "Scene", "Terrain"]

#: Pixels worked on at once, so that what is needed on the way is small beside the window.
SLAB = 2**20


class Terrain(NamedTuple):
    """Elevation in metres, slope in degrees, aspect in degrees clockwise from true north.

    All float32 (h, w), NaN where unknown; aspect also where the ground is flat.
    """

    elevation: FloatArray
    slope: FloatArray
    aspect: FloatArray


class Scene:
    """Rasters of a place, one or several per feature group, read on one grid (a context manager).

    The benchmark's group ``'dem'`` takes files with two bands (elevation in metres, slope in
    degrees), or with elevation alone. Slope then comes from files of its own under the key
    ``'slope'``, or is computed from the elevation on the grid by Horn's method.

    Without ``grid`` all files must be on one. With it, those on other grids are brought onto it
    while they are read: bilinear, averaged where the grid is coarser, and several side by side as
    one; files whose pixels lie on the grid's are read as they are. What a pixel is does not
    depend on the window it is read in.

    One thread at a time may read; others may ask for centres and pixel sizes meanwhile.

    Args:
        files: By the name of their feature group a GeoTIFF (or any raster that GDAL reads, by its
            name there), several (where the first has no data the next one counts; or as many with
            one band each as the group has channels, in order), or a folder of them. Or one file
            that has the bands of all groups, in order.
        groups: The model's feature groups, in its order.
        grid: The grid to read on, see :func:`~glavitu.rasters.target_grid.target_grid`.
        check: Look at a sample of the values: an error if they cannot be what the groups want, a
            warning if they are unusual.
        said: Warnings that were given already, and are not given again.
        units: How values are stored that are not in the groups' units, by the name of the group or
            ``'slope'``. By default a file's own scale and offset are applied, if it has any.

    Attributes:
        groups: The feature groups.
        files: The first file, or the folder, by the name of the group.
        inputs: All files that are read, by the name of the group.
        grid: The grid.
        crs: Its coordinate reference system.
        transform: Its affine transform.
        height: Its number of rows.
        width: Its number of columns.
        tags: Tags of the first file.

    Raises:
        InputError: If a file is missing, unreadable, not wanted, without coordinates, has another
            number of bands than its group has channels, lies elsewhere, or has values that cannot
            be what the group wants; without ``grid``, also
            if one is on another grid than the first.
    """

    def __init__(
        self,
        files: Mapping[str, Files] | str | PathLike[str],
        groups: Sequence[FeatureGroup],
        *,
        grid: Grid | None = None,
        units: Mapping[str, Units] | None = None,
        check: bool = True,
        said: Said | None = None,
    ) -> None:
        self.groups = tuple(groups)
        self._opened = OpenFiles(said)
        try:
            check_names(units or {}, self.groups)
            if isinstance(files, str | PathLike):
                self.files = {group.name: as_name(files) for group in self.groups}
                parts = slice_parts(as_name(files), self.groups, units or {}, self._opened)
            else:
                parts = open_parts(files, self.groups, units or {}, self._opened)
                self.files = {name: _first(given) for name, given in files.items()}
            self._place(parts, grid)
            self._parts = parts
            if check:
                self._check()
        except BaseException:
            self.close()
            raise

    def _place(self, parts: Mapping[str, Parts], grid: Grid | None) -> None:
        files = [file for group in parts.values() for part in group for file in part]
        for file in files:
            file.check_georeferenced()
        if grid is None:
            check_grids(files)
        for file in files:
            check_place(file)
        self.grid = files[0].grid if grid is None else grid
        self.grid = self.grid._replace(crs=horizontal(self.grid.crs))
        self.crs, self.transform = self.grid.crs, self.grid.transform
        self.height, self.width = self.grid.shape
        self.tags = files[0].tags
        self._ground = Ground(self.grid)
        self._mosaics = {
            name: [mosaic_on(part, self.grid) for part in group] for name, group in parts.items()
        }
        self.inputs = {
            name: tuple(dict.fromkeys(file.name for mosaic in part for file in mosaic.files))
            for name, part in self._mosaics.items()
        }

    def _check(self) -> None:
        """Look at a sample of the values, warn of what is unusual, and end where they are wrong."""
        for finding in self.findings():
            if finding.error:
                raise InputError(str(finding))
            self._opened.said(finding.kind, str(finding))

    def findings(self, whole: bool = False) -> Iterator[Finding]:
        """Tell what is wrong or unusual with the values of the files.

        Args:
            whole: Look at all pixels, rather than at a sample on the grid.

        Raises:
            InputError: If a file is damaged.
        """
        for parts in self._parts.values():
            yield from all_findings(parts) if whole else sampled_findings(parts, self.grid)

    def __enter__(self) -> "Scene":
        """Return the scene itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the files."""
        self.close()

    def close(self) -> None:
        """Close the files."""
        self._opened.close()

    @property
    def bounds(self) -> Window:
        """The whole raster as a window."""
        return Window(0, 0, self.height, self.width)

    def read(self, window: Window) -> tuple[Tensor, BoolArray]:
        """Read the model's input.

        Args:
            window: Pixels of the scene; it may reach beyond the raster.

        Returns:
            The scaled image, float32 (C, h, w), channels in the order of the groups, 0 beyond the
            raster; and whether a pixel can be mapped, bool (h, w): every group has data in at
            least one of its channels.

        Raises:
            InputError: If a file is damaged.
        """
        image = torch.zeros(sum(map(len, self.groups)), window.height, window.width)
        valid = np.zeros((window.height, window.width), dtype=bool)
        inside = intersection(window, self.bounds)
        if inside is not None:
            top, left = inside.row - window.row, inside.col - window.col
            rows, cols = slice(top, top + inside.height), slice(left, left + inside.width)
            self.read_image(inside, image[:, rows, cols], valid[rows, cols])
        return image, valid

    def read_image(self, window: Window, image: Tensor, valid: BoolArray | None = None) -> None:
        """Read the model's input into memory that is there.

        Args:
            window: Pixels inside the raster.
            image: float32 (C, h, w) for the scaled image.
            valid: bool (h, w) for whether a pixel can be mapped; None if that is not wanted.

        Raises:
            InputError: If a file is damaged.
        """
        rooms = torch.split(image, [len(group) for group in self.groups])
        for slab in _slabs(window):
            rows = slice(slab.row - window.row, slab.row - window.row + slab.height)
            if valid is not None:
                valid[rows] = True
            for group, room in zip(self.groups, rooms, strict=True):
                values = self.read_group(group, slab)
                scaled = self._is_scaled(group)
                if valid is not None:
                    valid[rows] &= np.isfinite(values).any(axis=0)
                if scaled:
                    torch.nan_to_num(torch.from_numpy(values), nan=0.0, out=room[:, rows])
                else:
                    room[:, rows] = group.scale(torch.from_numpy(values))

    def read_group(self, group: FeatureGroup, window: Window) -> FloatArray:
        """Read a group's channels in their own units.

        Args:
            group: One of the scene's groups.
            window: Pixels inside the raster.

        Returns:
            float32 (channels, h, w), NaN where missing.
        """
        mosaics = self._mosaics[group.name]
        if not self._has_slope(group):
            elevation, part, size = self._with_margin(group, window)
            slope = slope_degrees(elevation, *size)
            return np.stack([elevation[part], slope[part]])
        parts = [mosaic.read(window) for mosaic in mosaics]
        values = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if not self._is_scaled(group):
            forget_fill(group, values, self.files[group.name], self._opened.said)
        return values

    def read_reduced(self, group: FeatureGroup, channels: Sequence[int], step: int) -> FloatArray:
        """Read channels of the whole scene at a lower resolution, for a picture.

        Args:
            group: One of the scene's groups.
            channels: Indices of channels that come from a file.
            step: Pixels of the scene along each side of one that is returned; the last ones in a
                row and in a column may have fewer.

        Returns:
            float32 (channels, h, w), the means of known values in the channels' units, NaN where
            all are missing.
        """
        mosaics = self._with_channels(group, channels)
        bands = []
        for strip in _slabs(self.bounds, max(1, SLAB // self.width // step) * step):
            values = np.concatenate([mosaic.read(strip) for mosaic in mosaics])
            known = np.isfinite(values)
            total, count = (
                avg_pool2d(torch.from_numpy(part), step, ceil_mode=True)
                for part in (np.nan_to_num(values, copy=False), known.astype(np.float32))
            )
            bands.append((total / count).numpy())
        return np.concatenate(bands, axis=1)

    @property
    def terrain_group(self) -> FeatureGroup | None:
        """The group that has the elevation in metres; None if there is none."""
        groups = [g for g in self.groups if takes_slope(g) and not self._is_scaled(g)]
        return groups[0] if groups else None

    def read_terrain(self, window: Window) -> Terrain:
        """Read elevation, slope and aspect, for a scene with a :attr:`terrain_group`.

        Args:
            window: Pixels inside the raster.

        Returns:
            Elevation and slope as the model sees them, and aspect from the elevation by Horn's
            method.
        """
        group = self.terrain_group
        assert group is not None
        wide, part, size = self._with_margin(group, window)
        north = self._ground.north(intersection(_margin(window), self.bounds) or window)
        slope, aspect = slope_and_aspect(wide, *size, north, self._ground.mirrored)
        if self._has_slope(group):
            return Terrain(wide[part], self.read_group(group, window)[1], aspect[part])
        return Terrain(wide[part], slope[part], aspect[part])

    def centre(self, window: Window) -> tuple[float, float]:
        """Longitude and latitude of a window's centre, degrees on WGS 84."""
        longitude, latitude = self._ground.degrees(
            np.array([window.row + window.height / 2]), np.array([window.col + window.width / 2])
        )
        return (float(longitude[0]) + 180) % 360 - 180, float(latitude[0])

    def pixel_size(self, row: int, rows: int) -> tuple[DoubleArray, DoubleArray]:
        """Width and height of the pixels of some rows in metres, see :meth:`Ground.pixel_size`."""
        return self._ground.pixel_size(row, rows)

    def files_without_data(self) -> list[str]:
        """Return the files that hold no data in any pixel of any band (read strip by strip).

        Of files that make a mosaic, all or none.
        """
        strips = list(_slabs(self.bounds, max(1, min(256, 16 * SLAB // self.width))))
        return [
            file.name
            for mosaics in self._mosaics.values()
            for mosaic in mosaics
            if not mosaic.scaled  # these come from files in which nothing is missing
            and not any(np.isfinite(mosaic.read(strip)).any() for strip in strips)
            for file in mosaic.files
        ]

    def coverage(self, group: FeatureGroup) -> float:
        """About which part of the scene, from 0 to 1, the files of a group reach."""
        return min(mosaic.coverage for mosaic in self._mosaics[group.name])

    @property
    def cache_bytes(self) -> int:
        """How much memory a row of the blocks of all files takes.

        With less in GDAL's cache, blocks are decoded again and again while a scene is read row of
        windows by row of windows.
        """
        return sum(mosaic.block_row_bytes() for part in self._mosaics.values() for mosaic in part)

    def _is_scaled(self, group: FeatureGroup) -> bool:
        return all(mosaic.scaled for mosaic in self._mosaics[group.name])

    def _has_slope(self, group: FeatureGroup) -> bool:
        """Tell whether all channels come from files; slope may have to be computed."""
        return sum(mosaic.channels for mosaic in self._mosaics[group.name]) == len(group)

    def _with_channels(self, group: FeatureGroup, channels: Sequence[int]) -> list[Mosaic]:
        """Return mosaics of single channels, or one that has all."""
        mosaics = self._mosaics[group.name]
        if len(mosaics) == 1:
            return [mosaics[0].part(channels)]
        first = np.cumsum([0] + [mosaic.channels for mosaic in mosaics])
        places = [int(np.searchsorted(first, channel, side="right")) - 1 for channel in channels]
        return [
            mosaics[place].part([channel - int(first[place])])
            for place, channel in zip(places, channels, strict=True)
        ]

    def _with_margin(
        self, group: FeatureGroup, window: Window
    ) -> tuple[FloatArray, tuple[slice, slice], tuple[DoubleArray, DoubleArray]]:
        """Read elevation with one more pixel on each side, so that windows' edges do not show."""
        wide = intersection(_margin(window), self.bounds)
        assert wide is not None
        top, left = window.row - wide.row, window.col - wide.col
        part = slice(top, top + window.height), slice(left, left + window.width)
        elevation = self._mosaics[group.name][0].read(wide)[0]
        return elevation, part, self.pixel_size(wide.row, wide.height)


def _first(files: Files) -> str:
    return as_name(files if isinstance(files, str | PathLike) else next(iter(files)))


def _margin(window: Window) -> Window:
    return Window(window.row - 1, window.col - 1, window.height + 2, window.width + 2)


def _slabs(window: Window, rows: int | None = None) -> Iterator[Window]:
    rows = rows or max(1, SLAB // window.width)
    for row in range(window.row, window.row + window.height, rows):
        height = min(rows, window.row + window.height - row)
        yield window._replace(row=row, height=height)
