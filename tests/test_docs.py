"""README and docs/ are true: every fenced block of theirs is pasted, or it is said why not.

A block of commands is read by bash, in which every program is replaced by a function that writes
down how it was called; the calls are then made in this process. Data, weights and checkpoints are
small ones under the names that the docs use, and training is cut short by options after those of
the docs, which is said at `SHORT`: what a command means to do is tried, not how long it takes or
how well it scores. A command that is neither run nor listed in `NOT_RUN` with a reason fails.
"""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import geopandas
import numpy as np
import pytest
import rasterio
import yaml
from rasterio.transform import from_bounds, from_origin
from shapely.geometry import box

from glavitu.cli import main
from glavitu.datasets import SyntheticGlaciers
from glavitu.regions import REGIONS
from glavitu.synthetic.scenes import write_scenes

from .models.keras_files import layout, write_weights
from .raster_files import write_raster

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

#: What stands in the docs for a path of the reader's.
PLACEHOLDERS = {"/path/to/the/scene": "everest"}

#: What makes the worlds of Python blocks small.
SMALLER = {"size=256": "size=64"}

#: Programs that blocks call.
PROGRAMS = ("glavitu", "pip", "pytest", "python", "python3", "srun", "wandb")

#: Beginnings of commands that are not run, and why.
NOT_RUN = {
    "pip install": "installs packages; .ci/run does it in an environment of its own",
    "python3 -m venv": "makes an environment; .ci/run does it",
    "pytest": "runs this",
    "glavitu demo": "takes minutes; tests/cli/test_demo.py runs it",
    "wandb sweep": "asks W&B's server; tests/test_sweeps.py runs what an agent would",
}

#: Untagged blocks, and how they begin.
PICTURES = {"my_data/\n": "a tree of folders, which is no command"}

TINY = {"width": 8, "depth": 1, "heads": 2}
SMALL = ("--data.patch_size=32", "--data.batch_size=2", "--data.steps_per_epoch=1")
LOCAL = ("--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false")

#: Options after those of the docs: a small model, one step, and one process where more are asked.
SHORT = (
    *(*SMALL, *LOCAL, "--trainer.fast_dev_run=1", "--data.num_workers=0"),
    *("--trainer.strategy=auto", "--trainer.devices=1", "--trainer.num_nodes=1"),
    *("--trainer.precision=32-true", "--trainer.sync_batchnorm=false", "--model.compile=false"),
)


class Block(NamedTuple):
    """A fenced block."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text()
        for found in re.finditer(r"^( *)```(\w*)\n(.*?)^\1```$", text, re.DOTALL | re.MULTILINE):
            yield Block(page, text.count("\n", 0, found.start()) + 1, found[2], found[3])
        if page.name == "README.md":  # its table of commands
            rows = re.finditer(r"^\| [^|`]+ \| (.*`glavitu .*) \|$", text, re.MULTILINE)
            for row in rows:
                commands = "\n".join(re.findall(r"`(glavitu [^`]+)`", row[1]))
                yield Block(page, text.count("\n", 0, row.start()) + 1, "sh", commands + "\n")


BLOCKS = tuple(blocks())


def of(*languages: str) -> "pytest.MarkDecorator":
    chosen = [block for block in BLOCKS if block.language in languages]
    return pytest.mark.parametrize("block", chosen, ids=str)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A folder with everything that the docs name, made once."""
    folder = tmp_path_factory.mktemp("docs")
    for name in ("configs", "sweeps"):
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_data(folder)
        write_checkpoints(folder)
    return folder


