"""Hostile rasters, HDF5 files of the benchmark, and polygons."""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import h5py
import numpy as np
import rasterio
import shapely
from affine import Affine

from benchmarks.reliability.judging import Case
from benchmarks.reliability.mutations import NUMBERS, TEXTS, Rng, any_value, copied, damage
from benchmarks.reliability.originals import Originals

#: Bytes of a value of each type of a TIFF's tags.
TIFF_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 11: 4, 12: 8, 16: 8}


def geotiff(rng: Rng, originals: Originals, folder: Path) -> Case:
    """Make a GeoTIFF, for a command that reads rasters."""
    tile = copied(originals.tile, folder / "tile")
    path = tile / str(rng.choice(["optical.tif", "dem.tif"]))
    must = None
    draw = rng.random()
    if draw < 0.25:
        what = damage(rng, path)
    elif draw < 0.55:
        what = _patch_tag(rng, path)
    else:
        what, must = _write_again(rng, path)
    if rng.random() < 0.5:
        rasters = ["--optical", str(tile / "optical.tif"), "--dem", str(tile / "dem.tif")]
        arguments = ["map", "--checkpoint", str(originals.checkpoint), *rasters]
        case = Case(what, [*arguments, "--device", "cpu", "--output", "map"], [path.name], must)
        if must == "right":
            case.check = _same_map(originals, folder)
        return case
    command = [["info", str(tile)], ["info", "--check", str(tile)]][rng.integers(2)]
    return Case(what, command, [path.name, str(tile)], must if must == "right" else None)


def _patch_tag(rng: Rng, path: Path) -> str:
    """Give a tag of a TIFF's first directory another value, as only a broken writer would."""
    data = bytearray(path.read_bytes())
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    entry = first + 2 + 12 * int(rng.integers(count))
    tag, kind, number = struct.unpack_from("<HHI", data, entry)
    size = TIFF_BYTES.get(kind, 1)
    place = entry + 8 if size * number <= 4 else struct.unpack_from("<I", data, entry + 8)[0]
    value = float(rng.choice([*NUMBERS, 1_900_000, 65_000, 3]))
    if kind == 12:
        struct.pack_into("<d", data, place + 8 * int(rng.integers(number)), value)
    elif kind in (3, 4):
        whole = int(np.clip(np.nan_to_num(value), 0, 2 ** (8 * size) - 1))
        struct.pack_into("<H" if kind == 3 else "<I", data, place, whole)
    else:
        data[place] ^= 255
    if rng.random() < 0.1:  # more values than there is room for
        struct.pack_into("<I", data, entry + 4, 2**31)
    path.write_bytes(data)
    return f"{path.name}: tag {tag} (type {kind}) is {value}"


def _write_again(rng: Rng, path: Path) -> tuple[str, str | None]:
    """Write a raster anew with something else in it."""
    with rasterio.open(path) as file:
        values, profile, names = file.read(), dict(file.profile), file.descriptions
    must: str | None = None
    kind = str(
        rng.choice(["layout", "crs", "transform", "dtype", "bands", "nodata", "scale", "tags"])
    )
    number = float(rng.choice(NUMBERS))
    more: dict[str, Any] = {}
    if kind == "layout":
        profile |= {"tiled": False, "compress": None, "interleave": "band", "predictor": 1}
        profile.pop("blockxsize"), profile.pop("blockysize")
        must = "right"
    elif kind == "crs":
        crs = rng.choice(["", "EPSG:5773", "EPSG:4978", "EPSG:3857", "EPSG:32761"])
        profile["crs"] = str(crs) or None
    elif kind == "transform":
        own = list(profile["transform"])[:6]
        own[rng.integers(6)] = number
        profile["transform"] = Affine(*own)
    elif kind == "dtype":
        dtype = str(rng.choice(["uint8", "int16", "uint32", "float64", "complex64"]))
        profile["dtype"], profile["predictor"] = dtype, 1
        profile["nodata"] = None
        values = np.nan_to_num(values).astype(dtype)
        must = {"float64": "right", "complex64": "error"}.get(dtype)
    elif kind == "bands":
        values = (
            values[: rng.integers(1, len(values))] if rng.random() < 0.5 else values.repeat(2, 0)
        )
        profile["count"], names = len(values), names[:1] * len(values)
        must = "error" if path.name == "optical.tif" else None
    elif kind == "nodata":
        profile["nodata"] = float(rng.choice([0, np.nan, -9999, 3e38]))
    elif kind == "scale":
        more = {"scales": (number,) * len(values), "offsets": (0.0,) * len(values)}
    else:
        more = {"tags": {"region": str(rng.choice(TEXTS)), "date": str(rng.choice(TEXTS))}}
    with rasterio.open(path, "w", **profile) as file:
        file.write(values.astype(profile["dtype"]))
        file.descriptions = names
        if "scales" in more:
            file.scales, file.offsets = more["scales"], more["offsets"]
        file.update_tags(**more.get("tags", {}))
    told = more or [profile[key] for key in ("crs", "transform", "dtype", "nodata")]
    return f"{path.name}: {kind} {told}", must


