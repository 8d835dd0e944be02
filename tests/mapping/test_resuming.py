"""What stops a map halfway leaves nothing half, and the same call goes on where it stopped."""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import rasterio.shutil
import torch

from glavitu.errors import InputError
from glavitu.files import opened
from glavitu.mapping import map_scene, mapper, open_map

NAMES = ["confidence.tif", "outlines.gpkg", "outlines.tif", "preview.png", "run.json"]
HEIGHT, WIDTH = 150, 70


@pytest.fixture
def path(write_raster):
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    values = (np.sin(x / 7) + np.cos(y / 9)).astype(np.float32)
    values[40:60, 20:] = np.nan
    return write_raster("a.tif", values)


@pytest.fixture
def convolving(tiny_model, plain):
    """A model whose results depend on all of the window; it may fail at a batch."""

    class Convolving(tiny_model):
        def __init__(self, fails_at=None):
            torch.manual_seed(0)
            super().__init__((plain,))
            self.layers = torch.nn.Sequential(
                torch.nn.Conv2d(1, 8, 5, padding=2),
                torch.nn.BatchNorm2d(8),
                torch.nn.Conv2d(8, 2, 9, padding=4),
            )
            self.calls = [0]
            self.fails_at = fails_at

        def __deepcopy__(self, memo):
            return self  # so that calls are counted

        def predict_probabilities(self, image, location):
            self.calls[0] += 1
            if self.calls[0] == self.fails_at:
                raise RuntimeError("out of memory")
            return self.layers(image).softmax(1)

    return Convolving


def bands(folder):
    values = {}
    for name in ("outlines.tif", "confidence.tif"):
        with rasterio.open(folder / name) as file:
            values[name] = file.read(1)
    return values


def assert_same(one, other):
    for name, values in bands(one).items():
        np.testing.assert_array_equal(bands(other)[name], values)
    assert geopandas.read_file(one / "outlines.gpkg").equals(
        geopandas.read_file(other / "outlines.gpkg")
    )


@pytest.mark.slow
@pytest.mark.parametrize("overlap", [0, 0.5, 0.75])
def test_after_a_failure_the_pixels_are_the_same_to_the_bit(tmp_path, path, convolving, overlap):
    whole = convolving()
    options = {"overlap": overlap, "batch_size": 2, "progress": False}
    map_scene(whole, {"plain": path}, tmp_path / "whole", **options)
    total = whole.calls[0]
    for fails_at in {2, total // 2, total}:
        output = tmp_path / str(fails_at)
        with pytest.raises(RuntimeError, match="out of memory"):
            map_scene(convolving(fails_at), {"plain": path}, output, **options)
        left = sorted(file.name for file in output.iterdir())
        assert [name[:9] for name in left] in ([], [".glavitu-"])
        rest = convolving()
        map_scene(rest, {"plain": path}, output, **options)
        assert_same(tmp_path / "whole", output)
        assert sorted(file.name for file in output.iterdir()) == NAMES
        if fails_at > total // 2 - 1:
            assert rest.calls[0] < total


@pytest.mark.slow
def test_a_row_that_was_torn_is_predicted_again(tmp_path, path, convolving):
    map_scene(convolving(), {"plain": path}, tmp_path / "whole", progress=False)
    failing, output = convolving(fails_at=18), tmp_path / "out"
    with pytest.raises(RuntimeError):
        map_scene(failing, {"plain": path}, output, progress=False)
    (rows,) = output.glob(".glavitu-*/rows")
    length = rows.stat().st_size
    for size in (length - 1, 37 * 5 * WIDTH, 37 * 5 * WIDTH + 1, 3):
        torn = tmp_path / str(size)
        shutil.copytree(output, torn)
        os.truncate(torn / rows.relative_to(output), size)
        map_scene(convolving(), {"plain": path}, torn, progress=False)
        assert_same(tmp_path / "whole", torn)


@pytest.mark.slow
def test_killed_at_any_place_it_goes_on(tmp_path, path):
    script = Path(__file__).with_name("killed_map.py")
    done = subprocess.run(
        [sys.executable, script, path, tmp_path],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(script.parents[2])},
    )
    assert done.returncode == 0, done.stderr
    kills = json.loads(done.stdout)
    assert len(kills) == 7
    for kill, (before, _) in kills.items():
        # What has a name is complete, and run.json comes last.
        assert "run.json" not in before
        assert sorted(file.name for file in (tmp_path / kill).iterdir()) == NAMES
        assert_same(tmp_path / "whole", tmp_path / kill)
    assert not any(before for kill, (before, _) in kills.items() if "move" not in kill)
    assert kills["move-3"][0] == ["confidence.tif", "outlines.tif"]
    whole = kills["batch-1"][1]
    assert kills["batch-9"][1] < whole
    assert kills["raster-1"][1] == kills["move-1"][1] == 0


