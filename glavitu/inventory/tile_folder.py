"""A tile as a folder of GeoTIFFs: what is in it, without a word on which groups a model wants."""

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from glavitu.datasets.benchmark_files import OUTLINES, SPLITS
from glavitu.datasets.label_raster import RasterOutlines
from glavitu.datasets.labels import ElsewhereError, NoOutlines, open_outlines
from glavitu.datasets.manifest import is_manifest, read_manifest
from glavitu.datasets.tile_folders import check_folder, finished, tile_name
from glavitu.errors import InputError
from glavitu.features import DEM, FEATURES, FeatureGroup
from glavitu.files import Name
from glavitu.files.strangers import check_reach
from glavitu.outlines.read_polygons import RASTER_SUFFIXES, VECTOR_SUFFIXES
from glavitu.rasters.scene import SLOPE, Scene
from glavitu.rasters.units import units_of
from glavitu.windows import Window

#: Rows of a raster that are read at once.
STRIP = 512


class TileFolder(NamedTuple):
    """A folder with a raster per feature group, and outlines beside them.

    Attributes:
        path: The folder; of a scene whose manifest names every file, the manifest.
        split: ``'train'``, ``'val'`` or ``'test'``, empty where its path does not tell.
        name: Path of the folder below its split, joined by ``_``.
        files: Rasters that a manifest names, by feature group; they take the place of the folder's.
        outlines: The same of the outlines.
        region: Code of the region as a manifest has it, empty where the rasters tell.
        layer: Layer of the outlines, None where their file has but one with polygons.
        shared: Whether the outlines serve other tiles too, and may have none in this one.
    """

    path: Path
    split: str
    name: str
    files: Mapping[str, Name] = MappingProxyType({})
    outlines: Name | None = None
    region: str = ""
    layer: str | None = None
    shared: bool = False

    def rasters(self) -> dict[str, Name]:
        """Return the rasters by the name of their group, in the order of :func:`in_order`."""
        beside = self.path.iterdir() if self.path.is_dir() else ()
        found: dict[str, Name] = {path.stem: path for path in beside if _is_raster(path)}
        found |= self.files
        return {name: found[name] for name in in_order(found)}

    def labels(self) -> Name | None:
        """Return the file of the outlines, None where there is none.

        Raises:
            InputError: If there are several.
        """
        if self.outlines is not None:
            return self.outlines
        suffixes = RASTER_SUFFIXES + VECTOR_SUFFIXES
        found = [p for p in self.path.glob(f"{OUTLINES}.*") if p.suffix.lower() in suffixes]
        if len(found) > 1:
            names = ", ".join(sorted(path.name for path in found))
            raise InputError(f"{self.path}: has several outlines, {names}; keep one")
        return found[0] if found else None


def find_folders(root: Path, layer: str | None = None) -> list[TileFolder]:
    """Find the folders of tiles, which are those with a raster that is not the outlines.

    Args:
        root: Folder with ``train``, ``val`` and ``test`` below it, or with tiles, or a tile; or a
            manifest, whose scenes are for tests.
        layer: Layer of the outlines, in files of which several layers hold polygons.

    Raises:
        InputError: If there is none.
    """
    if is_manifest(root):
        scenes = read_manifest(root, None)
        users = Counter(scene.outlines for scene in scenes)
        return [
            TileFolder(
                scene.folder or root,
                "test",
                scene.name,
                scene.files,
                scene.outlines,
                scene.region,
                scene.layer or layer,
                users[scene.outlines] > 1,
            )
            for scene in scenes
        ]
    check_folder(root)
    parents = {path.parent for path in root.rglob("*") if _is_raster(path)}
    folders = []
    for path in sorted(finished(root, parents)):
        parts = path.relative_to(root).parts
        split = parts[0] if parts and parts[0] in SPLITS else ""
        folders.append(TileFolder(path, split, tile_name(root / split, path), layer=layer))
    if not folders:
        raise InputError(
            f"{root}: holds neither HDF5 files whose names tell their split, such as train.hdf5, "
            "nor folders with GeoTIFFs; give the folder of the benchmark or of your tiles"
        )
    return folders


def in_order(names: Iterable[str]) -> list[str]:
    """Sort feature groups: those of the benchmark in its order, then others by their names.

    Args:
        names: Of feature groups.
    """
    known = list(FEATURES)
    return sorted(names, key=lambda n: (known.index(n) if n in known else len(known), n))


def open_raster(name: str, path: Name, values: Mapping[str, Any] = MappingProxyType({})) -> Scene:
    """Open the raster of one feature group; what its values are is not looked at.

    Args:
        name: Name of the group; one of the benchmark's, or any other.
        path: The raster.
        values: What is known of stored values, as keywords of
            :func:`~glavitu.rasters.units.units_of`.

    Raises:
        InputError: If it cannot be read, has no place on the Earth, or is of one of the
            benchmark's groups and has another number of bands.
    """
    with warnings.catch_warnings():
        # The scene says so as an error.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        check_reach(path)
        try:
            with rasterio.open(path) as file:
                bands = int(file.count)
        except RasterioError:
            bands = 1  # The scene says why it cannot be opened.
        group = _group(name, bands)
        units = units_of((group,), **_of_group(group, values))
        return Scene({name: path}, [group], units=units, check=False)


def _of_group(group: FeatureGroup, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of the values of one group."""
    names = {group.name, SLOPE} if len(group) > 1 and group.name == DEM.name else {group.name}
    of_names = {
        key: {name: value for name, value in (values.get(key) or {}).items() if name in names}
        for key in ("scales", "nodata")
    }
    return of_names | {
        "decibels": bool(values.get("decibels")) and group.transform == "log10",
        "slope_percent": bool(values.get("slope_percent")) and SLOPE in names,
    }


def read_labels(tile: TileFolder, path: Name, scene: Scene) -> Iterator[npt.NDArray[np.uint8]]:
    """Read outlines on the grid of a raster from top to bottom: 1 = glacier, 255 = unknown.

    Args:
        tile: Whose they are.
        path: Their file, a raster or polygons.
        scene: A raster of the same tile.

    Raises:
        InputError: If they cannot be read, lie elsewhere, or hold what is no label.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            outlines = open_outlines(path, scene.grid, tile.layer)
        except ElsewhereError:
            if not tile.shared:
                raise
            outlines = NoOutlines()
    for remark in outlines.remarks if isinstance(outlines, RasterOutlines) else ():
        warnings.warn(f"{path}: {remark}", stacklevel=2)
    for strip in strips(scene):
        yield outlines.read(strip)


def strips(scene: Scene) -> Iterator[Window]:
    """Divide a raster of any size into windows that fit into memory."""
    for row in range(0, scene.height, STRIP):
        yield Window(row, 0, min(STRIP, scene.height - row), scene.width)


def _is_raster(path: Path) -> bool:
    hidden = path.name.startswith(".")
    return path.suffix.lower() in (".tif", ".tiff") and path.stem != OUTLINES and not hidden


def _group(name: str, bands: int) -> FeatureGroup:
    """Return the group that a raster should hold; an unknown one has as many bands as it likes."""
    if name == DEM.name and bands == 1:
        return FeatureGroup(name, DEM.channels[:1], DEM.minimum[:1], DEM.maximum[:1])
    if name in FEATURES:
        return FEATURES[name]
    return FeatureGroup(name, tuple(map(str, range(1, bands + 1))), (0.0,) * bands, (1.0,) * bands)