def _same_map(originals: Originals, folder: Path) -> Callable[[], str | None]:
    def check() -> str | None:
        expected = originals.classes(originals.root / "map")
        same = np.array_equal(originals.classes(folder / "map"), expected)
        return None if same else "the map differs"

    return check


def hdf5(rng: Rng, originals: Originals, folder: Path) -> Case:
    """Make a file of the benchmark, for a command that reads it."""
    path = copied(originals.benchmark / "train.hdf5", folder / "data" / "train.hdf5")
    copied(originals.benchmark / "val.hdf5", folder / "data" / "val.hdf5")
    must = None
    if rng.random() < 0.3:
        what = damage(rng, path)
    else:
        with h5py.File(path, "r+") as file:
            what, must = _other_tile(rng, file)
    fit = ["fit", "--data.root", str(path.parent), "--data.batch_size", "2", "--data.patch_size"]
    fit += ["32", "--data.steps_per_epoch", "2", "--trainer.max_epochs", "1"]
    fit += ["--model.model_args", '{"width": 2, "depth": 1, "heads": 1}']
    fit += ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
    commands = [["info", str(path)], ["info", "--check", str(path)], ["convert", str(path), "out"]]
    arguments = [*commands, *commands, fit][rng.integers(7)]
    case = Case(what, arguments, [path.name], must)
    if arguments[0] == "convert":
        case.check = lambda: _strange_raster(folder / "out")
    return case


def _other_tile(rng: Rng, file: h5py.File) -> tuple[str, str | None]:
    name = str(rng.choice(list(file)))
    tile = file[name]
    array = str(rng.choice(list(tile)))
    values, kind = tile[array][...], int(rng.integers(16))
    if kind == 0:
        return "nothing", "right"
    if kind in (1, 2, 3):
        key = str(rng.choice(list(tile.attrs)))
        value = any_value(rng)
        if kind == 1 or value is None or isinstance(value, dict) or value == [None]:
            del tile.attrs[key]
            return f"attribute {key} of {name} lost", "error"
        tile.attrs[key] = value
        return f"attribute {key} of {name} is {value!r}", None
    if kind == 4:
        tile.attrs["more"] = np.zeros(3)
        return "an attribute more", "right"
    if kind == 5:
        file["text"] = "not a tile"
        return "a text beside the tiles", "error"
    if kind == 6:
        file[str(rng.choice(TEXTS)).replace("/", "") or "x"] = h5py.SoftLink(f"/{name}")
        return f"a link to {name}", None
    del tile[array]
    what = f"{name}/{array}"
    if kind == 7:
        tile.create_group(array)
        return f"{what} is a group", "error"
    if kind == 8:
        tile[array] = values[..., 0]
        return f"{what} has two dimensions", "error"
    if kind == 9:
        dtype = h5py.string_dtype() if rng.random() < 0.5 else h5py.vlen_dtype(np.float32)
        tile.create_dataset(array, values.shape, dtype)
        return f"{what} holds {dtype}", "error"
    if kind == 10:
        tile.create_dataset(
            array, values.shape, "u1", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)]
        )
        return f"{what} is stored in /etc/passwd", "error"
    if kind == 11:
        tile[array] = h5py.ExternalLink("/etc/hostname", "/a")
        return f"{what} is a link to a file", "error"
    if kind == 12:
        huge = 1 << int(rng.choice([17, 20, 30]))
        tile.create_dataset(array, (huge, huge, values.shape[2]), "f4", chunks=(64, 64, 1))
        for key in ("height", "width", "original_height", "original_width"):
            if rng.random() < 0.7:
                tile.attrs[key] = huge
        return f"{what} declares {huge} x {huge} pixels", None
    if kind == 13:
        bad = values.copy()
        bad[24:60, 24:60] = rng.choice([np.nan, np.inf, -np.inf])
        tile[array] = bad
        return f"{what} is no number in places", None
    if kind == 14:
        layout = h5py.VirtualLayout(values.shape, values.dtype)
        layout[:] = h5py.VirtualSource("/etc/passwd", "a", values.shape)
        tile.create_virtual_dataset(array, layout)
        return f"{what} is a virtual array of another file", "error"
    tile.create_dataset(array, data=values.astype("f8"), chunks=(17, 13, 1), compression="gzip")
    return f"{what} in double precision and other chunks", "right"


