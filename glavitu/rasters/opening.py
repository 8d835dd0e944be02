"""Rasters are opened, and what their headers declare is believed only as far as it can be."""

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import Interleaving
from rasterio.errors import RasterioError

from glavitu.errors import InputError
from glavitu.files import Name, is_local
from glavitu.files.memory import available_bytes
from glavitu.files.strangers import check_opened, check_reach
from glavitu.rasters.names import without_secrets

#: More bands than any file of channels has; asking after each takes the longer the more there are.
MOST_BANDS = 2000

#: A part of a file, as GDAL names it.
_PART = re.compile(r"(?:HDF5|NETCDF|BAG|GPKG):(?:\"(/(?!vsi)[^\"]+)\"|(/(?!vsi)[^:\"]+):)")

#: Parts of a file that are named in a message.
MOST_NAMED = 6


def open_dataset(name: Name) -> Any:
    """Open a raster.

    Args:
        name: A path of this machine, or what else GDAL opens.

    Returns:
        The open dataset of rasterio.

    Raises:
        InputError: If the file is missing, is no raster, or declares what cannot be.
    """
    local = is_local(name)
    check_reach(name)
    path = Path(name) if local else _holder(str(name))
    if path is not None and not path.exists():
        # The library of HDF5 itself says more than a line on a missing file.
        raise InputError(f"{path} does not exist; check the path")
    try:
        dataset = rasterio.open(Path(name) if local else name)
    except (RasterioError, ValueError) as error:
        remedy = (
            "give a GeoTIFF, and if it is one, it seems damaged: download or write it again"
            if local
            else "check the name, and that what it names can be reached from here"
        )
        raise InputError(
            f"{without_secrets(str(name))} cannot be read as a raster ({reason(error)}); {remedy}"
        ) from error
    try:
        check_opened(name, dataset.driver, dataset.files)
        _check_parts(name, dataset)
        _check_sources(name, dataset)
        _check_header(name, dataset)
    except BaseException:
        dataset.close()
        raise
    return dataset


def _holder(name: str) -> Path | None:
    """Return the file of this machine that a name of a part of it begins with, if that is plain."""
    found = _PART.match(name)
    return Path(found[1] or found[2]) if found else None


def reason(error: BaseException) -> str:
    """Return what GDAL said first: rasterio's own words often only say that it said something."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    return str(error)


def _check_parts(name: Name, dataset: Any) -> None:
    """Check that there is a raster, and say if there are several."""
    parts = [str(part) for part in dataset.subdatasets]
    listed = ", ".join(parts[:MOST_NAMED]) + (", ..." if len(parts) > MOST_NAMED else "")
    if not dataset.count:
        raise InputError(
            f"{name} holds {len(parts)} rasters; name one of them as GDAL does: {listed}"
            if parts
            else f"{name} holds no raster; give a GeoTIFF, or the part of the file that has one"
        )
    if len(parts) > 1:
        warnings.warn(
            f"{name} holds {len(parts)} rasters, and the first is read; the others are named as "
            f"GDAL does: {listed}",
            stacklevel=2,
        )


def _check_sources(name: Name, dataset: Any) -> None:
    missing = [file for file in dataset.files[1:] if is_local(file) and not Path(file).exists()]
    if missing:
        raise InputError(
            f"{name}: its source {missing[0]} does not exist; move it there, or make {name} again"
        )


def _check_header(name: Name, dataset: Any) -> None:
    size = f"{dataset.height:,} rows x {dataset.width:,} columns x {dataset.count:,} bands"
    if dataset.count > MOST_BANDS:
        raise InputError(
            f"{name} declares {size}, but no model has so many channels; write a file with the "
            "bands that it needs"
        )
    # What GDAL decodes at once to give a single pixel.
    itemsize = max(np.dtype(dtype).itemsize for dtype in dataset.dtypes)
    rows, cols = np.max(dataset.block_shapes, axis=0).tolist()
    together = dataset.count if dataset.interleaving == Interleaving.pixel else 1
    needed = rows * cols * itemsize * together
    if needed > available_bytes() / 2:
        raise InputError(
            f"{name} declares {size} in blocks of {rows:,} x {cols:,} pixels, each of which takes "
            f"{needed / 2**30:.1f} GiB of memory, more than there is; write it again in tiles, for "
            "example: gdal_translate -co TILED=YES -co BIGTIFF=YES INPUT OUTPUT"
        )
