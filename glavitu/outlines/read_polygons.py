"""Glacier outlines read from files as they are."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyproj
import shapely

from glavitu.arrays import BoolArray, DoubleArray
from glavitu.errors import InputError
from glavitu.files import Name
from glavitu.files.strangers import check_reach
from glavitu.outlines import rock
from glavitu.outlines.layers import check_file, reading, suffix_of
from glavitu.outlines.plane import repaired
from glavitu.outlines.soundness import decoded, report
from glavitu.outlines.vector_source import Batch, GdalLayer, Layer, ParquetFile

VECTOR_SUFFIXES = (".gpkg", ".shp", ".geojson", ".json", ".parquet", ".fgb")

RASTER_SUFFIXES = (".tif", ".tiff", ".vrt")


def read_polygons(path: Name, layer: Layer = None, columns: Sequence[str] = ()) -> gpd.GeoDataFrame:
    """Read glacier outlines as they are, in the file's CRS.

    Args:
        path: GeoPackage, Shapefile, GeoJSON, GeoParquet or what else GDAL reads as vectors.
        layer: Its layer, where several hold polygons.
        columns: Columns to read beside the geometries.

    Returns:
        Polygons and multipolygons, which may be invalid; GLIMS' rock is cut out of them.

    Raises:
        InputError: See :meth:`PolygonFile.open`.
    """
    return PolygonFile.open(path, layer, columns, keep=True).read()


@dataclass(frozen=True)
class PolygonFile:
    """A file of outlines that was looked through once, and of which parts are read.

    Attributes:
        path: The file.
        crs: Its coordinate reference system, of two axes.
        bounds: xmin, ymin, xmax, ymax of each polygon that can be used, (n, 4).
        is_rock: Whether each is rock in a glacier, (n,).
    """

    path: Name
    crs: pyproj.CRS
    bounds: DoubleArray
    is_rock: BoolArray
    _source: GdalLayer | ParquetFile = field(repr=False)
    _columns: Sequence[str] = field(repr=False)
    _fids: npt.NDArray[np.int64] = field(repr=False)
    _kept: gpd.GeoDataFrame | None = field(repr=False)

    @classmethod
    def open(
        cls, path: Name, layer: Layer = None, columns: Sequence[str] = (), keep: bool = False
    ) -> "PolygonFile":
        """Look through a file.

        What cannot be used (no geometry, one that cannot be decoded, coordinates that are none) is
        left out, and a warning says how much; so is what GLIMS calls debris, a lake or a line.

        Args:
            path: GeoPackage, Shapefile, GeoJSON, GeoParquet or what else GDAL reads as vectors.
            layer: Its layer, where several hold polygons; of several names the one that it has.
            columns: Columns to read beside the geometries.
            keep: Keep all in memory, to be read whole.

        Raises:
            InputError: If the file is missing or unreadable, has several layers with polygons, or
                none, or something else in the layer; if it has no CRS, or one that its coordinates
                contradict; if it lacks a column; or if none of its outlines can be used.
        """
        with reading(path):
            check_reach(path)
            check_file(path)
            parquet = suffix_of(path) == ".parquet"
            source = ParquetFile.open(path) if parquet else GdalLayer.open(path, layer)
            _check_columns(path, columns, source.columns)
            told = [name for name in source.columns if name.lower() == rock.COLUMN][:1]
            wanted = list(dict.fromkeys([*columns, *told]))
            keep = keep or not source.seekable
            seen = [_look_at(batch, source.crs, told, keep) for batch in source.batches(wanted)]
            words, bounds, is_rock, neither, fids = (
                np.concatenate([getattr(one, name) for one in seen])
                for name in ("words", "bounds", "is_rock", "neither", "fids")
            )
            frames = [one.frame for one in seen if one.frame is not None]
            if not source.whole(len(words)):
                raise InputError(
                    f"{path}: says that it has {source.features} features, but {len(words)} can be "
                    "read; it seems damaged, write it again"
                )
        report(path, words[~neither], bounds[~neither], source.crs)
        _say_what_glims_says(path, is_rock, neither)
        usable = (words == "") & ~neither
        kept = pd.concat(frames, ignore_index=True)[usable] if keep else None
        return cls(
            path, source.crs, bounds[usable], is_rock[usable], source, wanted, fids[usable], kept
        )

    def read(self, boxes: DoubleArray | None = None) -> gpd.GeoDataFrame:
        """Read the polygons whose bounds meet one of some boxes.

        Args:
            boxes: xmin, ymin, xmax, ymax in the file's CRS, (k, 4); None for all polygons.

        Returns:
            Polygons and multipolygons with the columns asked for. They may be invalid, but where
            rock was cut out.
        """
        here = np.ones(len(self.bounds), dtype=bool) if boxes is None else self.meets(boxes)
        if self._kept is not None:
            frame = self._kept[here]
        elif not here.any():
            nothing = gpd.GeoSeries([], crs=self.crs)
            return gpd.GeoDataFrame({name: [] for name in self._columns}, geometry=nothing)
        else:
            with reading(self.path):
                batch = self._source.some(self._fids[here], self._columns)
                frame = _frame(batch, decoded(batch.wkb, self.crs)[0], self.crs)
        is_rock = self.is_rock[here]
        glaciers = frame[~is_rock].reset_index(drop=True)
        if is_rock.any() and len(glaciers):
            parts = (repaired(np.asarray(one.geometry)) for one in (glaciers, frame[is_rock]))
            glaciers = glaciers.set_geometry(rock.without_rock(*parts), crs=self.crs)
            glaciers = glaciers[~glaciers.is_empty].reset_index(drop=True)
        return glaciers

    def meets(self, boxes: DoubleArray) -> BoolArray:
        """Tell whether the bounds of each polygon meet one of some boxes, (n,).

        Args:
            boxes: xmin, ymin, xmax, ymax in the file's CRS, (k, 4).
        """
        here = np.zeros(len(self.bounds), dtype=bool)
        left, bottom, right, top = self.bounds.T
        for xmin, ymin, xmax, ymax in boxes:
            here |= (left <= xmax) & (right >= xmin) & (bottom <= ymax) & (top >= ymin)
        return here


@dataclass(frozen=True)
class _Seen:
    """What was found in a batch of features, each (n,) or (n, 4); see :class:`PolygonFile`."""

    words: npt.NDArray[np.object_]
    bounds: DoubleArray
    is_rock: BoolArray
    neither: BoolArray
    fids: npt.NDArray[np.int64]
    frame: gpd.GeoDataFrame | None


def _look_at(batch: Batch, crs: pyproj.CRS, told: Sequence[str], keep: bool) -> _Seen:
    geometries, words = decoded(batch.wkb, crs)
    none = np.zeros(len(words), dtype=bool)
    is_rock, neither = rock.line_types(batch.table[told[0]]) if told else (none, none)
    frame = _frame(batch, geometries, crs) if keep else None
    return _Seen(words, shapely.bounds(geometries), is_rock, neither, batch.fids, frame)


def _frame(batch: Batch, geometries: Iterable[object], crs: pyproj.CRS) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(batch.table, geometry=gpd.GeoSeries(geometries, crs=crs))


def _check_columns(path: Name, columns: Sequence[str], known: Sequence[str]) -> None:
    lacking = [name for name in columns if name not in known]
    if lacking:
        raise InputError(
            f"{path}: has no column {lacking[0]!r}; it has {', '.join(known) or 'none'}"
        )


def _say_what_glims_says(path: Name, is_rock: BoolArray, neither: BoolArray) -> None:
    if is_rock.any() or neither.any():
        warnings.warn(
            f"{path}: by its column {rock.COLUMN}, {is_rock.sum()} of {len(is_rock)} features are "
            f"rock and cut out of the glaciers, and {neither.sum()} are debris, lakes or lines and "
            "left out",
            stacklevel=3,
        )
