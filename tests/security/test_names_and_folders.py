"""What docs/security.md says of names, reports, maps, manifests and pipes, sentence by sentence."""

import json
import os
import re
import socket
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glavitu.cli import main
from glavitu.errors import InputError
from glavitu.mapping.map_folder import open_map

from ..raster_files import write_raster
from ..test_report import write_run
from .commands import OLD, fails, map_options

NAME = "[/red]$\\frac{$ <b>{{7*7}}</b>\x1b[2J"


def test_names_are_text(tmp_path, capsys):
    from glavitu.callbacks.worst_tiles import Sample, draw_sample
    from glavitu.report.region_figure import draw_groups
    from glavitu.terminal import Column, print_table, printable

    print_table(NAME, [Column("a")], [[NAME]])
    told = capsys.readouterr().out
    assert "\x1b[2J" not in told
    assert "[/red]$" in told
    truth = np.zeros((4, 4), bool)
    picture = np.zeros((4, 4, 4), np.uint8)
    draw_sample(Sample(0.5, picture, "r", truth, truth, truth * 0.5), NAME).savefig("a.png")
    import pandas as pd

    groups = pd.DataFrame({"region": [NAME], "sensor": ["_S2 $"], "iou": [0.5]})
    figure = draw_groups(groups)
    figure.savefig("b.png")
    assert printable("é ü 雪") == "é ü 雪"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["\u200b_S2 \\$"]


def test_a_report_escapes_what_it_shows_and_loads_nothing(tmp_path):
    rows = [("a", "SC", NAME, 1, 1, 1, 1), ("half", "SC", "b", 1, 1, 1, 1)]
    run = write_run(tmp_path / "run", rows)
    (run / "samples").mkdir(exist_ok=True)
    Image.new("RGB", (8, 8)).save(run / "samples" / "a.png")
    report = (run / "report.json").read_text()
    (run / "report.json").write_text(report.replace("half", "\\ud800"))
    assert main(["report", str(run)]) == 0
    page = Path("report.html").read_text()
    assert "<b>{{7*7}}" not in page
    assert "&lt;b&gt;{{7*7}}" in page
    seen = Loads()
    seen.feed(page)
    assert seen.policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'; " + (
        "script-src 'unsafe-inline'"
    )
    assert seen.addresses
    assert {address.partition(":")[0] for address in seen.addresses} == {"data"}
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|WebSocket|\bimport\b", page)


class Loads(HTMLParser):
    """Notes what a page would load, or go to."""

    policy = None

    def __init__(self):
        super().__init__()
        self.addresses = []

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("src", "srcset", "href", "action", "data", "poster", "background"):
                self.addresses += [value]
        if dict(attrs).get("http-equiv") == "Content-Security-Policy":
            self.policy = dict(attrs)["content"]


@pytest.mark.parametrize("name", ["config.yaml", "samples/a.png", "report.json", "report.png"])
def test_a_report_reads_nothing_outside(name, tmp_path, secret, capsys):
    run = write_run(tmp_path / "run")
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(secret)
    assert name in fails(["report", str(run)], capsys)


@pytest.mark.parametrize("kind", ["checkpoint", "hdf5", "raster", "vector", "config", "manifest"])
def test_a_pipe_is_refused(kind, tmp_path, capsys):
    pipe = tmp_path / {"manifest": "x.csv", "vector": "x.gpkg", "hdf5": "train.hdf5"}.get(kind, "x")
    os.mkfifo(pipe)
    arguments = {
        "checkpoint": ["map", *map_options(str(pipe))],
        "hdf5": ["convert", str(pipe), "out"],
        "raster": ["map", *map_options(str(OLD))],
        "vector": ["compare", str(pipe), str(pipe)],
        "config": ["fit", "--config", str(pipe)],
        "manifest": ["info", str(pipe)],
    }[kind]
    if kind == "raster":
        arguments[4] = str(pipe)
    assert str(pipe) in fails(arguments, capsys)


def test_a_raster_is_written_where_it_is_asked_for_alone(tmp_path, benchmark):
    assert main(["convert", str(benchmark), "out"]) == 0
    written = set(tmp_path.rglob("*.tif"))
    assert written == set((tmp_path / "out").rglob("*.tif")) != set()


def test_a_manifest_names_files_that_are_read_and_writes_none(tmp_path, capsys):
    scene = tmp_path / "elsewhere" / "scene"
    write_raster(scene / "dem.tif", np.full((8, 8), 4000, np.float32))
    (tmp_path / "mine").mkdir()
    manifest = tmp_path / "mine" / "x.csv"
    manifest.write_text("name,dem\nfirst,../elsewhere/scene/dem.tif\n")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert main(["info", str(manifest)]) == 0
    assert "28.0" in capsys.readouterr().out  # the degrees of latitude
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    manifest.write_text("name,dem\n../first,../elsewhere/scene/dem.tif\n")
    assert "slash" in fails(["info", str(manifest)], capsys)


@pytest.mark.parametrize(
    "change",
    [
        {"files": ["../elsewhere/secret.bin"]},
        {"options": {"vector_format": "x/../../elsewhere/secret.bin"}},
        {"grid": {"crs": "http://127.0.0.1:PORT/x"}},
        {"grid": {"crs": "/etc/passwd"}},
    ],
    ids=str,
)
def test_a_folder_of_a_map_names_no_other_files(change, secret, tmp_path):
    """GDAL asked the address that was given as a coordinate system."""
    server = socket.create_server(("127.0.0.1", 0))
    port = str(server.getsockname()[1])
    change = json.loads(json.dumps(change).replace("PORT", port))
    folder = tmp_path / "map"
    folder.mkdir()
    grid = {"crs": "EPSG:32645", "transform": [30, 0, 0, 0, -30, 0], "shape": [8, 8]}
    model = dict.fromkeys(("weights_sha256", "inference", "confidence", "device"), "")
    facts = {
        **{"fingerprint": "a", "files": [], "glaciers": 0, "area_km2": 0, "checkpoints": []},
        **{"date": "2026-01-01", "options": {"grid": grid}, **model},
    }
    (folder / "run.json").write_text(json.dumps(facts))
    assert open_map(folder).grid.shape == (8, 8)
    grid |= change.pop("grid", {})
    facts["options"] |= change.pop("options", {})
    (folder / "run.json").write_text(json.dumps(facts | change))
    with pytest.raises(InputError, match=r"run\.json"):
        open_map(folder)
    server.setblocking(False)
    with server, pytest.raises(BlockingIOError):  # nobody has called
        server.accept()
