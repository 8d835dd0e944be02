"""Labels as a raster: 1 is glacier, 0 is not, and what else the file says is unknown.

Notable decisions: nodata, masks, alpha, NaN and 255 are unknown. Where 0 is nodata, as
``gdal_rasterize -a_nodata 0`` writes it, 0 still means "not glacier", and a remark says so, since
otherwise no land would be labelled at all. 255 that the file does not call nodata is unknown beside
a 1; without any 1 it may as well be the glacier of a mask of 0 and 255, which is an error.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.windows
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioError

from glavitu.classes import GLACIER, UNKNOWN
from glavitu.errors import InputError
from glavitu.files import Name
from glavitu.rasters.grid import Grid, check_georeferenced, grid_differences
from glavitu.rasters.opening import open_dataset
from glavitu.windows import Window

Mask = npt.NDArray[np.uint8]

#: The remark on a file that labels nothing.
NOTHING_KNOWN = "all its pixels are unknown; check its nodata value and its mask"

#: Sides in pixels of what is looked at when a file is opened, and how many of them.
GLANCE, GLANCES = 256, 16

#: Side in pixels of what is read at once where all of a file is looked through.
PART = 1024


class RasterOutlines:
    """A label raster on an image's grid: 1 is glacier, 0 is not, and the rest is unknown.

    Unknown is what the file calls nodata, its mask or alpha band leaves out or is NaN; and 255.

    Args:
        path: Raster of one band, and maybe an alpha band.
        grid: Of the image.

    Attributes:
        remarks: What is unusual about the labels, in words; most have none.

    Raises:
        InputError: If the file is missing or unreadable, has more bands, is on another grid than
            the image, or holds what is no label in some parts that are looked at.
    """

    def __init__(self, path: Name, grid: Grid) -> None:
        self.path = path
        with open_dataset(path) as dataset:
            alpha = dataset.count == 2 and dataset.colorinterp[1] == ColorInterp.alpha
            if dataset.count != 1 and not alpha:
                raise InputError(
                    f"{path}: has {dataset.count} bands, but labels need 1 (1 = glacier); write a "
                    "file with this band alone"
                )
            check_georeferenced(path, dataset)
            differences = grid_differences(grid, dataset)
            if differences:
                raise InputError(
                    f"{path}: is on another grid than the image; it differs in "
                    f"{'; '.join(differences)}. Warp the labels to the image's grid, or give the "
                    "outlines as polygons, which may have any CRS"
                )
            self._nodata = dataset.nodata
            # A file's own mask comes before its nodata value.
            flags = dataset.mask_flag_enums[0]
            self._land_is_nodata = self._nodata == 0 and MaskFlags.nodata in flags
            self._masked = not self._land_is_nodata and MaskFlags.all_valid not in flags
            self.shape = dataset.shape
        if self._nodata == GLACIER:
            raise InputError(
                f"{path}: its nodata value is {GLACIER}, which is the glacier in labels; take the "
                f"nodata value away (rio edit-info --unset-nodata {path}), or write labels anew"
            )
        self.remarks = tuple(self._look())

    def read(self, window: Window) -> Mask:
        """Read a window inside the image, uint8 (h, w): 1, 0, and 255 where it is unknown.

        Raises:
            InputError: If the file is damaged there, or holds what is no label.
        """
        with open_dataset(self.path) as dataset:
            return self._classes(*self._read(dataset, window))

    def _classes(self, values: npt.NDArray[Any], known: npt.NDArray[np.bool_]) -> Mask:
        """Turn values into classes."""
        odd = known & (values != 0) & (values != GLACIER)
        if odd.any():
            strange = values[odd & (values != UNKNOWN)]
            if strange.size:
                raise InputError(
                    f"{self.path}: has the value {strange[0]}, but labels are {GLACIER} (glacier), "
                    f"0 (not) and {UNKNOWN} (unknown); write these, or set what means unknown as "
                    "the file's nodata value"
                )
            if not self._has_glacier:
                raise InputError(
                    f"{self.path}: has the value {UNKNOWN} and no {GLACIER}, so that {UNKNOWN} may "
                    f"mean glacier or unknown; write {GLACIER} where there is glacier, or set "
                    f"{UNKNOWN} as the file's nodata value (rio edit-info --nodata {UNKNOWN} "
                    f"{self.path}) if it is unknown"
                )
        mask: Mask = np.full(values.shape, UNKNOWN, dtype=np.uint8)
        mask[known] = values[known]
        return mask

    def _read(self, dataset: Any, window: Window) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """Read a window's values, and whether the file says that they are any."""
        where = rasterio.windows.Window(window.col, window.row, window.width, window.height)
        try:
            values = dataset.read(1, window=where)
            known = values == values  # NaN is unknown, tagged or not
            if self._masked:
                known &= dataset.read_masks(1, window=where) != 0
        except RasterioError as error:
            raise InputError(
                f"{self.path} cannot be read at rows {window.row} to "
                f"{window.row + window.height} ({error}); it seems damaged, download or write it "
                "again"
            ) from error
        return values, known & (values != self._nodata) if self._nodata else known

    @cached_property
    def _has_glacier(self) -> bool:
        """Whether there is a pixel of glacier in all of the file."""
        return any((known & (values == GLACIER)).any() for values, known in self._parts())

    def _parts(self) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]]:
        """Read all of the file, part by part."""
        height, width = self.shape
        with open_dataset(self.path) as dataset:
            for row in range(0, height, PART):
                for col in range(0, width, PART):
                    size = min(PART, height - row), min(PART, width - col)
                    yield self._read(dataset, Window(row, col, *size))

    def _look(self) -> Iterator[str]:
        """Say what is unusual: by a look at parts, and at all of it where these leave doubts."""
        if self._land_is_nodata:
            yield "its nodata value is 0; 0 is taken as not glacier. Where it is unknown, write 255"
        height, width = self.shape
        rows, cols = -(-height // GLANCE), -(-width // GLANCE)
        seen = set()
        with open_dataset(self.path) as dataset:
            for number in np.unique(np.linspace(0, rows * cols - 1, GLANCES).round().astype(int)):
                row, col = (int(place) * GLANCE for place in divmod(number, cols))
                part = Window(row, col, min(GLANCE, height - row), min(GLANCE, width - col))
                mask = self._classes(*self._read(dataset, part))
                seen |= {value for value in (0, GLACIER, UNKNOWN) if (mask == value).any()}
        if UNKNOWN not in seen or 0 in seen:
            return
        for values, known in self._parts():
            seen |= {GLACIER} if (known & (values == GLACIER)).any() else set()
            if (known & (values == 0)).any():
                return
        if GLACIER in seen:
            yield (
                "all its pixels are glacier or unknown, none is land without glaciers; where land "
                "has no glacier, write 0"
            )
        else:
            yield NOTHING_KNOWN
