"""Small real rasters for tests."""

from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import Affine, from_origin

UTM = from_origin(500_000, 3_100_000, 30, 30)


def write_raster(
    path: Path,
    values: np.ndarray,
    crs: str | None = "EPSG:32645",
    transform: Affine = UTM,
    nodata: float | None = None,
    **tags: str,
) -> Path:
    """Write (bands, H, W) or (H, W) as a GeoTIFF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = values if values.ndim == 3 else values[None]
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=values.shape[0],
        height=values.shape[1],
        width=values.shape[2],
        dtype=values.dtype,
        crs=crs,
        transform=transform,
        nodata=nodata,
    ) as file:
        file.write(values)
        file.update_tags(**tags)
    return path
