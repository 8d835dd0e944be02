"""Pages of docs/ say what the results say, and experiments go on where they were stopped."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.experiments import loop
from benchmarks.pages import filled, markdown

ROOT = Path(__file__).parents[1]
TABLES = {"one": lambda: markdown(["a", "b"], [["1", "2"]])}


@pytest.mark.parametrize("family", ["speed", "experiments", "reliability"])
def test_the_page_is_as_its_command_writes_it(family):
    command = [sys.executable, "-m", f"benchmarks.{family}.page", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_table_is_put_between_its_marks_alone():
    text = "before\n\n<!-- one -->\nold\n<!-- end -->\n\nafter\n"
    table = "| a | b |\n| --- | --- |\n| 1 | 2 |"
    expected = f"before\n\n<!-- one -->\n{table}\n<!-- end -->\n\nafter\n"
    assert filled(text, TABLES) == expected
    assert filled(expected, TABLES) == expected


@pytest.mark.parametrize(
    "text",
    [
        "no marks\n",
        "<!-- other -->\nold\n<!-- end -->\n",
        "<!-- one -->\nold\n<!-- end -->\n<!-- one -->\nold\n<!-- end -->\n",
        "<!-- one -->\nold\n",
        "<!-- one -->\nold\n<!-- end -->\n<!-- two -->\nold\n",
    ],
)
def test_a_page_without_the_right_marks_is_refused(text):
    with pytest.raises(SystemExit, match="the page has the marks"):
        filled(text, TABLES)


def test_an_experiment_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "RESULTS", tmp_path)
    done = []

    def run(name):
        def work():
            done.append(name)
            if name == "b" and done.count("b") == 1:
                raise KeyboardInterrupt
            return {"score": len(done)}

        return name, work

    with pytest.raises(KeyboardInterrupt):
        loop.resume("tried", map(run, "abc"))
    assert loop.load("tried") == {"a": {"score": 1}}
    loop.resume("tried", map(run, "abc"))
    assert done == ["a", "b", "b", "c"]
    assert loop.load("tried") == {
        name: {"score": n} for name, n in zip("abc", (1, 3, 4), strict=True)
    }
    assert [path.name for path in tmp_path.iterdir()] == ["tried.json"]
    assert json.loads((tmp_path / "tried.json").read_text()) == loop.load("tried")


def test_no_run_starts_when_the_time_is_over(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(loop, "RESULTS", tmp_path)
    loop.resume("tried", [("a", lambda: 1)], minutes=-1)
    assert loop.load("tried") == {}
    assert "call this again" in capsys.readouterr().out