class TestFullDisk:
    @pytest.fixture
    def limit(self):
        """Let no file grow over a size: the system then says so as of a full disk."""
        before = resource.getrlimit(resource.RLIMIT_FSIZE)

        def set_limit(size):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))

        yield set_limit
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("size", "said"),
        [
            (20_000, "see whether the disk is full and free about 1 MB there, then the same"),
            (52_000, "File too large"),
            (60_000, "check that the disk has room"),  # the outlines do not fit
        ],
    )
    def test_it_is_said_and_the_same_call_goes_on(
        self, tmp_path, path, convolving, limit, size, said
    ):
        map_scene(convolving(), {"plain": path}, tmp_path / "whole", progress=False)
        output = tmp_path / "out"
        limit(size)
        with pytest.raises(InputError) as error:
            map_scene(convolving(), {"plain": path}, output, progress=False)
        limit(resource.RLIM_INFINITY)
        message = str(error.value)
        assert said in message
        assert "\n" not in message
        assert [file.name[:9] for file in output.iterdir()] == [".glavitu-"]
        rest = convolving()
        map_scene(rest, {"plain": path}, output, progress=False)
        assert_same(tmp_path / "whole", output)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("size", "said"),
        [("40k", "No space left on device"), ("80k", r"confidence.tif is not whole")],
    )
    def test_a_disk_that_is_really_full(self, tmp_path, path, convolving, size, said):
        disk = tmp_path / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
        if subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("this user may not mount")
        try:
            with pytest.raises(InputError, match=f"{said}.* the same command goes on"):
                map_scene(convolving(), {"plain": path}, disk / "out", progress=False)
            larger = ["mount", "-o", "remount,size=10m", str(disk)]
            subprocess.run(larger, check=True)
            map_scene(convolving(), {"plain": path}, disk / "out", progress=False)
            map_scene(convolving(), {"plain": path}, tmp_path / "whole", progress=False)
            assert_same(tmp_path / "whole", disk / "out")
        finally:
            subprocess.run(["umount", str(disk)], check=True)


def test_a_folder_that_cannot_be_written_to_is_said_before_any_work(path, convolving):
    with tempfile.TemporaryDirectory() as folder:
        model, output = convolving(), Path(folder, "out")
        output.mkdir(mode=0o555)
        values = Path(folder, "a.tif")
        values.write_bytes(path.read_bytes())
        os.chmod(folder, 0o755)
        user = os.geteuid()
        if user == 0:  # who may write everywhere
            os.seteuid(65534)
        try:
            for place in (output, output / "deeper"):
                with pytest.raises(InputError, match="out.*: nothing can be written there"):
                    map_scene(model, {"plain": values}, place, progress=False)
        finally:
            os.seteuid(user)
        assert model.calls == [0]
        assert list(output.iterdir()) == []


def test_two_processes_do_not_map_into_one_folder(tmp_path, path, convolving):
    output = tmp_path / "out"
    with (
        opened(output),
        pytest.raises(InputError, match="out: another process is writing into this folder"),
    ):
        map_scene(convolving(), {"plain": path}, output, progress=False)
    map_scene(convolving(), {"plain": path}, output, progress=False)


