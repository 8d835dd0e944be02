"""The HTML page of `glavitu report`, as text and in a browser."""

import base64
import io
import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from glavitu.callbacks.region_report import tables
from glavitu.cli import main
from glavitu.metrics.scores import with_scores

EVIL = '<script>alert("x")</script>'
#: A name that a file can have.
EVIL_TILE = "<img src=x onerror=alert(1)>&\"'"

#: name, region, subregion, TP, FP, FN, TN
TILES = [
    ("sc_1", "SC", "SC1", 90, 5, 5, 100),
    ("sc_2", "SC", "SC2", 80, 20, 10, 90),
    ("hma_1", "HMA", "HMA1", 50, 30, 20, 100),
    ("an_1", "AN", "AN1", 0, 0, 0, 200),
]


def write_run(folder: Path, rows=TILES, **more) -> Path:
    """Write the folder of a test."""
    names = ["tile", "region", "subregion", "tp", "fp", "fn", "tn"]
    table = with_scores(pd.DataFrame(rows, columns=names))
    counts = table.groupby("region", as_index=False)[names[3:]].sum()
    report = {
        "glavitu": "0.1.0",
        "date": "2026-01-01T00:00:00+00:00",
        "checkpoint": "runs/best.ckpt",
        "options": {"features": ["optical", "dem"], "lr": 0.1},
        **tables(with_scores(counts), table),
        **more,
    }
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(json.dumps(report))
    return folder