def write_data(folder: Path) -> None:
    """Write tiles of one's own, the benchmark, a scene and a stand-in for Everest."""
    world = SyntheticGlaciers(("SC", "HMA"), tiles=(2, 1, 1), size=64, seed=0)
    world.write_geotiffs(folder / "my_data", progress=False)
    for optical in (folder / "my_data").glob("*/*/optical.tif"):
        with rasterio.open(optical) as file:
            velocity = np.full((2, *file.shape), 20, np.float32)
            write_raster(optical.with_name("velocity.tif"), velocity, file.crs, file.transform)
    every = SyntheticGlaciers(REGIONS, tiles=(1, 1, 1), size=64, seed=0)
    every.write_hdf5(folder / "BENCHMARK", progress=False)
    manifest = write_scenes(world, folder / "scenes", progress=False)
    first, *_, last = (line.split(",")[0] for line in manifest.read_text().splitlines()[1:])
    for name, scene in (("oetztal_2003", first), ("oetztal_2022", last)):
        (folder / name).symlink_to(folder / "scenes" / scene)
    (folder / "scenes.csv").write_text(next(b.text for b in BLOCKS if b.language == "csv"))
    tile = folder / "scenes" / first
    with rasterio.open(tile / "optical.tif") as file:
        stored = np.round(file.read() * 10_000).clip(0, 65535).astype(np.uint16)
        write_raster(folder / "s2_stored.tif", stored, file.crs, file.transform)
    for name in ("s2", "dem", "dem_n27", "dem_n28"):
        shutil.copy(tile / f"{'optical' if name == 's2' else 'dem'}.tif", folder / f"{name}.tif")
    for name in ("range", "reference", "expert_a", "expert_b"):
        shutil.copy(tile / "outlines.gpkg", folder / f"{name}.gpkg")
    write_everest(folder / "everest")
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "activate").touch()


def write_everest(folder: Path) -> None:
    """Write a scene of 300 m pixels where the real one lies, with its names."""
    west, south, east, north = 478_000, 3_088_490, 502_000, 3_108_140
    transform = from_origin(west, north, 300, 300)
    values = np.random.default_rng(0).integers(0, 256, (3, 66, 80), dtype=np.uint8)
    name = re.search(r"\w+_RGB\.tif", (ROOT / "docs" / "results.md").read_text())
    assert name is not None
    write_raster(folder / name[0], values, "EPSG:32645", transform)
    outlines = geopandas.GeoSeries([box(west, south, east, 3_098_000)], crs=32645)
    outlines.to_file(folder / "rgi_glacier_outlines.gpkg")
    assert from_bounds(west, south, east, north, 80, 66).a == 300


def write_checkpoints(folder: Path) -> None:
    """Train where the docs have runs, and copy checkpoints to where the docs have them."""
    write_weights(folder / "WEIGHTS.h5", layout("global_optical_dem"))
    (folder / "glavitu_global_optical_dem_weights.h5").symlink_to(folder / "WEIGHTS.h5")
    tiny = (f"--model.model_args={json.dumps(TINY)}", *SMALL, *LOCAL, "--trainer.max_epochs=1")
    assert main(["fit", "--data.root", "my_data", *tiny]) == 0
    configs = [f"--config={ROOT / 'configs' / name}.yaml" for name in ("everest", "few_tiles")]
    everest = [*configs, "--data.root", "everest", "--trainer.check_val_every_n_epoch=1"]
    assert main(["fit", *everest, *tiny]) == 0
    best = folder / "runs" / "glavitu" / "version_0" / "checkpoints" / "best_iou.ckpt"
    for name in ("best_iou", "global", "glavitu_global"):
        shutil.copy(best, folder / f"{name}.ckpt")
    assert main(["test", "--checkpoint", str(best), "--data.root", "my_data", *LOCAL]) == 0
    (folder / "runs" / "glavitu" / "version_1").rename(folder / "RUN")


@pytest.fixture
def place(prepared, tmp_path, monkeypatch) -> Path:
    """The prepared folder, the block's own; what commands change in place is copied."""
    for path in prepared.iterdir():
        changed = path.suffix == ".ckpt" or path.name in ("runs", "RUN", ".venv")
        if not changed:
            (tmp_path / path.name).symlink_to(path)
        elif path.is_dir():
            shutil.copytree(path, tmp_path / path.name)
        else:
            shutil.copy(path, tmp_path / path.name)
    monkeypatch.setenv("GLAVITU_EVEREST", "everest")
    return tmp_path


