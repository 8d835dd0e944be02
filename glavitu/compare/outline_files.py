"""Files of outlines, brought to one plane."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import numpy.typing as npt
import shapely
from pyproj.exceptions import ProjError

from glavitu.arrays import Geometries
from glavitu.errors import InputError
from glavitu.outlines.placing import EARTH, MOST_PIECES
from glavitu.outlines.plane import centre, on_plane, plane_at, repaired
from glavitu.outlines.read_polygons import read_polygons

#: Metres after which an edge gets a vertex more: straight in one CRS is curved in another.
PIECE = 100.0


@dataclass(frozen=True)
class OutlineFile:
    """Outlines of one file.

    Attributes:
        path: The file.
        degrees: Polygons in longitude and latitude (WGS 84), (n,).
        plane: The same on an equal-area plane that all files share, in metres and valid, (n,).
        ids: Names of the glaciers, (n,), or None.
        repaired: Number of geometries that are invalid in the file.
        dropped: Number of geometries without an area, which are left out.
    """

    path: Path
    degrees: Geometries
    plane: Geometries
    ids: npt.NDArray[np.str_] | None
    repaired: int
    dropped: int


def read_files(
    paths: Sequence[Path], id_column: str | None = None, layers: Sequence[str] = ()
) -> list[OutlineFile]:
    """Read files of outlines in any CRS.

    Args:
        paths: GeoPackage, Shapefile, GeoJSON or what else GDAL reads as vectors.
        id_column: Column that names the glaciers.
        layers: Names of the layers with the outlines, of files that have several.

    Raises:
        InputError: If a file is missing or unreadable, holds no polygon or something else, has no
            CRS or a wrong one, or lacks the column or a value in it.
    """
    frames = [_read(path, id_column, layers) for path in paths]
    degrees = [_in_degrees(path, frame) for path, frame in zip(paths, frames, strict=True)]
    plane = plane_at(*centre(np.concatenate(degrees)))
    files = []
    for path, frame, geometries in zip(paths, frames, degrees, strict=True):
        flat = on_plane(geometries, plane)
        solid = shapely.area(flat) > 0
        files.append(
            OutlineFile(
                path,
                geometries[solid],
                flat[solid],
                None if id_column is None else _ids(path, frame, id_column)[solid],
                repaired=int((~frame.is_valid).sum()),
                dropped=int((~solid).sum()),
            )
        )
    return files


def _read(path: Path, id_column: str | None, layers: Sequence[str]) -> geopandas.GeoDataFrame:
    frame = read_polygons(path, layers, () if id_column is None else (id_column,))
    if frame.empty:
        raise InputError(f"{path}: holds no outline; give a file with polygons")
    return frame


def _in_degrees(path: Path, frame: geopandas.GeoDataFrame) -> Geometries:
    crs = frame.crs
    shapes = np.array(frame.geometry.force_2d())
    try:
        unit = crs.axis_info[0].unit_conversion_factor * (EARTH if crs.is_geographic else 1)
        # What spans the world crosses the antimeridian: its edges there are no straight lines.
        west, _, east, _ = shapely.bounds(shapes).T
        short = (east - west <= 180) | (not crs.is_geographic)
        # Repaired before: GEOS drops parts of what is invalid when it adds vertices.
        sound = repaired(shapes[short])
        piece = np.maximum(PIECE / unit, shapely.length(sound) / MOST_PIECES)
        shapes[short] = shapely.segmentize(sound, piece)
        degrees = np.asarray(geopandas.GeoSeries(shapes, crs=crs).to_crs("EPSG:4326"))
    except (IndexError, ProjError) as error:
        raise InputError(
            f"{path}: its CRS {crs.name} cannot be turned into longitude and latitude ({error}); "
            "write the file in another CRS"
        ) from error
    if not shapely.area(shapes).any():
        raise InputError(f"{path}: none of its {len(shapes)} outlines has an area; draw polygons")
    longitude, latitude = shapely.get_coordinates(degrees).T
    if not (np.abs(latitude) <= 90).all() or not (np.abs(longitude) <= 540).all():
        raise InputError(
            f"{path}: has coordinates that are none in its CRS {crs.name}; the CRS is wrong, "
            "write the right one into the file"
        )
    return degrees


def _ids(path: Path, frame: geopandas.GeoDataFrame, column: str) -> npt.NDArray[np.str_]:
    values = frame[column]
    if values.isna().any():
        raise InputError(
            f"{path}: {values.isna().sum()} of {len(values)} outlines have no {column}; fill the "
            "column, or match by overlap"
        )
    # Whole numbers may be floats in one file, integers in another, and text in a third.
    return np.array([str(v).removesuffix(".0") for v in values], dtype=np.str_)