def add_sample(folder: Path, tile: str) -> None:
    (folder / "samples").mkdir(exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (12, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "samples" / f"{tile}.png")


class Page(HTMLParser):
    """What a test wants to know of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.text = ""
        self._rows: list[list[str]] = []
        self._parts: list[str] | None = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "table":
            self._rows = []
            self.tables[f"table {len(self.tables)}"] = self._rows
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th", "caption"):
            self._parts = []

    def handle_endtag(self, tag):
        if tag in ("td", "th", "caption") and self._parts is not None:
            text = "".join(self._parts).strip()
            self._parts = None
            if tag == "caption":
                self.tables[text] = self.tables.pop(next(reversed(self.tables)))
            else:
                self._rows[-1].append(text)

    def handle_data(self, data):
        self.text += data
        if self._parts is not None:
            self._parts.append(data)


def report(*folders, output="report.html") -> Page:
    assert main(["report", *map(str, folders), "--output", str(output)]) == 0
    return Page(Path(output).read_text(encoding="utf-8"))


@pytest.fixture
def one(tmp_path) -> Path:
    return write_run(tmp_path / "runs/one")


@pytest.fixture
def other(tmp_path) -> Path:
    """Another run: worse, without Antarctica."""
    tiles = [(*tile[:3], tile[3] - 20, *tile[4:]) for tile in TILES[:3]]
    return write_run(tmp_path / "runs/other", tiles, options={"features": ["optical", "dem"]})


def test_the_page_of_one_run_has_its_scores(one):
    page = report(one)
    header, *rows = page.tables["Regions"]
    assert header[:4] == ["region", "pixels", "glacier share", "IoU"]
    assert {row[0]: row[3] for row in rows} == {
        **{"AN": "", "HMA": "0.500", "SC": "0.810"},
        **{"mean": "0.655", "standard deviation": "0.219"},
    }
    assert [row[:3] for row in page.tables["Tiles"][1:]] == [
        *(["an_1", "AN", "AN1"], ["hma_1", "HMA", "HMA1"]),
        *(["sc_1", "SC", "SC1"], ["sc_2", "SC", "SC2"]),
    ]
    assert [row[0] for row in page.tables["Subregions"][1:]] == ["AN1", "HMA1", "SC1", "SC2"]
    assert "IoU" not in page.tables  # nothing to put side by side


def test_runs_stand_side_by_side_and_what_one_lacks_is_empty(one, other):
    header, *rows = report(one, other).tables["IoU"]
    assert header == ["region", "one", "other"]
    assert rows[:3] == [["AN", "", ""], ["HMA", "0.500", "0.375"], ["SC", "0.810", "0.765"]]
    assert rows[3] == ["mean", "0.655", "0.570"]
    assert rows[5] == ["mean of the 2 regions with an IoU in all runs", "0.655", "0.570"]


def test_the_table_of_regions_holds_all_runs(one, other):
    header, *rows = report(one, other).tables["Regions"]
    assert header[:2] == ["region", "run"]
    assert [row[:2] for row in rows[:5]] == [
        *(["AN", "one"], ["HMA", "one"], ["HMA", "other"], ["SC", "one"], ["SC", "other"])
    ]


def test_the_plot_has_a_bar_for_each_iou_and_a_point_for_each_tile(one, other):
    tags = report(one, other).tags
    bars = [attributes for tag, attributes in tags if tag == "rect"]
    assert len(bars) == 2 + 2
    tallest = max(float(bar["height"]) for bar in bars)
    assert tallest == pytest.approx(0.810 * 300, abs=0.2)
    assert len([tag for tag, _ in tags if tag == "circle"]) == 3 + 3


def test_the_figure_of_the_test_is_in_the_page_of_one_run(one, other):
    drawn = np.random.default_rng(1).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(drawn).save(one / "report.png")
    page = report(one)
    (picture,) = [attributes for tag, attributes in page.tags if tag == "img"]
    assert picture["alt"] == "IoU of each region as bars, of each tile as points"
    with Image.open(io.BytesIO(base64.b64decode(picture["src"].partition(",")[2]))) as image:
        np.testing.assert_array_equal(image, drawn)
    assert not [tag for tag, _ in page.tags if tag in ("svg", "rect", "circle")]
    # Several are drawn together.
    tags = [tag for tag, _ in report(one, other).tags]
    assert ("svg" in tags, "img" in tags) == (True, False)


def test_options_that_differ_are_marked(one, other):
    page = report(one, other)
    (options,) = [table for table in page.tables.values() if table[1][:1] == ["features"]]
    assert options[2] == ["lr", "0.1", ""]
    differing = [attributes for tag, attributes in page.tags if tag == "tr" and attributes]
    assert differing == [{"class": "differs"}]


def test_errors_of_confidence_are_shown_where_they_are_known(tmp_path, one):
    calibration = {
        "ece_raw": 0.12,
        "ece_calibrated": 0.02,
        "regions": {"HMA": {"ece_raw": 0.2, "ece_calibrated": 0.03}, "SC": {"ece_raw": 0.1}},
    }
    calibrated = write_run(tmp_path / "runs/calibrated", calibration=calibration)
    header, *rows = report(calibrated).tables["Regions"]
    assert header[-2:] == ["ECE raw", "ECE calibrated"]
    assert [row[-2:] for row in rows[:3]] == [["", ""], ["0.200", "0.030"], ["0.100", ""]]
    page = report(one, calibrated)
    assert ["ECE raw", "", "0.120"] in page.tables["table 0"]
    assert "ECE raw" not in report(one).tables["Regions"][0]


def test_samples_come_with_the_worst_tile_of_any_run_first(one, other):
    for folder, tile in ((one, "sc_1"), (one, "hma_1"), (other, "sc_2"), (other, "sc_1")):
        add_sample(folder, tile)
    add_sample(one, "an_1")
    add_sample(one, "of_an_earlier_test")
    page = report(one, other)
    pictures = [attributes["alt"] for tag, attributes in page.tags if tag == "img"]
    assert [text.split("errors of ")[1] for text in pictures] == [
        *("hma_1, one", "sc_2, other", "sc_1, one", "sc_1, other", "an_1, one")
    ]
    assert "no glacier" in page.text


def test_the_page_needs_no_network(one):
    add_sample(one, "sc_1")
    tags = report(one).tags
    assert not [tag for tag, _ in tags if tag in ("link", "iframe", "object", "embed", "base")]
    for tag, attributes in tags:
        assert "href" not in attributes
        assert "srcset" not in attributes
        if "src" in attributes:
            assert tag == "img"
            assert attributes["src"].startswith("data:image/")
    text = Path("report.html").read_text()
    assert "http:" not in text
    assert "https:" not in text
    assert "@import" not in text


def test_names_from_files_are_text_and_never_markup(tmp_path):
    tiles = [(EVIL_TILE, EVIL, EVIL, 1, 1, 1, 1), ("b", "SC", "", 1, 0, 0, 1)]
    options = {EVIL: EVIL}
    folder = write_run(tmp_path / "<u>run", tiles, options=options, checkpoint=EVIL, date=EVIL)
    add_sample(folder, EVIL_TILE)
    (folder / "config.yaml").write_text(f"</pre>{EVIL}</script>")
    page = report(folder)
    assert len([tag for tag, _ in page.tags if tag == "script"]) == 1
    assert len([tag for tag, _ in page.tags if tag == "img"]) == 1
    assert not [tag for tag, attributes in page.tags if tag == "u" or "onerror" in attributes]
    assert any(EVIL_TILE in row for row in page.tables["Tiles"])
    assert page.text.count(EVIL) >= 6
    assert f"</pre>{EVIL}</script>" in page.text


def test_the_config_of_the_run_is_in_the_page(one):
    (one / "config.yaml").write_text("seed_everything: 7\n")
    assert "seed_everything: 7" in report(one).text


@pytest.mark.filterwarnings("error")
def test_a_test_of_regions_alone_has_neither_tiles_nor_subregions(tmp_path, one):
    alone = write_run(tmp_path / "runs/alone", subregions=[], tiles=[])
    page = report(alone)
    assert "Tiles" not in page.tables
    assert len([tag for tag, _ in page.tags if tag in ("rect", "circle")]) == 2
    tiles = report(alone, one).tables["Tiles"][1:]
    assert len(tiles) == 4
    assert {row[3] for row in tiles} == {"one"}


def test_runs_of_the_same_name_are_told_apart_by_their_folders(tmp_path):
    folders = [write_run(tmp_path / name / "version_0") for name in ("global", "regional")]
    assert report(*folders).tables["IoU"][0] == ["region", "global/version_0", "regional/version_0"]


def test_the_command_explains_itself(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["report", "--help"])
    assert ended.value.code == 0
    assert "opens without a network" in " ".join(capsys.readouterr().out.split())


class TestErrors:
    def check(self, capsys, arguments, *expected):
        assert main(["report", *map(str, arguments), "--output", "out.html"]) == 1
        error = capsys.readouterr().err
        assert error.startswith("glavitu: error: ")
        for text in expected:
            assert text in error
        assert not list(Path().glob("*out.html"))

    def test_no_folder(self, capsys):
        self.check(capsys, ["missing"], "missing: no such folder")

    def test_a_folder_without_a_report(self, capsys, tmp_path):
        self.check(capsys, [tmp_path], "report.json is missing", "glavitu test --checkpoint")

    @pytest.mark.parametrize("text", ["{", "\xff", "[]", "{}", '{"regions": []}'])
    def test_a_report_that_is_none(self, capsys, one, text):
        (one / "report.json").write_text(text, encoding="latin-1")
        self.check(capsys, [one], "report.json", "glavitu test")

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({"regions": {"SC": 1}}, "regions is not a list"),
            ({"regions": [{"iou": 1}]}, "has no region"),
            ({"regions": [{"region": "SC", "iou": "good"}]}, "iou is not a number"),
            ({"regions": [{"region": "SC"}] * 2}, "a region twice"),
            ({"options": [1]}, "options is not an object"),
            ({"calibration": {"regions": {"SC": 1}}}, "calibration.regions.SC is not an object"),
        ],
    )
    def test_a_report_that_is_not_as_it_should_be(self, capsys, tmp_path, change, expected):
        self.check(capsys, [write_run(tmp_path / "run", **change)], "report.json", expected)

    def test_a_run_given_twice(self, capsys, one):
        self.check(capsys, [one, one / ".." / "one"], "given twice")

    def test_a_damaged_figure(self, capsys, one):
        (one / "report.png").write_bytes(b"no picture")
        self.check(capsys, [one], "report.png", "cannot be read as a picture")

    def test_a_damaged_sample(self, capsys, one):
        add_sample(one, "sc_1")
        (one / "samples/sc_1.png").write_bytes(b"no picture")
        self.check(capsys, [one], "sc_1.png", "cannot be read as a picture")


#: Notes what goes wrong, before the page's own script runs.
WATCH = """<script>
window.faults = [];
window.addEventListener("error", (event) => faults.push(String(event.message)), true);
window.addEventListener("securitypolicyviolation", (event) => faults.push(event.blockedURI));
for (const name of ["error", "warn"]) console[name] = (...words) => faults.push(words.join(" "));
</script>"""

#: Clicks on headers, and leaves what it saw in the document.
CLICK = """<script>
window.addEventListener("load", () => {
  for (const folded of document.querySelectorAll("details")) folded.open = true;
  const tables = [...document.querySelectorAll("table.sortable")];
  const table = tables.find((one) => one.caption.textContent === "Tiles");
  const headers = [...table.tHead.rows[0].cells];
  const seen = {};
  for (const name of ["tile", "IoU", "pixels"]) {
    const column = headers.findIndex((cell) => cell.textContent === name);
    seen[name] = [0, 1].map(() => {
      const button = headers[column].querySelector("button");
      button.focus();
      document.activeElement.click();
      return {
        cells: [...table.tBodies[0].rows].map((row) => row.cells[column].textContent),
        sorts: headers.map((cell) => cell.getAttribute("aria-sort")).filter(Boolean),
        own: headers[column].getAttribute("aria-sort"),
      };
    });
  }
  const result = {
    faults,
    seen,
    fetched: performance.getEntriesByType("resource").map((entry) => entry.name),
    pictures: [...document.images].map((image) => image.naturalWidth),
    plot: document.querySelector("svg.plot").getBoundingClientRect().width,
    foot: [...tables[0].tFoot.rows].map((row) => row.cells[0].textContent),
  };
  const place = document.createElement("pre");
  place.id = "result";
  place.textContent = JSON.stringify(result);
  document.body.append(place);
});
</script>"""


def in_browser(path: Path) -> dict:
    """Open a page in headless Chromium, click, and return what was seen."""
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    if browser is None:
        pytest.skip(f"none of {', '.join(names)} is installed")
    text = path.read_text().replace("<head>", f"<head>{WATCH}")
    copy = path.with_name("watched.html")
    copy.write_text(text.replace("</body>", f"{CLICK}</body>"))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    options += [f"--user-data-dir={path.parent / 'browser'}", copy.as_uri()]
    done = subprocess.run([browser, *options], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (start, end) = ('<pre id="result">', "</pre>")
    assert start in done.stdout, done.stderr
    shown = Page("<table><tr><td>" + done.stdout.split(start)[1].split(end)[0])
    return json.loads(shown.text)


@pytest.fixture
def seen(tmp_path) -> dict:
    tiles = [
        *(("t10", "SC", "", 9, 1, 0, 990), ("t9", "SC", "", 5, 2, 3, 5)),
        *(("none", "AN", "", 0, 0, 0, 50), ("t1", "HMA", "", 0, 1, 1, 100)),
    ]
    run = write_run(tmp_path / "run", tiles)
    add_sample(run, "t10")
    report(run, output=tmp_path / "report.html")
    return in_browser(tmp_path / "report.html")


def test_the_page_opens_in_a_browser_and_its_headers_sort(seen):
    assert seen["faults"] == []
    assert [name for name in seen["fetched"] if not name.startswith("data:")] == []
    assert seen["pictures"] == [60]
    assert seen["plot"] > 100
    up, down = seen["seen"]["IoU"]
    assert up["cells"] == ["0.000", "0.500", "0.900", ""]
    assert down["cells"] == ["0.900", "0.500", "0.000", ""]
    assert (up["own"], down["own"]) == ("ascending", "descending")
    # Numbers as numbers, in text too; and one column is sorted at a time.
    assert seen["seen"]["pixels"][0]["cells"] == ["15", "50", "102", "1,000"]
    assert seen["seen"]["tile"][0]["cells"] == ["none", "t1", "t9", "t10"]
    assert seen["seen"]["tile"][1]["cells"] == ["t10", "t9", "t1", "none"]
    assert all(len(one["sorts"]) == 1 for both in seen["seen"].values() for one in both)
    assert seen["foot"] == ["mean", "standard deviation"]