class TestAnotherRun:
    @pytest.fixture
    def output(self, tmp_path, path, convolving):
        output = tmp_path / "out"
        map_scene(convolving(), {"plain": path}, output, probability=True, progress=False)
        return output

    def contents(self, folder):
        return {file.name: file.read_bytes() for file in folder.iterdir()}

    def test_the_same_one_is_complete(self, output, path, convolving, caplog):
        before, model = self.contents(output), convolving()
        caplog.clear()
        result = map_scene(model, {"plain": path}, output, probability=True, progress=False)
        assert model.calls == [0]
        assert self.contents(output) == before
        assert ["complete already" in message for message in caplog.messages] == [True]
        run = json.loads((output / "run.json").read_text())
        assert (result.glaciers, result.area_km2) == (run["glaciers"], run["area_km2"])
        assert result.probability == output / "probability.tif"

    @pytest.mark.parametrize(
        ("options", "difference"),
        [
            ({"overlap": 0.25}, r"overlap \(0.5 there, 0.25 now\)\."),
            ({"batch_size": 2, "probability": False}, r"batch_size .1 there, 2 now., probability"),
        ],
    )
    def test_with_other_options_is_refused(self, output, path, convolving, options, difference):
        before, model = self.contents(output), convolving()
        options = {"probability": True, **options}
        with pytest.raises(InputError, match=f"it differs in {difference}.* --overwrite"):
            map_scene(model, {"plain": path}, output, progress=False, **options)
        assert model.calls == [0]
        assert self.contents(output) == before

    def test_that_waits_for_its_names_does_not_replace_one_that_came_between(
        self, tmp_path, path, convolving, monkeypatch
    ):
        def cut_off(work, output):
            raise KeyboardInterrupt

        output = tmp_path / "between"
        monkeypatch.setattr(mapper, "publish", cut_off)
        with pytest.raises(KeyboardInterrupt):
            map_scene(convolving(), {"plain": path}, output, progress=False)
        monkeypatch.undo()
        map_scene(convolving(), {"plain": path}, output, batch_size=2, progress=False)
        before = {name: (output / name).read_bytes() for name in NAMES}
        with pytest.raises(InputError, match="another map; it differs in batch_size"):
            map_scene(convolving(), {"plain": path}, output, progress=False)
        assert {name: (output / name).read_bytes() for name in NAMES} == before
        map_scene(convolving(), {"plain": path}, output, overwrite=True, progress=False)
        run = json.loads((output / "run.json").read_text())
        assert run["options"]["batch_size"] == 1

    @pytest.mark.parametrize("name", ["outlines.tif", "outlines.gpkg", "preview.png"])
    def test_with_a_file_that_is_empty_is_made_again(self, output, path, convolving, name):
        whole = (output / name).read_bytes()
        os.truncate(output / name, 0)
        with pytest.raises(InputError, match=f"{name} is not whole"):
            open_map(output)
        model = convolving()
        map_scene(model, {"plain": path}, output, probability=True, progress=False)
        assert model.calls[0] > 0
        assert (output / name).stat().st_size == len(whole)
        open_map(output)

    @pytest.mark.parametrize("change", ["cut", "other bytes"])
    def test_with_a_file_that_was_changed_is_not_called_complete(
        self, output, path, convolving, change
    ):
        changed = output / "confidence.tif"
        values = bytearray(changed.read_bytes())
        values[-100] ^= 1
        changed.write_bytes(values[:-50] if change == "cut" else values)
        with pytest.raises(InputError, match=r"confidence\.tif is not as the map left it"):
            map_scene(convolving(), {"plain": path}, output, probability=True, progress=False)
        changed.rename(output / "kept.tif")
        map_scene(convolving(), {"plain": path}, output, probability=True, progress=False)
        open_map(output)

    def test_whose_list_of_files_has_paths_touches_nothing_outside(
        self, tmp_path, output, path, convolving
    ):
        mine = [tmp_path / "mine.txt", tmp_path / "mine.txt.aux.xml", tmp_path / "deep" / "a.txt"]
        mine[2].parent.mkdir()
        for file in mine:
            file.write_text("mine")
        run = json.loads((output / "run.json").read_text())
        assert run["sums"].keys() == set(run["files"])
        for files in (["../mine.txt"], [str(mine[2])], ["."], "mine", [3], ["a\0b"]):
            (output / "run.json").write_text(json.dumps(run | {"files": files}))
            with pytest.raises(InputError, match="of which nothing tells that a map left it"):
                map_scene(convolving(), {"plain": path}, output, overwrite=True, progress=False)
            with pytest.raises(InputError, match="is not of a map"):
                open_map(output)
        assert [file.read_text() for file in mine] == ["mine"] * 3

    def test_that_was_cut_off_and_whose_files_were_damaged_makes_them_again(
        self, tmp_path, path, convolving, monkeypatch
    ):
        def cut_off(work, output):
            raise KeyboardInterrupt

        map_scene(convolving(), {"plain": path}, tmp_path / "whole", progress=False)
        output = tmp_path / "damaged"
        monkeypatch.setattr(mapper, "publish", cut_off)
        with pytest.raises(KeyboardInterrupt):
            map_scene(convolving(), {"plain": path}, output, progress=False)
        monkeypatch.undo()
        (raster,) = output.glob(".glavitu-*/outlines.tif")
        os.truncate(raster, 100)
        map_scene(convolving(), {"plain": path}, output, progress=False)
        assert_same(tmp_path / "whole", output)
        assert sorted(file.name for file in output.iterdir()) == NAMES

    def test_of_a_file_of_the_same_size_and_time_is_another(self, tmp_path, path, convolving):
        output, before = tmp_path / "new", path.stat()
        with pytest.raises(RuntimeError):
            map_scene(convolving(9), {"plain": path}, output, progress=False)
        (work,) = output.iterdir()
        with rasterio.open(path, "r+") as file:
            file.write(-file.read())
        assert path.stat().st_size == before.st_size
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        model = convolving()
        map_scene(model, {"plain": path}, output, progress=False)
        assert work.exists()
        map_scene(convolving(), {"plain": path}, tmp_path / "whole", progress=False)
        assert_same(tmp_path / "whole", output)

    def test_of_a_virtual_raster_whose_source_was_written_again_is_another(
        self, tmp_path, path, convolving
    ):
        virtual, output = tmp_path / "a.vrt", tmp_path / "new"
        rasterio.shutil.copy(path, virtual, driver="VRT")
        map_scene(convolving(), {"plain": virtual}, output, progress=False)
        os.utime(path, ns=(1, 1))
        with pytest.raises(InputError, match=r"it differs in .*\(written again since\)"):
            map_scene(convolving(), {"plain": virtual}, output, progress=False)

    def test_of_a_raster_that_changes_meanwhile_is_refused(self, tmp_path, path, convolving):
        class Changing(convolving):
            def predict_probabilities(self, image, location):
                os.utime(path, ns=(1, 1))
                return super().predict_probabilities(image, location)

        with pytest.raises(InputError, match=r"a\.tif: changed while it was mapped"):
            map_scene(Changing(), {"plain": path}, tmp_path / "new", progress=False)
        assert list((tmp_path / "new").iterdir()) == []

    def test_with_another_checkpoint_or_raster_is_refused(self, output, path, convolving):
        other = convolving()
        with torch.no_grad():
            other.layers[0].weight += 0.1
        with pytest.raises(InputError, match="it differs in the checkpoint"):
            map_scene(other, {"plain": path}, output, probability=True, progress=False)
        os.utime(path, ns=(1, 1))
        with pytest.raises(InputError, match=r"it differs in .*\(written again since\)"):
            map_scene(convolving(), {"plain": path}, output, probability=True, progress=False)

    def test_of_which_nothing_is_known_is_refused(self, output, path, convolving):
        for name in ("run.json", "confidence.tif", "outlines.gpkg", "preview.png"):
            (output / name).unlink()
            with pytest.raises(InputError, match="of which nothing tells that a map"):
                map_scene(convolving(), {"plain": path}, output, progress=False)

    def test_is_replaced_with_all_that_it_left(self, output, path, convolving):
        failed = convolving(fails_at=9)
        with pytest.raises(RuntimeError):
            map_scene(failed, {"plain": path}, output, overwrite=True, overlap=0.75, progress=False)
        assert (output / "probability.tif").exists()
        assert (output / "run.json").exists()
        map_scene(convolving(), {"plain": path}, output, overwrite=True, progress=False)
        assert sorted(file.name for file in output.iterdir()) == NAMES

    def test_that_is_unfinished_is_mentioned_and_left(self, tmp_path, path, convolving, caplog):
        output = tmp_path / "new"
        with pytest.raises(RuntimeError):
            map_scene(convolving(9), {"plain": path}, output, batch_size=2, progress=False)
        (work,) = output.iterdir()
        map_scene(convolving(), {"plain": path}, output, progress=False)
        assert work.exists()
        assert any(f"{work}: unfinished work of another run" in text for text in caplog.messages)
