"""What docs/security.md says, sentence by sentence."""

import json
import os
import pickle
import re
import socket
import subprocess
import sys
import zipfile
from contextlib import suppress
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
import torch
from PIL import Image

from glavitu import GlaViTUTask
from glavitu.cli import main
from glavitu.errors import InputError
from glavitu.files.strangers import OUTSIDE, check_opened
from glavitu.mapping.map_folder import open_map
from glavitu.outlines.read_polygons import read_polygons
from glavitu.rasters.raster_file import OpenFiles

from .raster_files import write_raster
from .test_report import write_run

ROOT = Path(__file__).parents[1]
OLD = ROOT / "tests" / "tasks" / "written_by_0_1" / "best_iou.ckpt"


@pytest.fixture
def secret(tmp_path):
    """A file outside of what a stranger's file may reach, with numbers that would be read."""
    path = tmp_path / "elsewhere" / "secret.bin"
    path.parent.mkdir()
    path.write_bytes(b"root:x:0:0:root:" * 1000)
    return path


def fails(arguments, capsys):
    """Run a command that has to fail with an error of one line, which is returned."""
    assert main(arguments) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("glavitu: error: ")
    return lines[-1]


class Evil:
    """Makes a file when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("pwned",)


def test_a_checkpoint_runs_no_code(tmp_path, capsys):
    stored = torch.load(OLD, weights_only=True)
    torch.save(stored | {"more": Evil()}, "evil.ckpt")
    assert "cannot be read as a checkpoint" in fails(["map", *map_options("evil.ckpt")], capsys)
    Path("plain.ckpt").write_bytes(pickle.dumps(Evil()))
    assert "plain.ckpt" in fails(["map", *map_options("plain.ckpt")], capsys)
    assert not Path("pwned").exists()


def map_options(checkpoint):
    return ["--checkpoint", checkpoint, "--optical", "o.tif", "--dem", "d.tif", "--output", "out"]


def test_pickles_are_not_allowed_by_an_option(capsys):
    options = ["--checkpoint", str(OLD), "--weights_only", "false", "--data.root", "."]
    assert "never unpickled" in fails(["test", *options], capsys)


def test_a_checkpoint_chooses_no_class_of_others(capsys):
    stored = torch.load(OLD, weights_only=True)
    stored["hyper_parameters"]["model"] = "os.system"
    torch.save(stored, "evil.ckpt")
    assert "evil.ckpt" in fails(["map", *map_options("evil.ckpt")], capsys)


def test_a_checkpoint_names_no_code(tmp_path, capsys, monkeypatch):
    """The command line once imported what a checkpoint gave as the class of its loss."""
    (tmp_path / "of_a_stranger.py").write_text("open('pwned', 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    stored = torch.load(OLD, weights_only=True)
    for loss in ({"class_path": "of_a_stranger.Loss"}, "of_a_stranger.Loss"):
        stored["hyper_parameters"]["loss"] = loss
        torch.save(stored, "evil.ckpt")
        assert main(["test", "--checkpoint", "evil.ckpt", "--data.root", "nowhere"]) == 1
        assert not Path("pwned").exists()
    stored["hyper_parameters"]["model"] = "glavitu.tasks.glavitu.GlaViTUTask"  # opens files
    torch.save(stored, "evil.ckpt")
    assert "evil.ckpt" in fails(["map", *map_options("evil.ckpt")], capsys)


SMP = "segmentation_models_pytorch."


@pytest.mark.parametrize(
    ("model", "arguments"),
    [
        ("unet", {"encoder": "tu-hf_hub:timm/resnet18.a1_in1k"}),
        ("unet", {"encoder": "tu-local-dir:elsewhere"}),
        (SMP + "Unet", {"encoder_name": "tu-hf-hub:timm/resnet18.a1_in1k"}),
        (SMP + "Unet", {"encoder_name": "tu-resnet18", "checkpoint_path": "secret.bin"}),
        (SMP + "encoders.timm_universal.TimmUniversalEncoder", {"name": "x", "pretrained": True}),
        (SMP + "DPT", {"pretrained_cfg": {"url": "x"}}),
    ],
)
def test_a_model_of_a_checkpoint_is_built_of_nothing_else(model, arguments, capsys):
    """timm would ask its hub, even for an encoder that is not trained."""
    stored = torch.load(OLD, weights_only=True)
    stored["hyper_parameters"] |= {"model": model, "model_args": arguments}
    torch.save(stored, "evil.ckpt")
    assert "names a file or an address" in fails(["map", *map_options("evil.ckpt")], capsys)


@pytest.mark.parametrize("key", ["initial_weights", "inference", "encoder_weights"])
def test_a_checkpoint_opens_no_other_file(key, secret):
    stored = torch.load(OLD, weights_only=True)
    options = stored["hyper_parameters"]
    if key == "encoder_weights":
        options |= {"model": "unet", "model_args": {key: str(secret)}}
    else:
        options[key] = str(secret)
    torch.save(stored, "evil.ckpt")
    opened = []
    sys.addaudithook(lambda event, args: opened.append(args[0]) if event == "open" else None)
    with suppress(InputError):  # of weights that are none of that model
        GlaViTUTask.from_checkpoint("evil.ckpt")
    assert "evil.ckpt" in map(str, opened)
    assert str(secret) not in map(str, opened)


@pytest.mark.parametrize(
    "options",
    [{"width": 10**9}, {"depth": 10**9}, {"width": 4}, {"heads": 10**8}],
    ids=str,
)
def test_a_small_checkpoint_takes_no_large_memory(options, capsys):
    stored = torch.load(OLD, weights_only=True)
    stored["hyper_parameters"]["model_args"] |= options
    torch.save(stored, "evil.ckpt")
    assert "evil.ckpt" in fails(["map", *map_options("evil.ckpt")], capsys)


def test_a_tensor_that_declares_more_than_it_stores_is_refused(capsys):
    stored = torch.load(OLD, weights_only=True)
    stored["state_dict"]["model.output.bias"] = torch.zeros(1).expand(10**12)
    torch.save(stored, "evil.ckpt")
    assert "fewer values stored" in fails(["map", *map_options("evil.ckpt")], capsys)


def test_a_compressed_checkpoint_is_refused(capsys):
    with (
        zipfile.ZipFile(OLD) as old,
        zipfile.ZipFile("evil.ckpt", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert "compressed" in fails(["map", *map_options("evil.ckpt")], capsys)


def external(tile, name, shape, secret):
    tile.create_dataset(name, shape, "u1", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])


def linked(tile, name, shape, secret):
    tile[name] = h5py.ExternalLink(str(secret), "/a")


def virtual(tile, name, shape, secret):
    layout = h5py.VirtualLayout(shape, "u1")
    layout[:] = h5py.VirtualSource(str(secret), "a", shape)
    tile.create_virtual_dataset(name, layout)


def huge(tile, name, shape, secret):
    tile.create_dataset(name, shape, "f4", chunks=(8, 8, 1))


@pytest.mark.parametrize("way", [external, linked, virtual, huge])
def test_hdf5_copies_nothing_of_other_files(way, secret, benchmark, tmp_path, capsys):
    """0.1 copied /etc/passwd into a GeoTIFF so."""
    path = tmp_path / "train.hdf5"
    path.write_bytes((benchmark / "train.hdf5").read_bytes())
    with h5py.File(path, "r+") as file:
        tile = next(iter(file.values()))
        shape = tile["thermal"].shape
        del tile["thermal"]
        way(tile, "thermal", shape, secret)
    assert str(path) in fails(["convert", str(path), "out"], capsys)
    assert not [p for p in Path("out").rglob("*.tif") if b"root:" in p.read_bytes()]
    assert main(["info", "--check", str(path)]) == 1
    assert "array thermal" in capsys.readouterr().out
    assert "thermal" in fails(["info", str(path)], capsys)


def vrt(path, source, relative=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        '<VRTDataset rasterXSize="8" rasterYSize="8"><SRS>EPSG:32645</SRS>'
        "<GeoTransform>500000, 30, 0, 3100000, 0, -30</GeoTransform>"
        '<VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f'<SourceFilename relativeToVRT="{relative}">{source}</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    return path


@pytest.fixture
def tile(tmp_path):
    return write_raster(tmp_path / "tiles" / "a.tif", np.ones((8, 8), np.uint8))


def test_a_vrt_reaches_its_own_folder_and_below(tile, tmp_path):
    files = OpenFiles()
    assert files.get(str(vrt(tile.parent / "beside.vrt", "a.tif", 1))).read(1).all()
    assert files.get(str(vrt(tmp_path / "above.vrt", "tiles/a.tif", 1))).read(1).all()
    assert files.get(str(vrt(tmp_path / "absolute.vrt", tile))).read(1).all()


@pytest.mark.parametrize("name", ["x.vrt", "x.tif"])
def test_a_vrt_reaches_nothing_else(tile, tmp_path, name, monkeypatch):
    inside = tmp_path / "mine"
    nested = vrt(inside / "nested.vrt", "../tiles/a.tif", 1)
    link = inside / "link.tif"
    link.symlink_to(tile)
    for source, relative in [
        (tile, 0),
        ("../tiles/a.tif", 1),
        (nested, 0),
        (link, 0),
        ("/vsicurl/https://127.0.0.1/x.tif", 0),
        (f"/vsisubfile/0_100,{tile}", 0),
        (f'HDF5:"{tile}"://a', 0),
    ]:
        path = str(vrt(inside / name, source, relative))
        with pytest.raises(InputError, match=OUTSIDE):
            OpenFiles().get(path)
    monkeypatch.setenv(OUTSIDE, "yes")
    assert OpenFiles().get(str(vrt(inside / name, tile))).read(1).all()


def test_services_and_polygons_that_reach_out_are_refused(tmp_path):
    service = tmp_path / "wms.tif"
    service.write_text("<GDAL_WMS><Service name='TMS'><ServerUrl>http://127.0.0.1/</ServerUrl>")
    with pytest.raises(InputError, match="services"):
        OpenFiles().get(str(service))
    polygons = tmp_path / "polygons.gpkg"
    polygons.write_text(
        '<OGRVRTDataSource><OGRVRTLayer name="a"><SrcDataSource>/etc/passwd</SrcDataSource>'
        "</OGRVRTLayer></OGRVRTDataSource>"
    )
    with pytest.raises(InputError, match="/etc/passwd"):
        read_polygons(polygons)
    with pytest.raises(InputError, match="XML in the place of a name"):
        OpenFiles().get("<VRTDataset></VRTDataset>")


OUT_OF_XML = {
    "gti": "<GDALTileIndexDataset><IndexDataset>{}</IndexDataset></GDALTileIndexDataset>",
    "mrf": "<MRF_META><CachedSource><Source>{}</Source></CachedSource>"
    '<Raster><Size x="8" y="8" c="1"/></Raster></MRF_META>',
    "stacta": '{{"stac_version": "1.0.0", "asset_templates": {{"a": {{"href": "{}"}}}}}}',
    "stacit": '{{"type": "FeatureCollection", "stac_version": "1.0.0", "features": [{{'
    '"assets": {{"a": {{"href": "{}"}}}}}}]}}',
    "gdalg": '{{"type": "gdal_streamed_alg", "command_line": "gdal vector edit {} out"}}',
}


@pytest.mark.parametrize("kind", OUT_OF_XML)
def test_tables_of_other_files_and_commands_are_refused(kind, tile, tmp_path):
    """GDAL read the tile by an MRF, and polygons by a command in JSON."""
    for name in (f"x.{kind}", "x.tif", "x.json", "x.gpkg"):
        (tmp_path / name).write_text(OUT_OF_XML[kind].format(tile))
        with pytest.raises(InputError, match=OUTSIDE):
            OpenFiles().get(str(tmp_path / name))
        if not name.endswith(".tif"):
            with pytest.raises(InputError, match=OUTSIDE):
                read_polygons(tmp_path / name)


@pytest.mark.parametrize(
    "crs",
    [
        '"type": "link", "properties": {"href": "http://127.0.0.1/x"}',
        '"properties": {"url": "http://127.0.0.1/x"}, "type": "\\u0075rl"',
    ],
)
def test_geojson_fetches_no_system(crs, tmp_path):
    """GDAL asked the address three times."""
    path = tmp_path / "x.json"
    path.write_text(
        '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"url": "x"},'
        '"geometry": {"type": "Polygon", "coordinates": [[[86, 27], [86, 28], [87, 28], [86, 27]]]'
        f'}}}}], "crs": {{{crs}}}}}'
    )
    with pytest.raises(InputError, match="would be fetched"):
        read_polygons(path)
    named = '"type": "name", "properties": {"name": "EPSG:4326"}'
    path.write_text(path.read_text().replace(crs, named))
    assert len(read_polygons(path)) == 1


def test_files_beside_a_label_are_in_its_folder(tile, tmp_path):
    """The data of an ERS, a PDS or an ISIS label lie in another file."""
    label = (
        "Object = IsisCube\n Object = Core\n ^Core = {}\n StartByte = 1\n"
        " Format = BandSequential\n Group = Dimensions\n Samples = 8\n Lines = 8\n Bands = 1\n"
        " End_Group\n Group = Pixels\n Type = UnsignedByte\n ByteOrder = Lsb\n End_Group\n"
        " End_Object\nEnd_Object\nEnd\n"
    )
    ers = (
        'DatasetHeader Begin\n DataFile = "{}"\n DataSetType = ERStorage\n DataType = Raster\n'
        " ByteOrder = LSBFirst\n CoordinateSpace Begin\n CoordinateType = EN\n"
        " CoordinateSpace End\n RasterInfo Begin\n CellType = Unsigned8BitInteger\n"
        " NrOfLines = 8\n NrOfCellsPerLine = 8\n NrOfBands = 1\n RasterInfo End\n"
        "DatasetHeader End\n"
    )
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, text in (("x.cub", label), ("x.ers", ers)):
        (folder / name).write_text(text.format(f"../tiles/{tile.name}"))
        with pytest.raises(InputError, match=OUTSIDE):
            OpenFiles().get(str(folder / name))


@pytest.mark.parametrize("beside", [True, False])
def test_overviews_are_in_its_folder(beside, tile, tmp_path):
    path = write_raster(tmp_path / "mine" / "a.tif", np.ones((64, 64), np.uint8))
    if beside:
        Path(f"{path}.aux.xml").write_text(
            f'<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{tile}</MDI>'
            "</Metadata></PAMDataset>"
        )
    else:
        with rasterio.open(path, "r+") as file:
            file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=str(tile))
    with pytest.raises(InputError, match=OUTSIDE):
        OpenFiles().get(str(path))


def test_the_format_of_polygons_is_what_gdal_opened(tile):
    with pytest.raises(InputError, match=r"names services or other files \(OGR_VRT\)"):
        check_opened(tile, "OGR_VRT", [])


def test_hdf5_that_gdal_reads_reaches_nothing_else(secret, tmp_path):
    path = tmp_path / "x.nc"
    with h5py.File(path, "w") as file:
        group = file.create_group("g")
        external(group, "a", (8, 8), secret)
    for name in (f'HDF5:"{path}"://g/a', str(path), f"NETCDF:{path}:a"):
        with pytest.raises(InputError, match="stored in other files"):
            OpenFiles().get(name)


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


def test_yaml_is_bounded_and_makes_no_objects(tmp_path, capsys):
    laughs = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{b}: &{b} [{','.join([f'*{a}'] * 10)}]\n"
        for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    for text, told in {
        laughs: "100,000 values",
        "data: &d\n  root: *d\n": "stands for what it is a part of",
        "data:\n  root: !!python/object/apply:os.mkdir [pwned]\n": "is no YAML",
        "data:\n  root: a\n  root: b\n": "'root' comes twice",
        "- 1\n": "is a list",
        "[" * 10_000: "deep",
        'data:\n  root: "a\\0b"\n': "NUL",
    }.items():
        Path("evil.yaml").write_text(text)
        assert told in fails(["fit", "--config", "evil.yaml"], capsys)
    Path("evil.yaml").write_bytes("data:\n  root: é\n".encode("latin-1"))
    assert "UTF-8" in fails(["fit", "--config", "evil.yaml"], capsys)
    assert not Path("pwned").exists()


@pytest.mark.parametrize("option", ["trainer.logger", "data.train_bounds", "data"])
@pytest.mark.parametrize("given", ["inline", "file"])
def test_yaml_in_options_and_in_files_that_they_name_is_bounded(option, given, capsys):
    """The error once had 58 MB."""
    levels = [f"{b}: &{b} [{','.join([f'*{a}'] * 10)}]" for a, b in pairwise("abcdefg")]
    laughs = "{a: &a [x,x,x,x,x,x,x,x,x,x], " + ", ".join(levels) + "}"
    Path("nested.yaml").write_text(laughs)
    value = laughs if given == "inline" else "nested.yaml"
    with pytest.raises(SystemExit) as end:
        sys.exit(main(["fit", "--data.root", "nowhere", f"--{option}", value]))
    assert end.value.code in (1, 2)
    told = capsys.readouterr().err
    assert len(told) < 5000
    assert "100,000 values" in told or given == "file"


@pytest.mark.parametrize("start", [["-m", "glavitu"], ["-m", "glavitu.__main__"]])
def test_no_module_is_imported_from_the_current_folder(tmp_path, start):
    for name in ("torch", "numpy", "rasterio", "lazy_loader", "h5py", "yaml", "multiprocessing"):
        (tmp_path / f"{name}.py").write_text(f"open('pwned_{name}', 'w')\n")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *start, "info", "."],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert "glavitu: error: .: holds neither" in done.stderr
    assert not list(tmp_path.glob("pwned*"))


def test_workers_do_not_look_there_either(tmp_path):
    (tmp_path / "pickle.py").write_text("open('pwned', 'w')\n")
    code = (
        "import sys; sys.argv = ['glavitu', 'configs']\n"
        "from glavitu.__main__ import main\n"
        "if __name__ == '__main__':\n"
        "    main()\n"
        "    import subprocess\n"
        "    subprocess.run([sys.executable, '-c', 'import pickle'], check=True)\n"
    )
    (tmp_path / "script").mkdir()
    (tmp_path / "script" / "run.py").write_text(code)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "script/run.py"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_of_a_module_that_is_run_do_not_look_there(method, tmp_path):
    """As `python -m glavitu` has the current folder in its path."""
    folder = tmp_path / "current"
    folder.mkdir()
    for name in ("torch", "json", "decimal"):
        (folder / f"{name}.py").write_text(f"open('pwned_{name}', 'w')\n")
    (tmp_path / "run.py").write_text(
        "import multiprocessing, os, runpy, sys\n"
        "import importlib\n"
        "if __name__ == '__main__':\n"
        "    sys.path[0], sys.argv = os.getcwd(), ['-m', 'configs']\n"
        "    try:\n"
        "        runpy.run_module('glavitu', run_name='__main__', alter_sys=True)\n"
        "    except SystemExit as end:\n"
        "        assert not end.code\n"
        f"    context = multiprocessing.get_context({method!r})\n"
        "    for name in ('torch', 'json', 'decimal'):\n"
        "        worker = context.Process(target=importlib.import_module, args=(name,))\n"
        "        worker.start()\n"
        "        worker.join()\n"
        "        assert not worker.exitcode\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(tmp_path / "run.py")]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not list(folder.glob("pwned*"))


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


def test_a_configuration_and_the_path_are_code(tmp_path, capsys):
    """So that nobody takes them for data."""
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "of_mine.py").write_text(
        "import os, torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self, name: str):\n"
        "        super().__init__()\n"
        "        os.mkdir(name)\n"
    )
    described = "{class_path: of_mine.Net, init_args: {name: called}}"
    (tmp_path / "mine.yaml").write_text(f"model: {{model: {described}}}\n")
    command = [sys.executable, "-m", "glavitu", "map", *map_options(str(OLD))]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path / 'path'}"}
    subprocess.run(
        [*command, "--model", "mine.yaml"], cwd=tmp_path, env=environment, capture_output=True
    )
    assert (tmp_path / "called").is_dir()
