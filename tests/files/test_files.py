import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from glavitu.errors import InputError
from glavitu.files import (
    SAMPLED_BYTES,
    all_when_complete,
    is_plain_name,
    opened,
    sampled_checksum,
    when_complete,
)


def test_a_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "folder" / "a.txt"
    with when_complete(path) as partial:
        partial.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail_midway():
        with when_complete(path) as partial:
            partial.write_text("half")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail_midway()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_of_one_file_share_nothing_and_leave_a_whole_one(tmp_path):
    path = tmp_path / "a.txt"
    with when_complete(path) as one:
        one.write_text("one")
        with when_complete(path) as other:
            assert other.parent != one.parent
            other.write_text("other")
        assert path.read_text() == "other"
    assert path.read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path):
    script = """
import sys, time
from pathlib import Path
from glavitu.files import when_complete
with when_complete(Path(sys.argv[1])) as partial:
    partial.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""
    path = tmp_path / "a.txt"
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        (partial,) = tmp_path.glob(".partial-*/a.txt")
        with when_complete(path) as own:
            own.write_text("own")
        assert partial.read_text() == "half"
        process.kill()
        process.wait()
    (tmp_path / ".partial-b").write_text("of glavitu 0.1")
    for name in ("a.txt", "b"):
        with when_complete(tmp_path / name) as own:
            own.write_text("new")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.txt", "b"]


def test_a_link_in_the_place_of_a_partial_file_is_not_followed(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.txt").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".partial-a_txt").symlink_to(elsewhere)
    with when_complete(tmp_path / "out" / "a.txt") as partial:
        partial.write_text("new")
    assert (elsewhere / "a.txt").read_text() == "mine"
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["a.txt"]


def test_of_a_set_the_main_file_comes_last_and_the_old_one_goes_first(tmp_path, monkeypatch):
    main, beside = tmp_path / "a.json", tmp_path / "a.png"
    main.write_text("old")
    beside.write_text("old")
    replace = Path.replace

    def stopped(self, target):
        if target == main:
            raise KeyboardInterrupt
        return replace(self, target)

    def write():
        with all_when_complete(beside, main) as partials:
            for partial in partials:
                partial.write_text("new")

    monkeypatch.setattr(Path, "replace", stopped)
    with pytest.raises(KeyboardInterrupt):
        write()
    assert beside.read_text() == "new"
    assert not main.exists()


def test_a_full_disk_is_named_with_the_file(tmp_path):
    path = tmp_path / "a.txt"
    with pytest.raises(OSError, match=r"No space left on device: .*a\.txt"), when_complete(path):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_folder_is_of_one_process_at_a_time_and_free_when_that_ends(tmp_path):
    output = tmp_path / "out"
    with opened(output):
        read_end, write_end = os.pipe()
        if (child := os.fork()) == 0:  # such as a worker of a data loader
            os.write(write_end, b"living")
            time.sleep(60)
            os._exit(0)
        os.read(read_end, 6)
        with (
            pytest.raises(InputError, match="out: another process is writing into this folder"),
            opened(output),
        ):
            pass
    with opened(output):  # though the child lives
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


@pytest.mark.parametrize("size", [0, 10, SAMPLED_BYTES, SAMPLED_BYTES + 1, 10 * SAMPLED_BYTES])
def test_a_sampled_checksum_tells_files_of_one_size_apart(tmp_path, size):
    values = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    sums = set()
    for place in (None, 0, -1):
        if place is not None and size:
            values[place] ^= 1
        (tmp_path / "a").write_bytes(values.tobytes())
        sums.add(sampled_checksum(tmp_path / "a"))
    assert len(sums) == (3 if size else 1)


@pytest.mark.parametrize("name", ["", ".", "..", "../a", "/a", "a/b", "a\\b", "a\0", None, 3])
def test_paths_are_no_plain_names(name):
    assert not is_plain_name(name)
    assert is_plain_name("outlines.tif")
