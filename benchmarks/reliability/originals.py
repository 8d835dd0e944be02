"""The valid files that hostile ones are made of."""

import contextlib
import io
import json
import os
import traceback
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import yaml

from glavitu import cli
from glavitu.datasets.synthetic import SyntheticGlaciers

#: Options of a training of a second.
SHORT = (
    *("--model.model_args", json.dumps({"width": 2, "depth": 1, "heads": 1})),
    *("--data.patch_size", "32", "--data.batch_size", "2", "--data.steps_per_epoch", "2"),
    *("--trainer.max_epochs", "1", "--trainer.accelerator", "cpu"),
    *("--trainer.enable_progress_bar", "false"),
)


@dataclass(frozen=True)
class Originals:
    """A small world in both forms, a run trained on it, its test, a map.

    Attributes:
        root: Folder of all.
    """

    root: Path

    @classmethod
    def make(cls, root: Path) -> "Originals":
        """Make all files, in a child, for threads that commands start are lost by forking."""
        child = os.fork()
        if child == 0:
            status = 1
            try:
                cls(root)._write()
                status = 0
            except Exception:
                traceback.print_exc()
            finally:
                os._exit(status)
        if os.waitpid(child, 0)[1]:
            raise SystemExit("the valid files could not be made")
        return cls(root)

    def _write(self) -> None:
        root = self.root
        world = SyntheticGlaciers(("SC", "HMA"), tiles=(1, 1, 1), size=48, seed=0)
        world.write_geotiffs(root / "world", progress=False)
        world.write_hdf5(root / "benchmark", progress=False)
        logger = ["--trainer.logger.init_args.save_dir", str(root / "runs")]
        _run("fit", *SHORT, *logger, "--data.root", str(self.world))
        _run("test", *self.test, *logger, "--data.root", str(self.world))
        _run("map", *self.map, "--output", str(root / "map"))
        _run("convert", str(self.benchmark), str(root / "converted"))
        assert self.keras.is_file()

    @property
    def world(self) -> Path:
        """Folder of tiles in GeoTIFFs."""
        return self.root / "world"

    @property
    def benchmark(self) -> Path:
        """Folder of HDF5 files."""
        return self.root / "benchmark"

    @property
    def tile(self) -> Path:
        """Folder of a tile in GeoTIFFs."""
        return self.world / "test" / "HMA_test_000"

    @property
    def run(self) -> Path:
        """Folder of the training."""
        return self.root / "runs" / "glavitu" / "version_0"

    @property
    def tested(self) -> Path:
        """Folder of the test."""
        return self.root / "runs" / "glavitu" / "version_1"

    @property
    def checkpoint(self) -> Path:
        """The best checkpoint."""
        return self.run / "checkpoints" / "best_iou.ckpt"

    @property
    def test(self) -> list[str]:
        """Options of a test, but for the data."""
        options = ["--checkpoint", str(self.checkpoint), "--trainer.accelerator", "cpu"]
        return [*options, "--trainer.enable_progress_bar", "false"]

    @property
    def map(self) -> list[str]:
        """Options of a map, but for the output."""
        tile = self.tile
        rasters = ["--optical", str(tile / "optical.tif"), "--dem", str(tile / "dem.tif")]
        return ["--checkpoint", str(self.checkpoint), *rasters, "--device", "cpu"]

    @property
    def outlines(self) -> Path:
        """The tile's true outlines."""
        return self.tile / "outlines.gpkg"

    @cached_property
    def config(self) -> dict[str, object]:
        """The configuration of the run, ready to be run again."""
        config: dict[str, object] = yaml.safe_load((self.run / "config.yaml").read_text())
        return config

    @property
    def keras(self) -> Path:
        """A file as Keras writes the published weights."""
        path = self.root / "weights.h5"
        if path.is_file():
            return path
        from tests.models.keras_files import layout, write_weights

        return write_weights(path, layout("global_optical_dem"))

    def classes(self, folder: Path) -> np.ndarray:
        """Read the classes of a map."""
        import rasterio

        with rasterio.open(folder / "outlines.tif") as file:
            values: np.ndarray = file.read(1)
        return values


def _run(*arguments: str) -> None:
    """Run a command that has to succeed, without its output."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = cli.main(list(arguments))
    if status:
        raise SystemExit(said.getvalue())
