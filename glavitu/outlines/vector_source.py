"""Features of a vector file as they are stored, some at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import NamedTuple

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyogrio
import pyproj
import shapely
from pyogrio.errors import DataLayerError

from glavitu.errors import InputError
from glavitu.files import Name, is_local
from glavitu.files.strangers import check_opened
from glavitu.outlines.layers import BATCH, choose_layer, suffix_of

#: Files of which GDAL finds any feature at once; of others it parses all before.
SEEKABLE = (".gpkg", ".shp")

#: About how much of a file is in memory at once.
PART_BYTES = 2**23

#: A layer of a file; of several names the one that the file has; None for the one with polygons.
Layer = str | Sequence[str] | None


class Batch(NamedTuple):
    """Some features.

    Attributes:
        fids: Their numbers in the file, (n,).
        wkb: Their geometries as well-known binary, None where there is none, (n,).
        table: Their columns, n rows.
    """

    fids: npt.NDArray[np.int64]
    wkb: npt.NDArray[np.object_]
    table: pd.DataFrame


@dataclass(frozen=True)
class GdalLayer:
    """A layer of a file that GDAL reads.

    Attributes:
        path: The file.
        layer: Name of the layer.
        crs: Its coordinate reference system, of two axes.
        columns: Names of its columns.
        features: How many features it says to have; less than 0 where it does not know.
    """

    path: Name
    layer: str
    crs: pyproj.CRS
    columns: Sequence[str]
    features: int

    @property
    def seekable(self) -> bool:
        """Whether some features are read as quickly as they are few."""
        return is_local(self.path) and suffix_of(self.path) in SEEKABLE

    @classmethod
    def open(cls, path: Name, layer: Layer) -> "GdalLayer":
        """Open the layer with the polygons.

        Raises:
            InputError: If it cannot be told, has no CRS, or says of itself what cannot be.
        """
        name = choose_layer(path, layer)
        about = pyogrio.read_info(path, layer=name)
        check_opened(path, about["driver"], [])
        features = int(about["features"])
        # A feature takes a byte at least: memory is taken for as many as there can be.
        if is_local(path) and Path(path).is_file() and features > Path(path).stat().st_size:
            raise InputError(
                f"{path}: says that it has {features:,} features, which its size rules out; it "
                "seems damaged, write it again"
            )
        return cls(path, name, _known(path, about["crs"]), about["fields"].tolist(), features)

    def whole(self, read: int) -> bool:
        """Tell whether so many features are all."""
        return self.features < 0 or read == self.features

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        """Read all features, at least one batch, which may be empty."""
        if not self.seekable:
            yield self._read(columns)
            return
        # GDAL passes over all features before the first one each time: not too small batches.
        size = max(BATCH, PART_BYTES * self.features // max(1, Path(self.path).stat().st_size))
        for first in count(0, size):
            part = {"skip_features": first, "max_features": size}
            try:
                batch = self._read(columns, **part)
            except DataLayerError:
                batch = self._one_by_one(self._read(columns, read_geometry=False, **part))
            yield batch
            if len(batch.fids) < size:
                return

    def some(self, fids: npt.NDArray[np.int64], columns: Sequence[str]) -> Batch:
        """Read the features with these numbers."""
        return self._read(columns, fids=fids)

    def _one_by_one(self, batch: Batch) -> Batch:
        """Read the geometries that can be read, where GDAL stops at one that cannot."""
        wkb = np.full(len(batch.fids), None, dtype=object)
        parts = [np.arange(len(wkb))]
        while parts:
            part = parts.pop()
            try:
                wkb[part] = self._read((), fids=batch.fids[part]).wkb
            except DataLayerError:
                parts += np.array_split(part, 2) if len(part) > 1 else []
        return batch._replace(wkb=wkb)

    def _read(self, columns: Sequence[str], **which: object) -> Batch:
        about, fids, wkb, values = pyogrio.raw.read(
            self.path,
            layer=self.layer,
            columns=list(columns),
            return_fids=True,
            **which,
        )
        table = dict(zip(about["fields"], values, strict=True))
        return Batch(fids, wkb, pd.DataFrame(table, index=range(len(fids))))


@dataclass(frozen=True)
class ParquetFile:
    """A GeoParquet file, for which GDAL may lack the driver; it is in memory.

    Attributes:
        crs: Its coordinate reference system, of two axes.
        columns: Names of its columns.
        features: How many features it has.
        seekable: Whether some features are read as quickly as they are few.
    """

    crs: pyproj.CRS
    columns: Sequence[str]
    features: int
    seekable = False
    _frame: gpd.GeoDataFrame = field(repr=False)

    @classmethod
    def open(cls, path: Name) -> "ParquetFile":
        """Read the file.

        Raises:
            InputError: If it has no CRS.
        """
        frame = gpd.read_parquet(path)
        columns = [name for name in frame.columns if name != frame.geometry.name]
        return cls(_known(path, frame.crs), columns, len(frame), frame)

    def whole(self, read: int) -> bool:
        """Tell whether so many features are all."""
        return read == self.features

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        """Give all features."""
        yield self.some(np.arange(self.features), columns)

    def some(self, fids: npt.NDArray[np.int64], columns: Sequence[str]) -> Batch:
        """Give the features with these numbers."""
        frame = self._frame.iloc[fids]
        wkb = np.asarray(shapely.to_wkb(np.asarray(frame.geometry)), dtype=object)
        return Batch(fids, wkb, pd.DataFrame(frame[list(columns)]).reset_index(drop=True))


def _known(path: Name, crs: object) -> pyproj.CRS:
    """Check that a file says where it is."""
    found = None if crs is None else pyproj.CRS.from_user_input(crs).to_2d()
    # What GDAL calls a CRS that a GeoPackage says to have none.
    if found is None or found.name.lower().startswith(("undefined", "unknown engineering")):
        raise InputError(
            f"{path}: has no geometries with a coordinate reference system; write the one that its "
            "coordinates are in into the file (of a Shapefile, copy its .prj too), as in: ogr2ogr "
            "-a_srs EPSG:4326 OUTPUT INPUT"
        )
    if not (found.is_geographic or found.is_projected):
        raise InputError(
            f"{path}: its coordinate reference system {found.name} has no known place on the "
            "Earth; write the file in longitude and latitude or in a projected system"
        )
    return found
