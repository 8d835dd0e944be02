"""A scene: the rasters of a place on one grid, read as the model's input window by window."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyproj
import rasterio
import torch
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from torch import Tensor

from glavitu.datasets.grids import check_georeferenced, grid_differences
from glavitu.errors import InputError
from glavitu.features import DEM, FeatureGroup
from glavitu.terrain import FloatArray, slope_degrees
from glavitu.windows import Window, intersection

BoolArray = npt.NDArray[np.bool_]
DoubleArray = npt.NDArray[np.float64]

#: Key of the optional file with slope, beside a file with elevation alone.
SLOPE = "slope"

#: Tag of files whose values are in the model's range already, as `glavitu convert` writes them.
SCALED_TAG = "glavitu_scaled"

_GEOD = pyproj.Geod(ellps="WGS84")


class _Source(NamedTuple):
    """A file that gives channels of a group, in order; all its bands, or some."""

    path: Path
    dataset: Any
    bands: tuple[int, ...]
    scaled: bool

    def read(self, window: Window, shape: tuple[int, int] | None = None) -> FloatArray:
        """Read its bands of a window inside the raster, NaN where missing."""
        try:
            values = self.dataset.read(
                list(self.bands),
                window=(
                    (window.row, window.row + window.height),
                    (window.col, window.col + window.width),
                ),
                out_shape=None if shape is None else (len(self.bands), *shape),
                resampling=Resampling.average,
                masked=True,
            )
        except RasterioError as error:
            raise InputError(
                f"{self.path} cannot be read at rows {window.row} to {window.row + window.height} "
                f"({error}); it seems damaged, download or write it again"
            ) from error
        filled: FloatArray = values.astype(np.float32).filled(np.nan)
        filled[~np.isfinite(filled)] = np.nan
        return filled


class Scene:
    """Rasters on one grid, one per feature group (a context manager).

    The benchmark's group ``'dem'`` takes a file with two bands (elevation in metres, slope in
    degrees), or one with elevation alone. Slope then comes from a file of its own under the key
    ``'slope'``, or is computed from the elevation.

    Args:
        files: GeoTIFFs (or any raster that GDAL reads) by the name of their feature group; or one
            that has the bands of all groups, in order.
        groups: The model's feature groups, in its order.

    Raises:
        InputError: If a file is missing, unreadable, not wanted, without coordinates, has another
            number of bands than its group has channels, or is on another grid than the first.
    """

    def __init__(
        self, files: Mapping[str, str | Path] | str | Path, groups: Sequence[FeatureGroup]
    ) -> None:
        self.groups = tuple(groups)
        with ExitStack() as stack:
            if isinstance(files, str | Path):
                self.files = {group.name: Path(files) for group in self.groups}
                sources = [_open(Path(files), stack)]
                self._sources = _slices_of(sources[0], self.groups)
            else:
                self.files = {name: Path(path) for name, path in files.items()}
                _check_names(self.files, self.groups)
                opened = {name: _open(path, stack) for name, path in self.files.items()}
                self._sources = {group.name: _sources_of(group, opened) for group in self.groups}
                sources = list(opened.values())
            for source in sources:
                check_georeferenced(source.path, source.dataset)
            _check_grids(sources)
            first = sources[0].dataset
            self.height: int = first.height
            self.width: int = first.width
            self.crs = first.crs
            self.transform = first.transform
            self.tags: dict[str, str] = first.tags()
            self._to_degrees = _transformer_to_degrees(sources[0])
            self._stack = stack.pop_all()

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
        self._stack.close()

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
        """
        image = torch.zeros(sum(map(len, self.groups)), window.height, window.width)
        valid = np.zeros((window.height, window.width), dtype=bool)
        inside = intersection(window, self.bounds)
        if inside is None:
            return image, valid
        rows = slice(inside.row - window.row, inside.row - window.row + inside.height)
        cols = slice(inside.col - window.col, inside.col - window.col + inside.width)
        valid[rows, cols] = True
        channel = 0
        for group in self.groups:
            values = self.read_group(group, inside)
            valid[rows, cols] &= np.isfinite(values).any(axis=0)
            tensor = torch.from_numpy(values)
            if self._is_scaled(group):
                scaled = torch.nan_to_num(tensor, nan=0.0)
            else:
                scaled = group.scale(tensor)
            image[channel : channel + len(group), rows, cols] = scaled
            channel += len(group)
        return image, valid

    def read_group(self, group: FeatureGroup, window: Window) -> FloatArray:
        """Read a group's channels in their own units.

        Args:
            group: One of the scene's groups.
            window: Pixels inside the raster.

        Returns:
            float32 (channels, h, w), NaN where missing.
        """
        parts = [source.read(window) for source in self._sources[group.name]]
        values: FloatArray = np.concatenate(parts)
        if len(values) < len(group):
            values = np.concatenate([values, self._slope(group, window)[None]])
        return values

    def read_reduced(self, group: FeatureGroup, channels: Sequence[int], size: int) -> FloatArray:
        """Read channels of the whole scene at a lower resolution, for a picture.

        Args:
            group: One of the scene's groups.
            channels: Indices of channels that come from a file.
            size: Largest height or width in pixels.

        Returns:
            float32 (channels, h, w) in the channels' units, NaN where missing.
        """
        reduction = max(1.0, max(self.height, self.width) / size)
        shape = (max(1, round(self.height / reduction)), max(1, round(self.width / reduction)))
        parts = [source.read(self.bounds, shape) for source in self._sources[group.name]]
        return np.concatenate(parts)[list(channels)]

    def centre(self, window: Window) -> tuple[float, float]:
        """Longitude and latitude of a window's centre, degrees on WGS 84."""
        longitude, latitude = self._degrees(
            np.array([window.row + window.height / 2]), np.array([window.col + window.width / 2])
        )
        return float(longitude[0]), float(latitude[0])

    def pixel_size(self, row: int, rows: int) -> tuple[DoubleArray, DoubleArray]:
        """Size of the pixels of some rows on the ground, in metres, whatever the CRS.

        It is measured on the ellipsoid along the scene's middle column, so that degrees and feet
        need no care, and the stretch of a projection such as Mercator is undone. That it depends
        on the row alone keeps the borders of windows out of what is computed from it.

        Args:
            row: First row.
            rows: Number of rows.

        Returns:
            Width and height, each (rows, 1).
        """
        row_centres: DoubleArray = np.arange(row, row + rows, dtype=np.float64) + 0.5
        col_centres: DoubleArray = np.full(rows, self.width / 2, dtype=np.float64)

        def metres(down: int, right: int) -> DoubleArray:
            start = self._degrees(row_centres - down / 2, col_centres - right / 2)
            end = self._degrees(row_centres + down / 2, col_centres + right / 2)
            return np.asarray(_GEOD.inv(*start, *end)[2])[:, None]

        return metres(0, 1), metres(1, 0)

    def files_without_data(self) -> list[Path]:
        """Return the files that hold no data in any pixel of any band (read block by block)."""
        return [
            source.path
            for sources in self._sources.values()
            for source in sources
            if not source.scaled  # these come from files in which nothing is missing
            and not any(np.isfinite(source.read(strip)).any() for strip in self._strips())
        ]

    def _is_scaled(self, group: FeatureGroup) -> bool:
        return all(source.scaled for source in self._sources[group.name])

    def _strips(self, rows: int = 256) -> Iterator[Window]:
        for row in range(0, self.height, rows):
            yield Window(row, 0, min(rows, self.height - row), self.width)

    def _slope(self, group: FeatureGroup, window: Window) -> FloatArray:
        # One more pixel on each side, so that slope does not know where windows end.
        wide = Window(window.row - 1, window.col - 1, window.height + 2, window.width + 2)
        inside = intersection(wide, self.bounds)
        assert inside is not None
        elevation = self._sources[group.name][0].read(inside)[0]
        slope = slope_degrees(elevation, *self.pixel_size(inside.row, inside.height))
        top, left = window.row - inside.row, window.col - inside.col
        return slope[top : top + window.height, left : left + window.width]

    def _degrees(self, rows: DoubleArray, cols: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
        a, b, c, d, e, f = self.transform[:6]
        longitude, latitude = self._to_degrees.transform(
            a * cols + b * rows + c, d * cols + e * rows + f
        )
        return longitude, latitude


def _takes_slope(group: FeatureGroup) -> bool:
    return group.name == DEM.name and group.channels == DEM.channels


def _check_names(files: Mapping[str, Path], groups: Sequence[FeatureGroup]) -> None:
    names = [group.name for group in groups]
    known = {*names, SLOPE} if any(map(_takes_slope, groups)) else set(names)
    extra = [f"{name} ({path})" for name, path in files.items() if name not in known]
    missing = [name for name in names if name not in files]
    if missing:
        unused = f" It does not use {', '.join(extra)}; is a name misspelt?" if extra else ""
        raise InputError(
            f"no file for {', '.join(missing)}: the model needs a raster for each of "
            f"{', '.join(names)}; give the missing ones.{unused}"
        )
    if extra:
        raise InputError(
            f"the model does not use {', '.join(extra)}; it was trained on {', '.join(names)}. "
            "Leave the others out, or choose a checkpoint that uses them"
        )


def _open(path: Path, stack: ExitStack) -> _Source:
    if not path.exists():
        raise InputError(f"{path} does not exist; check the path")
    try:
        dataset = stack.enter_context(rasterio.open(path))
    except RasterioError as error:
        raise InputError(
            f"{path} cannot be read as a raster ({error}); give a GeoTIFF, and if it is one, it "
            "seems damaged: download or write it again"
        ) from error
    return _Source(path, dataset, tuple(range(1, dataset.count + 1)), SCALED_TAG in dataset.tags())


def _slices_of(source: _Source, groups: Sequence[FeatureGroup]) -> dict[str, list[_Source]]:
    """Return the bands of one file that each group takes, their number checked."""
    wanted = sum(map(len, groups))
    if len(source.bands) != wanted:
        names = ", ".join(f"{group.name} {len(group)}" for group in groups)
        raise InputError(
            f"{source.path} has {len(source.bands)} band(s), but the groups need {wanted}, in this "
            f"order: {names}; write a file with these bands, or give one file per group"
        )
    slices, first = {}, 0
    for group in groups:
        slices[group.name] = [source._replace(bands=source.bands[first : first + len(group)])]
        first += len(group)
    return slices


def _sources_of(group: FeatureGroup, opened: Mapping[str, _Source]) -> list[_Source]:
    """Return the files that give a group's channels, their numbers of bands checked."""
    source = opened[group.name]
    bands = source.dataset.count
    channels = ", ".join(group.channels)
    if not _takes_slope(group):
        if bands != len(group):
            raise InputError(
                f"{source.path} has {bands} band(s), but {group.name!r} needs {len(group)}: "
                f"{channels}, in this order; write a file with these bands"
            )
        return [source]
    if bands > len(group):
        raise InputError(
            f"{source.path} has {bands} bands, but {group.name!r} needs 2 ({channels}) or 1 "
            "(elevation, slope is then computed); write a file with these bands"
        )
    slope = opened.get(SLOPE)
    if slope is None and bands == len(group):
        return [source]
    if source.scaled:
        raise InputError(
            f"{source.path} has scaled values (tag {SCALED_TAG}) of the elevation alone; give its "
            "slope as band 2, or elevation in metres without the tag"
        )
    if slope is None:
        return [source]
    if bands == len(group):
        raise InputError(
            f"slope comes twice: as band 2 of {source.path}, and from {slope.path}; leave one out"
        )
    if slope.dataset.count != 1:
        raise InputError(
            f"{slope.path} has {slope.dataset.count} bands, but slope needs 1, in degrees; write a "
            "file with this band alone"
        )
    return [source, slope]


def _check_grids(sources: Sequence[_Source]) -> None:
    first, *others = sources
    problems = []
    for source in others:
        differences = grid_differences(first.dataset, source.dataset)
        if differences:
            problems.append(f"{source.path} differs from {first.path} in {'; '.join(differences)}")
    if problems:
        raise InputError(
            f"the rasters are not on one grid: {'. '.join(problems)}. Bring them to one grid "
            f"first, for example: rio warp INPUT OUTPUT --like {first.path}"
        )


def _transformer_to_degrees(source: _Source) -> pyproj.Transformer:
    try:
        return _to_degrees(source.dataset.crs)
    except pyproj.exceptions.ProjError as error:
        raise InputError(
            f"{source.path}: its coordinate reference system has no known place on the Earth "
            f"({error}); assign a geographic or projected one, such as EPSG:32645"
        ) from error


@lru_cache
def _to_degrees(crs: rasterio.CRS) -> pyproj.Transformer:
    # Transformers are slow to make, and tiles by the thousand share a few systems.
    return pyproj.Transformer.from_crs(
        pyproj.CRS.from_wkt(crs.to_wkt()), "EPSG:4326", always_xy=True
    )
