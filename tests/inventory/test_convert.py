import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
import torch

from glavitu.cli import main
from glavitu.datasets import BenchmarkTiles, GlacierRasters, SyntheticGlaciers, TileWindow
from glavitu.errors import InputError
from glavitu.features import FEATURES
from glavitu.files import opened
from glavitu.inventory.convert import convert
from glavitu.inventory.journal import JOURNAL
from glavitu.windows import Window

from .release_files import damage, write_release

WORLD = SyntheticGlaciers(("SC", "HMA"), tiles=(2, 1, 1), size=64)


@pytest.fixture(scope="module")
def released(tmp_path_factory) -> Path:
    return WORLD.write_hdf5(tmp_path_factory.mktemp("released"), progress=False)


@pytest.fixture(scope="module")
def converted(released, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("converted")
    assert convert(released, output, progress=False) == (8, 0)
    return output


def contents(folder: Path) -> dict[str, tuple]:
    """Values, tags and scales of all files below a folder, by their paths."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and path.name != JOURNAL:
            with rasterio.open(path) as file:
                found[str(path.relative_to(folder))] = (
                    file.read().tobytes(),
                    file.tags(),
                    file.scales,
                    file.transform,
                )
    return found


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_windows_of_hdf5_and_geotiffs_are_equal_to_the_bit(released, converted, split):
    features = tuple(FEATURES)
    one = BenchmarkTiles(released, split, features)
    other = GlacierRasters(converted / split, features, padding="land")
    names = [tile.name for tile in one.tiles]
    assert names == [tile.name for tile in other.tiles]
    assert [tile.subregion for tile in one.tiles] == [tile.subregion for tile in other.tiles]
    assert one.extents == other.extents
    for number in range(len(names)):
        for window in (
            Window(0, 0, 64, 64),
            Window(3, 40, 20, 20),
            Window(-160, -160, 384, 384),
            Window(50, 60, 32, 48),
            Window(64, 0, 16, 16),
        ):
            ours, theirs = (dataset[TileWindow(number, window)] for dataset in (one, other))
            assert torch.equal(ours["image"], theirs["image"])
            assert torch.equal(ours["mask"], theirs["mask"])
            assert torch.equal(ours["region"], theirs["region"])
            assert one.tiles[number].crs == other.tiles[number].crs


def test_scale_and_offset_lead_to_physical_units(converted):
    tile = WORLD.tile("test", "HMA", 0)
    for name, group in FEATURES.items():
        with rasterio.open(converted / "test" / tile.name / f"{name}.tif") as file:
            values = file.read().astype(np.float64)
            physical = values * np.array(file.scales)[:, None, None]
            physical += np.array(file.offsets)[:, None, None]
            assert file.descriptions == group.channels
        expected = tile.features[name].astype(np.float64)
        if group.transform == "log10":
            expected = np.log10(np.maximum(expected, 0) + 1e-6)
        expected = np.nan_to_num(expected, nan=0.0)
        tolerance = 1e-5 * (np.array(group.maximum) - group.minimum)[:, None, None]
        assert (np.abs(physical - expected) <= tolerance).all(), name


def test_files_are_tiled_compressed_and_tagged(converted):
    folder = converted / "train" / "SC_train_001"
    assert {path.stem for path in folder.iterdir()} == {*FEATURES, "outlines"}
    for path in folder.iterdir():
        with rasterio.open(path) as file:
            tags = file.tags()
            assert (tags["region"], tags["subregion"]) == ("SC", "SC2")
            assert tags.get("glavitu_scaled") == (None if path.stem == "outlines" else "yes")
            assert file.crs.to_epsg() == 4326
            assert file.compression.name == "zstd"
            assert file.profile["tiled"]
            structure = file.tags(ns="IMAGE_STRUCTURE")
            assert structure["PREDICTOR"] == ("2" if path.stem == "outlines" else "3")
    with rasterio.open(folder / "outlines.tif") as file:
        assert file.dtypes == ("uint8",)
        assert np.array_equal(file.read(1), WORLD.tile("train", "SC", 1).mask)


def test_tiles_of_several_blocks_lose_their_padding(tmp_path):
    source = write_release(tmp_path / "val.h5", ["tile"], 300, 270, thermal=1)
    convert(source, "out", progress=False)
    with (
        h5py.File(source) as released,
        rasterio.open("out/val/tile/thermal.tif") as thermal,
        rasterio.open("out/val/tile/outlines.tif") as outlines,
    ):
        assert thermal.block_shapes == [(128, 128)]
        assert np.array_equal(thermal.read(1), released["tile/thermal"][2:-1, 1:-3, 0])
        assert np.array_equal(outlines.read(1), released["tile/outlines"][2:-1, 1:-3, 1])
        assert thermal.bounds == (86, 27, 87, 28)


def test_a_group_of_ones_own_is_scaled_but_its_units_are_not_known(tmp_path):
    source = write_release(tmp_path / "mine.hdf5", velocity=2)
    assert convert(source, "out", progress=False) == (2, 0)
    with rasterio.open("out/a/velocity.tif") as file:
        assert file.descriptions == ("band 1", "band 2")
        assert (file.scales, file.offsets) == ((1, 1), (0, 0))
        assert file.tags()["glavitu_scaled"] == "yes"


@pytest.mark.slow
def test_a_killed_conversion_goes_on_where_it_stopped(tmp_path):
    tiles = [f"tile_{number:02d}" for number in range(16)]
    groups = {name: len(group) for name, group in FEATURES.items()}
    source = write_release(tmp_path / "train.hdf5", tiles, 64, 64, **groups)
    convert(source, "whole", progress=False)
    command = [sys.executable, "-m", "glavitu", "convert", str(source), "out"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not list(tmp_path.glob("out/train/tile_*")):
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    done = len(list(tmp_path.glob("out/train/tile_*")))
    assert 0 < done < len(tiles)

    assert convert(source, "out", progress=False) == (len(tiles) - done, done)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert not list(tmp_path.rglob(".partial-*"))


def test_what_an_interrupted_conversion_left_is_removed(tmp_path):
    source = write_release(tmp_path / "train.hdf5")
    stale = tmp_path / "out" / "train" / ".partial-a"
    stale.mkdir(parents=True)
    (stale / "radar.tif").write_text("half")
    assert convert(source, "out", progress=False) == (2, 0)
    assert not stale.exists()
    assert {path.name for path in (tmp_path / "out/train/a").iterdir()} == {
        "outlines.tif",
        "thermal.tif",
    }
    assert convert(source, "out", progress=False) == (0, 2)


class TestWhatIsThereAlready:
    @pytest.fixture
    def source(self, tmp_path):
        source = write_release(tmp_path / "train.hdf5")
        assert convert(source, "out", progress=False) == (2, 0)
        return source

    def test_of_a_file_that_was_replaced_is_converted_again(self, tmp_path, source, caplog):
        shutil.rmtree("out/train/b")  # not done yet
        before = source.stat()
        with h5py.File(source, "r+") as file:
            for tile in ("a", "b"):
                file[tile]["thermal"][...] = file[tile]["thermal"][...] / 2
        os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert source.stat().st_size == before.st_size
        assert convert(source, "out", progress=False) == (2, 0)
        convert(source, "whole", progress=False)
        assert contents(tmp_path / "out") == contents(tmp_path / "whole")
        assert ["1 tiles were of another file" in text for text in caplog.messages] == [True]

    @pytest.mark.parametrize("damage", [Path.unlink, lambda path: os.truncate(path, 0)])
    def test_without_a_group_is_converted_again(self, tmp_path, source, damage):
        whole = contents(tmp_path / "out")
        damage(Path("out/train/a/thermal.tif"))
        assert convert(source, "out", progress=False) == (1, 1)
        assert contents(tmp_path / "out") == whole

    def test_changed_since_is_kept_and_named(self, source):
        with rasterio.open("out/train/a/outlines.tif", "r+") as file:
            file.write(1 - file.read())
        edited = Path("out/train/a/outlines.tif").read_bytes()
        with pytest.raises(InputError, match=r"out/train/a is there, changed since.* move"):
            convert(source, "out", progress=False)
        assert Path("out/train/a/outlines.tif").read_bytes() == edited

    def test_without_a_journal_is_taken_where_it_is_the_same(self, source):
        Path("out", JOURNAL).unlink()
        assert convert(source, "out", progress=False) == (0, 2)
        assert convert(source, "out", progress=False) == (0, 2)
        Path("out", JOURNAL).unlink()
        Path("out/train/a/thermal.tif").unlink()
        with pytest.raises(InputError, match="out/train/a is there, and nothing tells"):
            convert(source, "out", progress=False)
        assert [path.name for path in Path("out/train/a").iterdir()] == ["outlines.tif"]

    def test_by_a_torn_journal_is_looked_at_again(self, tmp_path, source):
        journal = Path("out", JOURNAL)
        os.truncate(journal, journal.stat().st_size - 5)
        assert convert(source, "out", progress=False) == (0, 2)
        journal.write_bytes(b'\xff\n[]\n{"folder": 3}\n{"folder": {}}\n' + journal.read_bytes())
        assert convert(source, "out", progress=False) == (0, 2)


def test_two_conversions_do_not_write_into_one_folder(tmp_path):
    source = write_release(tmp_path / "train.hdf5")
    with opened(Path("out")), pytest.raises(InputError, match="another process is writing"):
        convert(source, "out", progress=False)
    assert convert(source, "out", progress=False) == (2, 0)


def test_faulty_tiles_are_left_out_and_named(tmp_path):
    source = write_release(tmp_path / "train.hdf5", ["a", "b", "c", "d"])
    shutil.copy(source, "sound.hdf5")
    with h5py.File(source, "r+") as file:
        file["a/thermal"][3, 4, 0] = np.nan
        file["a/outlines"][3, 4] = 1
        del file["c"].attrs["xmin"]
    with pytest.raises(InputError) as raised:
        convert(source, "out", progress=False)
    first, *lines = re.split(r": (?=\S+hdf5: tile)|; (?=\S+hdf5: tile)", str(raised.value))
    assert first.startswith("2 of 4 tiles could not be converted")
    assert [line.strip().split(": ")[:2] for line in lines] == [
        [str(source), "tile a"],
        [str(source), "tile a"],
        [str(source), "tile c"],
    ]
    for line, fault in zip(
        lines, ("thermal has 1", "not one-hot in 1 pixels", "xmin"), strict=True
    ):
        assert fault in line
    assert sorted(path.name for path in (tmp_path / "out/train").iterdir()) == ["b", "d"]

    shutil.copy("sound.hdf5", source)
    assert convert(source, "out", progress=False) == (2, 2)


def test_the_first_ten_of_many_faults_are_named(tmp_path):
    tiles = [f"t{number:02d}" for number in range(14)]
    source = write_release(tmp_path / "train.hdf5", tiles)
    with h5py.File(source, "r+") as file:
        for tile in tiles[:-1]:
            file[tile]["thermal"][3, 3] = np.inf
    with pytest.raises(InputError) as raised:
        convert(source, "out", progress=False)
    message = str(raised.value)
    assert "13 of 14 tiles could not be converted" in message
    assert "and 3 faults more" in message
    assert message.count("tile t") == 10


def test_damage_in_a_tile_spares_the_others(tmp_path):
    source = write_release(tmp_path / "train.hdf5")
    damage(source, "a/thermal")
    with pytest.raises(InputError, match="tile a: array thermal cannot be read in 1 of its 1"):
        convert(source, "out", progress=False)
    assert [path.name for path in (tmp_path / "out/train").iterdir()] == ["b"]


def test_a_truncated_file_is_refused_before_anything_is_written(released, tmp_path):
    shutil.copytree(released, "h5")
    os.truncate("h5/val.hdf5", 50_000)
    with pytest.raises(InputError, match=r"val.hdf5: cannot be opened as HDF5; it is truncated"):
        convert("h5", "out", progress=False)
    assert not Path("out").exists()


def test_tiles_of_one_name_do_not_hide_each_other(tmp_path):
    write_release(tmp_path / "train_1.h5", ["a", "b"])
    write_release(tmp_path / "train_2.h5", ["b", "c"])
    with pytest.raises(InputError, match=r"train_1.h5, .*train_2.h5: all hold a tile b"):
        convert(tmp_path, "out", progress=False)


@pytest.mark.parametrize("name", ["..", ".hidden"])
def test_names_that_are_no_folders_are_refused(tmp_path, name):
    source = write_release(tmp_path / "train.h5")
    with h5py.File(source, "r+") as file:
        file.move("a", f"/{name}")
    with pytest.raises(InputError, match=f"tile {name}: its name"):
        convert(source, "out", progress=False)


@pytest.mark.parametrize("source", ["none.h5", "empty"])
def test_a_source_without_tiles_is_refused(tmp_path, source):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=source):
        convert(source, "out", progress=False)


@pytest.mark.slow
def test_a_full_disk_ends_cleanly_and_keeps_what_was_written(tmp_path):
    source = write_release(tmp_path / "train.h5", ["a"])
    write_release(tmp_path / "val.h5", ["large"], 200, 200)
    done = subprocess.run(
        [sys.executable, "-m", "glavitu", "convert", str(tmp_path), "out"],
        capture_output=True,
        text=True,
        # No file may grow beyond this, which ends writing as a full disk does.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert "thermal.tif: could not be written whole" in last
    assert "run it again" in last
    assert [path.name for path in (tmp_path / "out").rglob("*.tif")].count("thermal.tif") == 1
    assert not list(tmp_path.rglob(".partial-*"))
    assert source.exists()
    assert convert(tmp_path, "out", progress=False) == (1, 1)


def test_the_command_tells_what_it_did_and_can_be_run_again(released, tmp_path, capsys):
    arguments = ["convert", str(released / "test.hdf5"), "out"]
    assert main(arguments) == 0
    assert capsys.readouterr().out == "out: 2 tiles written\n"
    assert main(arguments) == 0
    assert capsys.readouterr().out == "out: no tile written, 2 were there already\n"
    with pytest.raises(SystemExit):
        main(["convert", "--help"])
    assert "run the same command again" in " ".join(capsys.readouterr().out.split())