def _strange_raster(folder: Path) -> str | None:
    """Tell whether a converted raster holds what cannot be from the file."""
    for path in folder.rglob("*.tif"):
        with rasterio.open(path) as file:
            values = file.read()
        if not np.isfinite(values).all():
            return f"{path.name} has values that are no numbers"
        if b"root:" in values.astype("u1").tobytes():
            return f"{path.name} holds /etc/passwd"
    return None


def vector(rng: Rng, originals: Originals, folder: Path) -> Case:
    """Make polygons, as labels, reference or area of interest."""
    suffix = str(rng.choice([".geojson", ".geojson", ".gpkg", ".shp"]))
    path, must = folder / f"shapes{suffix}", None
    frame = geopandas.read_file(originals.outlines)
    draw = rng.random()
    if draw < 0.6:
        what, frame, must = _other_shapes(rng, frame)
    else:
        what = "nothing"
    try:
        frame.to_file(path, engine="pyogrio")
    except Exception as error:  # what a format cannot hold is no file
        path.write_text("{}")
        what, must = f"{what}, not written ({error})", None
    if draw > 0.7:
        what += f", {_edit(rng, path)}" if suffix == ".geojson" else f", {damage(rng, path)}"
        must = None
    compare = ["compare", str(path), str(originals.outlines), "--output", "out"]
    reverse = ["compare", str(originals.outlines), str(path), "--output", "out"]
    aoi = ["map", *originals.map, "--output", "map", "--aoi", str(path)]
    labels = copied(originals.tile, folder / "tile")
    (labels / "outlines.gpkg").unlink()
    for part in folder.glob("shapes.*"):
        part.is_file() and os.link(part, labels / f"outlines{part.suffix}")
    info = ["info", "--check", str(labels)]
    arguments = [compare, reverse, aoi, info][rng.integers(4)]
    return Case(what, arguments, ["shapes", "outlines"], must if arguments is compare else None)


def _other_shapes(rng: Rng, frame: geopandas.GeoDataFrame) -> tuple[str, Any, str | None]:
    west, south, east, north = frame.total_bounds
    own = frame.geometry.iloc[0]
    nan, far = float(rng.choice([np.nan, np.inf])), float(rng.choice([1e9, 1e15, 1e300]))
    shapes: dict[str, Any] = {
        "no number": shapely.linearrings(
            [(west, south), (nan, south), (east, north), (west, south)]
        ),
        "huge": shapely.box(-far, -far, far, far),
        "bow tie": shapely.Polygon([(west, south), (east, north), (east, south), (west, north)]),
        "points": shapely.Point(west, south),
        "lines": own.boundary,
        "collection": shapely.GeometryCollection([own, shapely.Point(west, south)]),
        "none": None,
        "empty": shapely.Polygon(),
        "sliver": shapely.box(west, south, west + 1e-12, north),
    }
    kind = str(rng.choice([*shapes, "crs lost", "crs of another", "text columns", "nothing"]))
    must = {"nothing": "right", "lines": "error", "points": "error"}.get(kind)
    if kind in shapes:
        shape = shapes[kind]
        if kind == "no number":
            shape = shapely.Polygon(shape)
        alone = must == "error" or rng.random() < 0.5
        more = geopandas.GeoDataFrame(geometry=[shape], crs=frame.crs)
        other = [more] if alone else [frame, more]
        frame = geopandas.GeoDataFrame(geopandas.pd.concat(other, ignore_index=True), crs=frame.crs)
    elif kind == "crs lost":
        frame = frame.set_crs(None, allow_override=True)
    elif kind == "crs of another":
        frame = frame.set_crs(str(rng.choice(["EPSG:4326", "EPSG:3031"])), allow_override=True)
    elif kind == "text columns":
        frame = frame.assign(area_km2=str(rng.choice(TEXTS)), region=str(rng.choice(TEXTS)))
    return kind, frame, must


def _edit(rng: Rng, path: Path) -> str:
    """Change the text of a GeoJSON."""
    if not path.is_file():
        return "gone"
    stored = json.loads(path.read_text())
    kind = int(rng.integers(5))
    if kind == 0 or not stored.get("features"):
        return damage(rng, path)
    feature = stored["features"][0]
    if kind == 1:
        feature["geometry"]["coordinates"] = any_value(rng)
    elif kind == 2:
        stored["crs"] = {"type": "name", "properties": {"name": any_value(rng)}}
    elif kind == 3:
        ring = feature["geometry"]["coordinates"]
        while isinstance(ring[0][0], list):
            ring = ring[0]
        del ring[-1], ring[3:]
    else:
        feature["geometry"]["type"] = "MultiPolygon" if rng.random() < 0.5 else "Nothing"
    path.write_text(json.dumps(stored))
    return f"edited ({kind})"
