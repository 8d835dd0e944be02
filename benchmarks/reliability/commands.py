"""Every command that writes, on inputs of a few seconds, and the folder in which it is tried."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.reliability.children import Child, Work
from benchmarks.reliability.contents import contents, leftovers, unreadable
from tests.models.keras_files import layout, write_weights

REGIONS = ("SC", "HMA")
QUIET = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
FIT = [
    *("fit", *QUIET, "--trainer.max_epochs", "3", "--trainer.log_every_n_steps", "1"),
    *("--model.model_args", json.dumps({"width": 8, "depth": 1, "heads": 2, "dropout": 0.1})),
    *("--data.patch_size", "32", "--data.batch_size", "2", "--data.steps_per_epoch", "3"),
    *("--model.lr", "0.01", "--model.cycle_epochs", "2", "--confidence_calibration.method"),
    *("temperature", "--trainer.enable_model_summary", "false"),
]


@dataclass(frozen=True)
class Command:
    """A command to be tried.

    Attributes:
        work: What it does in a folder that was prepared.
        prepare: What is put into the folder before; it is given that of the inputs.
        again: What is done after it was cut off, by default the same.
        results: Where its results are in the folder.
    """

    work: Work
    prepare: Callable[[Path, Path], None] = lambda inputs, folder: None
    again: Work | None = None
    results: str = "out"


def _main(*arguments: object) -> Work:
    def work() -> int:
        from glavitu.cli import main

        return main([str(argument) for argument in arguments])

    return work


def _world(inputs: Path) -> None:
    from glavitu.synthetic.world import SyntheticGlaciers

    SyntheticGlaciers(REGIONS, tiles=(2, 1, 1), size=64, seed=0).write_geotiffs("world", False)
    SyntheticGlaciers(REGIONS, tiles=(2, 1, 1), size=64, seed=0).write_hdf5("released", False)
    large = SyntheticGlaciers(("HMA",), tiles=(1, 1, 1), size=256, seed=1)
    large.write_geotiffs("scene", False)
    write_weights(Path("weights.h5"), layout("global_optical_dem"))


def _scenes() -> None:
    from glavitu.synthetic.scenes import write_scenes
    from glavitu.synthetic.world import SyntheticGlaciers

    world = SyntheticGlaciers(REGIONS, tiles=(1, 1, 1), size=64, seed=0)
    write_scenes(world, "out", progress=False)


def _synthetic(form: str) -> Work:
    def work() -> None:
        from glavitu.synthetic.world import SyntheticGlaciers

        world = SyntheticGlaciers(REGIONS, tiles=(1, 1, 1), size=64, seed=0)
        getattr(world, f"write_{form}")("out", progress=False)

    return work


def _go_on(fit: list[str]) -> Work:
    """Resume a training as the docs say, where it came so far; else begin it anew."""

    def work() -> int:
        run = Path("runs/glavitu/version_0")
        if (run / "checkpoints/last.ckpt").exists():
            return _main("fit", "--config", run / "config.yaml", "--checkpoint", "last")() or 0
        shutil.rmtree("runs", ignore_errors=True)
        return _main(*fit)() or 0

    return work


def make_inputs(inputs: Path) -> None:
    """Make what the commands read, by the commands themselves."""
    inputs.mkdir()
    scene = inputs / "scene/test/HMA_test_000"
    for work in (
        lambda: _world(inputs),
        _main(*FIT, "--data.root", inputs / "world"),
        _main("test", *QUIET, *_checkpoint(inputs), "--region_report.output", "tested"),
        _main("map", *_checkpoint(inputs)[:2], *_rasters(scene), "--output", "map"),
    ):
        ended = Child(work, inputs).ended()
        assert ended.status == 0, ended.said


def _checkpoint(inputs: Path) -> list[object]:
    best = inputs / "runs/glavitu/version_0/checkpoints/best_iou.ckpt"
    return ["--checkpoint", best, "--data.root", inputs / "world"]


def _rasters(scene: Path) -> list[object]:
    return ["--optical", scene / "optical.tif", "--elevation", scene / "dem.tif"]


def commands(inputs: Path) -> Mapping[str, Command]:
    """Return the commands by name, on the inputs of :func:`make_inputs`."""
    scene = inputs / "scene/test/HMA_test_000"
    fit = [*map(str, FIT), "--data.root", str(inputs / "world")]
    best = _checkpoint(inputs)

    def copy_checkpoint(inputs: Path, folder: Path) -> None:
        shutil.copy(str(best[1]), folder / "model.ckpt")

    return {
        "map": Command(_main("map", *best[:2], *_rasters(scene), "--output", "out")),
        "convert": Command(_main("convert", inputs / "released", "out")),
        "fit": Command(_main(*fit), again=_go_on(fit), results="runs"),
        "test": Command(_main("test", *QUIET, *best, "--region_report.output", "out")),
        "predict": Command(_main("predict", *QUIET, *best, "--prediction_writer.output", "out")),
        "calibrate": Command(
            _main(
                *("calibrate", "--checkpoint", "model.ckpt", *best[2:], "--output", "out"),
                *("--method", "temperature", "--device", "cpu"),
            ),
            copy_checkpoint,
        ),
        "report": Command(_main("report", inputs / "tested", "--output", "out/report.html")),
        "compare": Command(
            _main(
                *("compare", inputs / "map/outlines.gpkg", scene / "outlines.gpkg"),
                *("--output", "out"),
            )
        ),
        "import-keras": Command(
            _main(
                *("import-keras", inputs / "weights.h5", "--features", "optical", "dem"),
                *("--output", "out/model.ckpt"),
            )
        ),
        "write_geotiffs": Command(_synthetic("geotiffs")),
        "write_hdf5": Command(_synthetic("hdf5")),
        "write_scenes": Command(_scenes),
    }


@dataclass(frozen=True)
class Trial:
    """A place to try commands in, and what they give when nothing disturbs them.

    Attributes:
        place: A folder.
        commands: By name.
        expected: What the results of each say, see :func:`contents`.
        seconds: How long each takes.
        bytes: How much each writes in the end.
    """

    place: Path
    commands: Mapping[str, Command]
    expected: Mapping[str, Mapping[str, str]]
    seconds: Mapping[str, float]
    bytes: Mapping[str, int]

    def folder(self, name: str) -> Path:
        """Return a new prepared folder for a command."""
        folder = self.place / f"trial_{len(list(self.place.glob('trial_*')))}"
        folder.mkdir()
        self.commands[name].prepare(self.place / "inputs", folder)
        return folder

    def wrong_names(self, name: str, folder: Path) -> list[str]:
        """List what stands under a final name and is not whole, or not the right result."""
        found, expected = contents(folder), self.expected[name]
        wrong = unreadable(found)
        if name != "fit":  # in whose epochs checkpoints and metrics are others
            results = {k: v for k, v in found.items() if k.startswith("out/")}
            wrong += [f"{key}: is another" for key in results if results[key] != expected.get(key)]
        return wrong

    def wrong_in_the_end(self, name: str, folder: Path) -> list[str]:
        """List in what a finished command differs from one that nothing disturbed."""
        found, expected = _results(name, folder), self.expected[name]
        differing = [key for key in {*found, *expected} if found.get(key) != expected.get(key)]
        return [f"{key}: {found.get(key, 'is missing')}" for key in differing] + [
            f"{path}: was left" for path in leftovers(folder)
        ]


def _results(name: str, folder: Path) -> dict[str, str]:
    found = contents(folder)
    if name == "fit":  # a resumed run has another configuration
        return {key: said for key, said in found.items() if not key.endswith(".yaml")}
    return {key: said for key, said in found.items() if key.startswith(("out/", "model"))}


@contextmanager
def trial(names: list[str] | None = None) -> Iterator[Trial]:
    """Make inputs, and run each command undisturbed, twice: what differs then proves nothing.

    Args:
        names: The commands, by default all.
    """
    import glavitu.callbacks
    import glavitu.cli.calibrate
    import glavitu.cli.lightning
    import glavitu.compare
    import glavitu.inventory.convert
    import glavitu.mapping
    import glavitu.report
    import glavitu.synthetic.scenes  # noqa: F401

    with TemporaryDirectory(prefix="glavitu_reliability_") as place:
        inputs = Path(place, "inputs")
        make_inputs(inputs)
        known = commands(inputs)
        chosen = {name: known[name] for name in names or known}
        empty = Trial(Path(place), chosen, {}, {}, {})
        expected, seconds, sizes = {}, {}, {}
        for name, command in chosen.items():
            for turn in range(2):
                folder = empty.folder(name)
                before = _bytes(folder)
                ended = Child(command.work, folder).ended()
                assert ended.status == 0, f"{name}: {ended.said}"
                found = _results(name, folder)
                assert not unreadable(found), (name, unreadable(found))
                if turn:
                    other = [key for key in found if found[key] != expected[name].get(key)]
                    assert not other, f"{name} gives other {other} a second time"
                expected[name], seconds[name] = found, ended.seconds
                sizes[name] = _bytes(folder) - before
        yield Trial(Path(place), chosen, expected, seconds, sizes)


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
