"""A small part of the trials of docs/reliability.md."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.reliability.children import Child
from benchmarks.reliability.contents import contents, leftovers, unreadable

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_kills_races_and_full_disks_leave_nothing_false(tmp_path):
    command = [sys.executable, "-m", "benchmarks.reliability.all", "--seed", "1"]
    command += ["--kills", "4", "--races", "3", "--full-disks", "4"]
    command += ["--commands", "map", "convert", "compare", "write_scenes"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": right") == 11


def test_the_trials_see_what_is_false(tmp_path):
    for name, text in {
        "whole.json": '{"a": 1, "date": "now"}',
        "cut.json": '{"a": 1',
        "empty.png": "",
        "cut.tif": "II",
        "cut.html": "<html>",
        "config.yaml": "",
    }.items():
        (tmp_path / name).write_text(text)
    (tmp_path / ".partial-a").mkdir()
    (tmp_path / ".partial-a" / "b.json").write_text("{")
    found = contents(tmp_path)
    faults = [fault.split(":")[0] for fault in unreadable(found)]
    assert faults == ["config.yaml", "cut.html", "cut.json", "cut.tif", "empty.png"]
    (tmp_path / "whole.json").write_text('{"a": 1, "date": "later"}')
    assert contents(tmp_path) == found
    (tmp_path / "whole.json").write_text('{"a": 2, "date": "later"}')
    assert contents(tmp_path)["whole.json"] != found["whole.json"]
    assert leftovers(tmp_path) == [".partial-a"]


def test_a_child_is_killed_with_its_own_children_and_tells_what_it_said(tmp_path):
    folder = tmp_path / "place"
    folder.mkdir()

    def fail() -> None:
        print(Path.cwd().name)
        raise ValueError(random.Random(0).random())

    ended = Child(fail, folder).ended()
    assert ended.status == 70
    assert ended.said.startswith("place\n")
    assert ended.traceback
    child = Child(lambda: subprocess.run(["sleep", "60"], check=True).returncode, folder)
    assert child.wait(0.2) is None
    child.kill()
    assert child.ended().status == -9