def calls_of(script: str, folder: Path) -> list[list[str]]:
    """Let bash read a script, and return the calls of programs in it."""
    for written, meant in PLACEHOLDERS.items():
        script = script.replace(written, meant)
    record = 'printf "%s\\0" "$#" "$@" >> calls'
    stubs = "".join(f'{name}() {{ set -- {name} "$@"; {record}; }}\n' for name in PROGRAMS)
    bash = shutil.which("bash")
    assert bash is not None
    # Without a path, so that no other program is found, and none runs unheard of.
    done = subprocess.run(
        [bash, "-eu", "-c", stubs + script],
        cwd=folder,
        env=os.environ | {"PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    words = iter((folder / "calls").read_text().split("\0")[:-1])
    return [[next(words) for _ in range(int(count))] for count in words]


def shortened(arguments: list[str]) -> list[str]:
    """Add what makes a command of ours small."""
    if arguments[0] != "fit":
        return [*arguments, *(LOCAL if arguments[0] in ("validate", "test", "predict") else ())]
    if "--checkpoint" in arguments:  # goes on with a run that is small
        return [*arguments, "--trainer.max_epochs=2"]
    baseline = "unet" in arguments
    model = {"encoder": "resnet18", "width": 8} if baseline else TINY
    return [*arguments, *SHORT, f"--model.model_args={json.dumps(model)}"]


def call(program: str, *arguments: str, monkeypatch, capsys) -> None:
    """Make a call, or pass it over for a reason that is written down."""
    line = " ".join((program, *arguments))
    if any(f"{line} ".startswith(f"{beginning} ") for beginning in NOT_RUN):
        return
    if program == "srun":
        call(*arguments, monkeypatch=monkeypatch, capsys=capsys)
    elif program == "python" and arguments[0] == "-m" and arguments[1].startswith("benchmarks."):
        explain_benchmark(*arguments[1:], monkeypatch=monkeypatch, capsys=capsys)
    elif program == "glavitu":
        capsys.readouterr()
        try:
            status = main(shortened(list(arguments)))
        except SystemExit as ended:  # of jsonargparse
            status = ended.code
        assert status == 0, f"{line}\n{capsys.readouterr().err}"
    else:
        pytest.fail(f"{line}: is neither run nor listed with a reason in NOT_RUN")


def explain_benchmark(module: str, *arguments: str, monkeypatch, capsys) -> None:
    """Measuring takes minutes to hours: see that the module knows its command and options."""
    if not (ROOT / "benchmarks").exists():
        pytest.skip("benchmarks/ is not beside tests/")
    monkeypatch.setattr(sys, "argv", [module, *arguments, "--help"])
    monkeypatch.syspath_prepend(ROOT)
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / module.replace(".", "/")) + ".py", run_name="__main__")
    assert ended.value.code == 0, capsys.readouterr().err
    explained = capsys.readouterr().out
    for option in (word for word in arguments if word.startswith("--")):
        assert option in explained, f"{module} has no {option}"


def compared(place: Path) -> None:
    """Outlines to compare, as a map leaves them."""
    (place / "out").mkdir()
    shutil.copy(place / "reference.gpkg", place / "out" / "outlines.gpkg")


#: What blocks need beside the prepared folder, where a block before them would have made it.
BEFORE: dict[str, Callable[[Path], None]] = {"glavitu compare": compared}


@pytest.mark.slow
@of("sh")
def test_commands_run(block, place, monkeypatch, capsys):
    for beginning, prepare in BEFORE.items():
        if block.text.startswith(beginning):
            prepare(place)
    calls = calls_of(block.text, place)
    assert calls
    for words in calls:
        call(*words, monkeypatch=monkeypatch, capsys=capsys)


@pytest.mark.slow
@of("python")
def test_python_runs(block, place):
    if "0.0001" in block.text:  # the scale of integers
        (place / "s2.tif").unlink()
        (place / "s2.tif").symlink_to(place / "s2_stored.tif")
    text = block.text
    for written, smaller in SMALLER.items():
        text = text.replace(written, smaller)
    exec(compile(text, str(block), "exec"), {"__name__": "__main__"})


@pytest.mark.slow
@of("yaml")
def test_configurations_train(block, place):
    (place / "own.yaml").write_text(block.text)
    short = list(SHORT)
    if "model" not in yaml.safe_load(block.text):
        short += [f"--model.model_args={json.dumps(TINY)}"]
    assert main(["fit", "--config", "own.yaml", "--data.root", "my_data", *short]) == 0


@pytest.mark.slow
@of("csv")
def test_the_manifest_is_the_one_that_commands_read(block, prepared):
    assert (prepared / "scenes.csv").read_text() == block.text


def test_every_block_is_of_a_kind_that_is_tried():
    tried = {"sh", "python", "yaml", "csv"}
    others = [block for block in BLOCKS if block.language not in tried]
    unknown = [str(b) for b in others if not any(b.text.startswith(start) for start in PICTURES)]
    assert unknown == []
    assert {b.page.name for b in BLOCKS} >= {"README.md", "data.md", "training.md", "mapping.md"}
    assert all(reason for reason in (*NOT_RUN.values(), *PICTURES.values()))
