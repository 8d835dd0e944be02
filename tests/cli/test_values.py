"""`--scale` and `--nodata` say the same in every command that reads rasters."""

import numpy as np
import pytest

from glavitu.cli import main
from glavitu.cli.values import for_data, read_nodata
from glavitu.datamodules import GlacierDataModule
from glavitu.errors import InputError

from ..raster_files import write_raster


@pytest.fixture
def tile(tmp_path):
    rng = np.random.default_rng(0)
    numbers = np.round(rng.uniform(1200, 9000, (6, 64, 64))).astype(np.uint16)
    dem = (1000 + 100 * rng.random((64, 64))).astype(np.float32)
    dem[:8] = -9999
    write_raster(tmp_path / "tile/optical.tif", numbers, region="HMA")
    write_raster(tmp_path / "tile/dem.tif", dem)
    write_raster(tmp_path / "tile/outlines.tif", rng.integers(0, 2, (64, 64), dtype=np.uint8))
    return tmp_path


def test_info_lists_what_is_wrong_until_it_is_told(tile, capsys):
    assert main(["info", str(tile), "--check"]) == 1
    out = capsys.readouterr().out
    assert "optical.tif: tile tile: optical (blue) has values around" in out
    assert "--scale optical=0.0001,-0.1" in out
    assert "dem.tif: tile tile: dem (elevation) is -9999 in 12 % of its pixels" in out
    told = ["--scale", "optical=0.0001,-0.1", "--nodata", "dem=-9999"]
    assert main(["info", str(tile), "--check", *told]) == 0
    assert "no fault in 1 tile" in capsys.readouterr().out


def test_info_warns_of_a_sample(tile):
    with pytest.warns(UserWarning, match=r"optical \(blue\).*`glavitu info --check`"):
        assert main(["info", str(tile)]) == 0


def test_the_data_module_takes_them(tile):
    options = {"root": str(tile), "patch_size": 64, "batch_size": 1}
    options |= {f"{split}_bounds": [500_000, 3_098_080, 501_920, 3_100_000] for split in ("train",)}
    options |= {"val_bounds": options["train_bounds"], "test_bounds": options["train_bounds"]}
    with pytest.raises(InputError, match=r"--scale optical=0\.0001,-0\.1"):
        GlacierDataModule(**options).setup("fit")
    data = GlacierDataModule(**options, scales={"optical": [1e-4, -0.1]}, nodata={"dem": -9999.0})
    data.setup("test")
    assert not data.test_dataset.valid(0)[:8].any()
    assert data.test_dataset.valid(0)[8:].all()


def test_lightnings_commands_take_them(tile, capsys):
    given = ["fit", "--data.root", str(tile), "--print_config"]
    told = ["--scale", "optical=0.0001,-0.1", "--nodata=dem=-9999", "--slope-percent"]
    with pytest.raises(SystemExit):
        main([*given, *told])
    out = capsys.readouterr().out
    assert "slope_percent: true" in out
    assert "  scales:\n    optical:\n    - 0.0001\n    - -0.1\n" in out
    assert "dem: -9999" in out


def test_in_the_words_of_the_data():
    assert for_data(["fit", "--scale=a=2", "--x", "1"]) == [
        *("fit", "--x", "1"),
        '--data.scales={"a": [2.0, 0.0]}',
    ]
    assert read_nodata(["dem=none", "optical=0"]) == {"dem": None, "optical": 0.0}
    for wrong in ("dem", "=3", "dem=x"):
        with pytest.raises(InputError, match=r"--nodata .*expected GROUP=VALUE"):
            read_nodata([wrong])
