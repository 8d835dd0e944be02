"""Cloud-optimised GeoTIFFs of what a row store holds."""

import errno
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.errors import RasterioError

from glavitu.mapping.row_store import RowStore
from glavitu.rasters.scene import Scene

GDAL_TYPES = {"uint8": "Byte", "float32": "Float32"}


class Layer(NamedTuple):
    """A raster in a row store, and how to write it.

    Attributes:
        field: Its name in the store, and of its band.
        kind: Type of its pixels, ``'uint8'`` or ``'float32'``.
        nodata: Value where nothing is known.
        resampling: How GDAL makes overviews of it.
    """

    field: str
    kind: str
    nodata: float
    resampling: str


def write_cog(
    path: Path, store: RowStore, layer: Layer, scene: Scene, tags: Mapping[str, str]
) -> None:
    """Write a raster as a cloud-optimised GeoTIFF with overviews.

    GDAL reads the store as it is, through a description beside it, so that memory grows with the
    width alone.

    Args:
        path: Where to, in the folder of the store.
        store: Complete rows.
        layer: The raster.
        scene: Gives the grid.
        tags: Tags of the file.

    Raises:
        OSError: If what is read back differs. On a full disk GDAL may lose what it writes without
            an error.
    """
    source = path.with_suffix(".vrt")
    source.write_bytes(ElementTree.tostring(_description(store, layer, scene, tags)))
    try:
        rasterio.shutil.copy(
            source,
            path,
            driver="COG",
            compress="deflate",
            predictor="yes",
            overview_resampling=layer.resampling,
            bigtiff="if_safer",
            num_threads="all_cpus",
        )
        problem = "" if _holds(path, store, layer) else "what is read back differs"
    except RasterioError as error:
        problem = str(error)
    source.unlink()
    if problem:
        # GDAL does not tell the reason so that programs understand it; this is the usual one.
        raise OSError(errno.ENOSPC, f"{path.name} is not whole: {problem}")


def _description(
    store: RowStore, layer: Layer, scene: Scene, tags: Mapping[str, str]
) -> ElementTree.Element:
    """Describe the store to GDAL as a virtual raster."""
    fields = store.dtype.fields
    assert fields is not None
    dtype, offset = fields[layer.field][:2]
    item = dtype.base.itemsize
    raster = ElementTree.Element(
        "VRTDataset", rasterXSize=str(store.width), rasterYSize=str(store.rows)
    )
    _add(raster, "SRS", scene.crs.to_wkt(version="WKT2_2019"))
    _add(raster, "GeoTransform", ", ".join(map(repr, scene.transform.to_gdal())))
    metadata = ElementTree.SubElement(raster, "Metadata")
    for key, value in tags.items():
        _add(metadata, "MDI", value, key=key)
    band = ElementTree.SubElement(
        raster,
        "VRTRasterBand",
        dataType=GDAL_TYPES[layer.kind],
        band="1",
        subClass="VRTRawRasterBand",
    )
    _add(band, "Description", layer.field)
    _add(band, "NoDataValue", str(layer.nodata))
    _add(band, "SourceFilename", store.path.name, relativetoVRT="1")
    _add(band, "ImageOffset", str(offset))
    _add(band, "PixelOffset", str(item))
    _add(band, "LineOffset", str(store.row_bytes))
    _add(band, "ByteOrder", "LSB" if sys.byteorder == "little" else "MSB")
    return raster


def _add(parent: ElementTree.Element, tag: str, text: str, **attributes: str) -> None:
    ElementTree.SubElement(parent, tag, attributes).text = text


def _holds(path: Path, store: RowStore, layer: Layer) -> bool:
    with rasterio.open(path) as file:
        for row, strip in store.strips():
            kept = strip[layer.field]
            written = file.read(1, window=((row, row + len(kept)), (0, store.width)))
            if not np.array_equal(written, kept, equal_nan=kept.dtype.kind == "f"):
                return False
    return True
