"""Writing GeoTIFFs that are whole, or not there."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.errors import RasterioError

from glavitu.files import FULL, when_complete


def write_geotiff(
    path: Path,
    bands: npt.NDArray[Any],
    *,
    descriptions: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
    offsets: Sequence[float] = (),
    scales: Sequence[float] = (),
    **profile: Any,
) -> None:
    """Write bands as a GeoTIFF and read them back, since GDAL may lose some on a full disk.

    Args:
        path: Where to; the file appears when it is complete.
        bands: (bands, H, W).
        descriptions: Names of the bands.
        tags: Tags of the file.
        offsets: Offset of each band.
        scales: Scale of each band.
        **profile: What else :func:`rasterio.open` takes, such as ``crs`` and ``transform``.

    Raises:
        OSError: If it cannot be written whole; of a full disk as of any other.
    """
    count, height, width = bands.shape
    shape = {"count": count, "height": height, "width": width, "dtype": bands.dtype}
    problem: str | None = None
    try:
        with when_complete(path) as partial:
            with rasterio.open(partial, "w", driver="GTiff", **shape, **profile) as file:
                file.write(bands)
                file.update_tags(**(tags or {}))
                for name, values in (
                    ("descriptions", descriptions),
                    ("offsets", offsets),
                    ("scales", scales),
                ):
                    if len(values):
                        setattr(file, name, tuple(values))
            with rasterio.open(partial) as file:
                exact = bands.dtype.kind != "f"
                if not np.array_equal(file.read(), bands, equal_nan=not exact):
                    raise RasterioError("what is read back differs")
    except RasterioError as error:
        problem = str(error)
    except OSError as error:
        if error.errno not in FULL:
            raise
        problem = error.strerror
    if problem is not None:
        raise OSError(
            f"{path}: could not be written whole ({problem}); see whether the disk is full, and "
            "run it again, then it goes on"
        )
