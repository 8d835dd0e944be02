import os
import shutil
from pathlib import Path

import geopandas
import h5py
import numpy as np
import pytest
import rasterio
from shapely.geometry import box

from glavitu.cli import main
from glavitu.datasets import SyntheticGlaciers
from glavitu.errors import InputError
from glavitu.features import FEATURES
from glavitu.inventory.convert import convert
from glavitu.inventory.tables import (
    examine,
    faults,
    inventory,
    print_summary,
    summary,
)

from ..raster_files import UTM, write_raster
from .release_files import damage, write_release

WORLD = SyntheticGlaciers(("SC", "HMA"), tiles=(2, 1, 1), size=64)


@pytest.fixture(scope="module")
def forms(tmp_path_factory) -> dict[str, Path]:
    """One world as released files, as GeoTIFFs with polygons, and converted from the first."""
    root = tmp_path_factory.mktemp("forms")
    WORLD.write_hdf5(root / "hdf5", progress=False)
    WORLD.write_geotiffs(root / "geotiffs", progress=False)
    convert(root / "hdf5", root / "converted", progress=False)
    return {form.name: form for form in root.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("form", ["hdf5", "geotiffs", "converted"])
def test_each_form_is_told_as_the_world_is(forms, form):
    tiles = inventory(forms[form], progress=False)
    assert tiles["split"].tolist() == ["train"] * 4 + ["val"] * 2 + ["test"] * 2
    assert tiles["region"].tolist() == ["HMA", "HMA", "SC", "SC", "HMA", "SC", "HMA", "SC"]
    for row in tiles.itertuples():
        tile = WORLD.tile(row.split, row.region, int(row.name[-3:]))
        assert (row.name, row.subregion) == (tile.name, tile.subregion)
        assert row.groups == tuple(FEATURES)
        assert (row.pixels, row.glacier) == (64 * 64, tile.mask.sum())
        corners = rasterio.warp.transform_bounds(tile.crs, 4326, *tile.bounds)
        assert (row.west, row.south, row.east, row.north) == pytest.approx(corners, abs=1e-9)


@pytest.mark.parametrize("form", ["hdf5", "geotiffs", "converted"])
def test_regions_are_summed_up(forms, form):
    table = summary(inventory(forms[form], progress=False))
    keys = list(zip(table["split"], table["region"], strict=True))
    expected = [(split, region) for split in ("train", "val", "test") for region in ("HMA", "SC")]
    assert keys == [*expected, ("total", "")]
    masks = {
        key: np.stack([WORLD.tile(*key, i).mask for i in range(WORLD.tiles[key[0]])])
        for key in expected
    }
    masks["total", ""] = np.concatenate(list(masks.values()))
    assert table["tiles"].tolist() == [len(masks[key]) for key in keys]
    assert table["glacier_share"].tolist() == pytest.approx([masks[key].mean() for key in keys])
    assert table["subregions"].tolist()[0] == ("HMA1", "HMA2")
    tiles = inventory(forms[form], progress=False)
    train = tiles[(tiles["split"] == "train") & (tiles["region"] == "HMA")]
    assert table["west"][0] == train["west"].min() < train["west"].max()
    assert table["north"][0] == train["north"].max()
    assert (table["south"].min(), table["east"].max()) == (
        table["south"].iloc[-1],
        table["east"].iloc[-1],
    )


def test_groups_that_some_tiles_lack_are_counted(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    write_release(tmp_path / "train.h5", ["a", "b", "c"], thermal=1, velocity=2, in_sar=2)
    with h5py.File("train.h5", "r+") as file:
        del file["b/in_sar"]
    assert main(["info", "train.h5"]) == 0
    table = summary(inventory("train.h5", progress=False))
    assert table["groups"][0] == {"in_sar": 2, "thermal": 3, "velocity": 3}
    assert capsys.readouterr().out.count("in_sar (2 of 3), thermal") == 2


def test_where_nothing_is_missing_the_last_row_alone_names_the_groups(forms, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    table = summary(inventory(forms["hdf5"], progress=False))
    print_summary(table, "all there")
    lines = capsys.readouterr().out.splitlines()
    assert sum(" all " in line for line in lines[1:]) == len(table) - 1
    assert sum("optical" in line for line in lines) == 1


def test_a_manifest_is_told_as_its_folders_are(forms, tmp_path, capsys):
    tiles = sorted((forms["geotiffs"] / "test").iterdir())
    lines = ["scene,region", f"{tiles[0]},", f"{tiles[1]},NZ"]
    (tmp_path / "scenes.csv").write_text("\n".join(lines))
    expected = inventory(forms["geotiffs"], progress=False).query("split == 'test'")
    table = inventory(tmp_path / "scenes.csv", progress=False)
    same = ["groups", "pixels", "glacier", "west", "south", "east", "north"]
    assert table["split"].tolist() == ["test"] * 2
    assert table["region"].tolist() == [expected["region"].iloc[0], "NZ"]
    assert table[same].values.tolist() == expected[same].values.tolist()
    assert main(["info", "--check", "scenes.csv"]) == 0
    assert "no fault in 2 tiles" in capsys.readouterr().out


def test_a_manifest_may_name_rasters_one_by_one(forms, tmp_path, capsys):
    tile = forms["geotiffs"] / "test" / "SC_test_000"
    (tmp_path / "empty").mkdir()
    lines = ["scene,dem,outlines", f",{tile / 'dem.tif'},{tile / 'outlines.gpkg'}", "empty,,"]
    (tmp_path / "scenes.csv").write_text("\n".join(lines))
    assert main(["info", "scenes.csv"]) == 1
    assert "empty: holds no GeoTIFF" in capsys.readouterr().err
    assert main(["info", "--check", "scenes.csv"]) == 1
    out = capsys.readouterr().out
    assert "empty: tile empty: holds no GeoTIFF" in out
    assert ["SC", "1", "SC1", "dem"] in [line.split()[1:5] for line in out.splitlines()]


def test_tiles_without_outlines_have_no_share(tmp_path, capsys):
    values = np.ones((1, 10, 10), np.float32)
    write_raster(tmp_path / "tiles/a/thermal.tif", values, region="HMA")
    write_raster(tmp_path / "tiles/a/outlines.tif", np.eye(10, dtype=np.uint8))
    write_raster(tmp_path / "tiles/b/thermal.tif", values, region="HMA")
    write_raster(tmp_path / "tiles/c/thermal.tif", values)
    write_raster(tmp_path / "tiles/.partial-d/thermal.tif", values)
    tiles = inventory(tmp_path / "tiles", progress=False)
    assert tiles["name"].tolist() == ["a", "b", "c"]
    assert tiles["split"].tolist() == [""] * 3
    table = summary(tiles)
    assert table["region"].tolist() == ["HMA", "unknown", ""]
    assert table["glacier_share"].tolist() == pytest.approx([0.1, np.nan, 0.1], nan_ok=True)
    assert main(["info", "tiles/b"]) == 0
    assert "nan" not in capsys.readouterr().out


def test_the_table_fits_a_terminal_of_100_columns(forms, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    tiles = inventory(forms["hdf5"], progress=False)
    tiles["subregion"] = [f"HMA{number}" for number in range(len(tiles))]
    tiles["west"], tiles["east"] = -179.99, -110.25
    tiles["groups"] = [*tiles["groups"][1:], ("optical",)]
    print_summary(summary(tiles), "the [benchmark]")
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0].strip() == "the [benchmark]"
    total = next(line for line in lines if line.split()[:1] == ["total"])
    assert total.split()[1:3] == ["8", "8"]  # tiles, and subregions that are too many to name
    assert total.split()[-4:-2] == ["-179.99", f"{tiles['south'].min():.2f}"]
    assert "…" not in "".join(lines)


def test_info_stops_at_a_tile_that_it_cannot_describe(tmp_path):
    source = write_release(tmp_path / "train.h5")
    with h5py.File(source, "r+") as file:
        del file["b"].attrs["region"]
    with pytest.raises(InputError, match=r"train.h5: tile b: has no attribute region.*--check"):
        inventory(source, progress=False)
    damage(write_release(source), "a/outlines")
    with pytest.raises(InputError, match=r"train.h5: tile a: array outlines cannot be read"):
        inventory(source, progress=False)


@pytest.mark.parametrize("path", ["none.h5", "empty", "no_tile.h5", "text.h5"])
def test_what_is_no_data_is_refused(tmp_path, path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.h5").write_text("text")
    h5py.File("no_tile.h5", "w").close()
    with pytest.raises(InputError, match=path):
        inventory(path, progress=False)


@pytest.mark.parametrize("form", ["hdf5", "geotiffs", "converted"])
def test_sound_data_pass_the_check(forms, form, capsys):
    assert faults(forms[form], progress=False) == []
    assert main(["info", "--check", str(forms[form])]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "no fault in 8 tiles"
    assert any(line.split()[:2] == ["total", "8"] for line in lines)


def set_values(array, values, where=np.s_[3, 4]):
    def change(file):
        file[f"a/{array}"][where] = values

    return change


def replace(array, values):
    def change(file):
        del file[f"a/{array}"]
        file[f"a/{array}"] = values

    return change


def set_attribute(name, value):
    return lambda file: file["a"].attrs.__setitem__(name, value)


HDF5_FAULTS = {
    "missing attribute": (lambda file: file["a"].attrs.__delitem__("ymax"), "attribute ymax"),
    "unknown region": (set_attribute("region", "XY"), "unknown region 'XY'"),
    "text for a number": (set_attribute("height", "tall"), "height is 'tall'"),
    "padding": (set_attribute("padding_width", 90), "padding_width 90"),
    "bounds": (set_attribute("xmin", 400.0), "bounds 400"),
    "shape": (replace("thermal", np.zeros((8, 10, 1))), "the shape (8, 10, 1)"),
    "channels": (replace("thermal", np.zeros((8, 11, 2))), "should have (8, 11, 1)"),
    "type": (replace("thermal", np.full((8, 11, 1), b"x")), "should hold numbers"),
    "no outlines": (lambda file: file.__delitem__("a/outlines"), "no array outlines"),
    "nan": (set_values("thermal", np.nan), "thermal has 1 values that are NaN"),
    "infinite": (set_values("thermal", np.inf), "thermal has 1 values that are NaN"),
    "both classes": (set_values("outlines", 1), "not one-hot in 1 pixels"),
    "half a glacier": (set_values("outlines", 0.5), "not one-hot in 1 pixels"),
    "no group": (lambda file: file.__setitem__("b", file.pop("a/thermal")[...]), "not a group"),
    "dangling link": (
        lambda file: file.__setitem__("b", h5py.ExternalLink("gone.h5", "b")),
        "is a link into another file, 'gone.h5'",
    ),
}


@pytest.mark.parametrize("kind", HDF5_FAULTS)
def test_each_fault_of_a_released_file_is_found(tmp_path, kind):
    source = write_release(tmp_path / "train.hdf5", ["a", "sound"])
    change, expected = HDF5_FAULTS[kind]
    with h5py.File(source, "r+") as file:
        file["a/outlines"].attrs.clear()
        outlines = file["a/outlines"][...].astype(np.float32)
        del file["a/outlines"]
        file["a/outlines"] = outlines
        change(file)
    found = faults(source, progress=False)
    assert [fault.problem for fault in found if expected in fault.problem] == [found[0].problem]
    assert {fault.file for fault in found} == {source}
    assert {fault.tile for fault in found} <= {"a", "b"}


def test_values_in_the_padding_are_nobodys_fault(tmp_path):
    source = write_release(tmp_path / "train.hdf5")
    with h5py.File(source, "r+") as file:
        file["a/thermal"][0, 0] = np.nan
        file["a/outlines"][-1, -1] = 1
    assert faults(source, progress=False) == []


def test_all_faults_are_listed_and_the_rest_is_shown(tmp_path, capsys):
    write_release(tmp_path / "train.h5", ["a", "b", "c"], thermal=1, dem=2)
    write_release(tmp_path / "val.h5", ["v"])
    write_release(tmp_path / "test.h5", ["t"])
    with h5py.File("train.h5", "r+") as file:
        file["a/thermal"][3, 4] = np.nan
        file["a/dem"][3:5, 4] = np.nan
        file["b"].attrs["region"] = "nowhere"
        file["b/dem"][3, 4] = np.nan
        file["b/outlines"][3, 4] = 1
    os.truncate("val.h5", 3000)
    assert main(["info", str(tmp_path), "--check"]) == 1
    out = capsys.readouterr().out
    *lines, last = out.splitlines()
    assert last == "6 faults in 4 tiles"
    train, val = tmp_path / "train.h5", tmp_path / "val.h5"
    expected = [
        f"{train}: tile a: array dem has 4 values",
        f"{train}: tile a: array thermal has 1 values",
        f"{train}: tile b: attribute region: unknown region 'nowhere'",
        f"{train}: tile b: array dem has 2 values",
        f"{train}: tile b: array outlines is not one-hot in 1 pixels",
        f"{val}: cannot be opened as HDF5",
    ]
    for line, start in zip(lines[-6:], expected, strict=True):
        assert line.startswith(start)
    # a and c, and t: b cannot be described, v cannot be opened.
    assert [line.split()[:3] for line in lines if "HMA2" in line] == [
        ["train", "HMA", "2"],
        ["test", "HMA", "1"],
        ["total", "3", "HMA2"],
    ]
    assert "too damaged for the table: 1 tile" in lines


def test_damaged_chunks_are_named(tmp_path):
    source = write_release(tmp_path / "train.h5")
    damage(source, "a/thermal")
    damage(source, "b/outlines")
    found = faults(source, progress=False)
    assert [fault.tile for fault in found] == ["a", "b"]
    for fault, array in zip(found, ("thermal", "outlines"), strict=True):
        assert fault.problem.startswith(
            f"array {array} cannot be read in 1 of its 1 chunks, the first at [0:8, 0:11, 0:"
        )


@pytest.fixture
def tile(tmp_path) -> Path:
    """A sound tile of one's own with two groups, beside another one."""
    rng = np.random.default_rng(0)
    for name in ("a", "sound"):
        folder = tmp_path / "tiles" / name
        optical = rng.random((6, 40, 50), dtype=np.float32)
        write_raster(folder / "optical.tif", optical, region="HMA")
        write_raster(folder / "dem.tif", 1000 + rng.random((1, 40, 50), dtype=np.float32))
        write_raster(folder / "outlines.tif", rng.integers(0, 2, (40, 50), dtype=np.uint8))
    return tmp_path / "tiles" / "a"


OPTICAL = np.ones((6, 40, 50), np.float32)


def damaged_block(folder):
    """Overwrite the first of two rows of compressed blocks."""
    options = {"count": 6, "height": 40, "width": 50, "dtype": "float32", "crs": "EPSG:32645"}
    options |= {"transform": UTM, "compress": "deflate", "tiled": True}
    path = folder / "optical.tif"
    with rasterio.open(path, "w", **options, blockxsize=32, blockysize=32) as file:
        file.write(np.random.default_rng(0).random((6, 40, 50), dtype=np.float32))
    with rasterio.open(path) as file:
        offset = int(file.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))
    with open(path, "r+b") as stream:
        stream.seek(offset)
        stream.write(bytes(20))


def polygons(x, y):
    def write(folder):
        (folder / "outlines.tif").unlink()
        outline = geopandas.GeoDataFrame(geometry=[box(x, y, x + 300, y + 300)], crs=32645)
        outline.to_file(folder / "outlines.gpkg")

    return write


def text_as_polygons(folder):
    (folder / "outlines.tif").unlink()
    (folder / "outlines.gpkg").write_text("text")


def shift(folder):
    values = np.ones((1, 40, 50), np.float32)
    write_raster(folder / "dem.tif", values, transform=UTM @ UTM.translation(1, 0))


def missing_in_scaled(folder):
    values = OPTICAL.copy()
    values[2, :3] = np.nan
    write_raster(folder / "optical.tif", values, region="HMA", glavitu_scaled="yes")


GEOTIFF_FAULTS = {
    "truncated": (lambda a: os.truncate(a / "dem.tif", 100), "dem.tif", "cannot be read as a"),
    "half": (lambda a: os.truncate(a / "dem.tif", 4000), "dem.tif", "cannot be read"),
    "damaged block": (damaged_block, "optical.tif", "cannot be read at rows"),
    "bands": (
        lambda a: write_raster(a / "optical.tif", OPTICAL[:5]),
        "optical.tif",
        "has 5 band(s)",
    ),
    "dem bands": (lambda a: write_raster(a / "dem.tif", OPTICAL[:3]), "dem.tif", "has 3 bands"),
    "no crs": (
        lambda a: write_raster(a / "dem.tif", OPTICAL[:1], crs=None),
        "dem.tif",
        "has no coordinate reference system",
    ),
    "size": (lambda a: write_raster(a / "dem.tif", OPTICAL[:1, :9]), "dem.tif", "9 x 50"),
    "zone": (
        lambda a: write_raster(a / "dem.tif", OPTICAL[:1], crs="EPSG:32644"),
        "dem.tif",
        "EPSG:32644 against EPSG:32645",
    ),
    "shift": (shift, "dem.tif", "origin"),
    "no data": (
        lambda a: write_raster(a / "dem.tif", OPTICAL[:1], nodata=1),
        "dem.tif",
        "no pixel has data",
    ),
    "missing in scaled": (missing_in_scaled, "optical.tif", "has 150 values that are NaN"),
    "region": (
        lambda a: write_raster(a / "optical.tif", OPTICAL, region="XY"),
        "optical.tif",
        "unknown region 'XY'",
    ),
    "no outlines": (lambda a: (a / "outlines.tif").unlink(), "", "has no outlines"),
    "several outlines": (
        lambda a: shutil.copy(a / "outlines.tif", a / "outlines.tiff"),
        "",
        "several outlines, outlines.tif, outlines.tiff",
    ),
    "outlines' values": (
        lambda a: write_raster(a / "outlines.tif", np.full((40, 50), 7, np.uint8)),
        "outlines.tif",
        "has the value 7",
    ),
    "outlines' grid": (
        lambda a: write_raster(a / "outlines.tif", np.ones((40, 51), np.uint8)),
        "outlines.tif",
        "is on another grid",
    ),
    "damaged outlines": (
        lambda a: os.truncate(a / "outlines.tif", 1500),
        "outlines.tif",
        "cannot be read",
    ),
    "outlines elsewhere": (polygons(0, 0), "outlines.gpkg", "none of its 1 outlines overlaps"),
    "unreadable polygons": (text_as_polygons, "outlines.gpkg", "cannot be read as outlines"),
}


@pytest.mark.parametrize("kind", GEOTIFF_FAULTS)
def test_each_fault_of_a_tile_in_geotiffs_is_found(tile, kind, recwarn):
    assert faults(tile.parent, progress=False) == []
    change, file, expected = GEOTIFF_FAULTS[kind]
    change(tile)
    (fault,) = faults(tile.parent, progress=False)
    assert (fault.file, fault.tile) == (tile / file, "a")
    assert expected in fault.problem
    assert not fault.problem.startswith(str(tile))
    # What libraries say to developers of one another is not for users.
    assert not [w for w in recwarn if not issubclass(w.category, DeprecationWarning)]


def test_sound_variants_are_no_faults(tile):
    polygons(500_000, 3_099_000)(tile)
    write_raster(tile / "velocity.tif", OPTICAL[:3])
    holes = OPTICAL.copy()
    holes[:, :3] = np.nan
    write_raster(tile / "optical.tif", holes, region="unknown")
    assert faults(tile.parent, progress=False) == []


def test_numbers_without_a_scale_are_not_called_missing(tile):
    polygons(500_000, 3_099_000)(tile)
    write_raster(tile / "optical.tif", 2000 + OPTICAL)
    found = [str(fault) for fault in faults(tile.parent, progress=False)]
    assert all("--scale optical=0.0001" in fault for fault in found)
    assert len(found) == len(OPTICAL)


def test_all_faults_of_tiles_in_geotiffs_are_listed(tile, capsys):
    write_raster(tile / "optical.tif", OPTICAL[:5], region="HMA")
    write_raster(tile / "dem.tif", OPTICAL[:1], nodata=1)
    write_raster(tile / "outlines.tif", np.full((40, 50), 7, np.uint8))
    assert main(["info", str(tile.parent), "--check"]) == 1
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "3 faults in 2 tiles"
    assert [line.split(": ")[:2] for line in out.splitlines()[-4:-1]] == [
        [str(tile / name), "tile a"] for name in ("optical.tif", "dem.tif", "outlines.tif")
    ]
    assert len(examine(tile.parent, progress=False).tiles) == 1
    with pytest.raises(InputError, match=r"optical.tif has 5 band"):
        inventory(tile.parent, progress=False)


def test_tiles_on_both_sides_of_the_180th_meridian_are_neighbours(tmp_path):
    degrees = rasterio.transform.from_origin
    for name, crs, transform in [
        ("a", "EPSG:4326", degrees(179, 70, 0.01, 0.01)),
        ("b", "EPSG:4326", degrees(-180, 70, 0.01, 0.01)),
        ("c", "EPSG:32601", degrees(480_000, 7_900_000, 30, 30)),
        ("d", "EPSG:32601", degrees(381_000, 7_900_000, 500, 500)),
    ]:
        values = np.ones((6, 64, 64), dtype=np.float32)
        write_raster(tmp_path / name / "optical.tif", values, crs, transform, region="SC")
    tiles = inventory(tmp_path, progress=False)
    across = tiles[tiles["name"] == "d"].iloc[0]
    assert across.west < 180 < across.east
    assert across.east - across.west < 3
    for row in summary(tiles).itertuples():
        assert row.east - row.west < 6
