"""From rasters as they come to outlines an inventory can take, on the command line."""

import json

import geopandas
import numpy as np
import pyogrio
import pytest
import rasterio
import torch
from rasterio.warp import Resampling, calculate_default_transform, reproject
from shapely.geometry import box

from glavitu.cli import main
from glavitu.confidence.calibration import Calibration
from glavitu.confidence.curves import fit_curve
from glavitu.datasets import SyntheticGlaciers
from glavitu.tasks import GlaViTUTask

SIZE = 96


@pytest.fixture(scope="module")
def tile():
    return SyntheticGlaciers(size=SIZE, seed=4).tile("test", "HMA", 0)


@pytest.fixture(scope="module")
def rasters(tile, tmp_path_factory):
    """Reflectance as integers in UTM; elevation in degrees, in two files that overlap."""
    folder = tmp_path_factory.mktemp("rasters")
    stored = np.round(tile.features["optical"] * 10_000 + 1000).clip(1, 65535).astype(np.uint16)
    profile = {"driver": "GTiff", "height": SIZE, "width": SIZE, "crs": tile.crs}
    profile["transform"] = tile.transform
    with rasterio.open(folder / "s2.tif", "w", count=6, dtype="uint16", nodata=0, **profile) as f:
        f.write(stored)
    elevation = tile.features["dem"][0]
    transform, width, height = calculate_default_transform(
        tile.crs, "EPSG:4326", SIZE, SIZE, *tile.bounds
    )
    degrees = np.full((height, width), np.nan, np.float32)
    reproject(
        elevation, degrees, src_transform=tile.transform, src_crs=tile.crs, dst_nodata=np.nan,
        dst_transform=transform, dst_crs="EPSG:4326", resampling=Resampling.bilinear,
    )  # fmt: skip
    for name, first, last in (("north", 0, 60), ("south", 40, height)):
        path = folder / "dem" / f"{name}.tif"
        path.parent.mkdir(exist_ok=True)
        with rasterio.open(
            path, "w", driver="GTiff", height=last - first, width=width, count=1, dtype="float32",
            crs="EPSG:4326", transform=transform @ transform.translation(0, first), nodata=np.nan,
        ) as file:  # fmt: skip
            file.write(degrees[first:last], 1)
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Make a small calibrated model with region encoding, whose map has both classes."""
    from lightning.pytorch import Trainer

    torch.manual_seed(0)
    task = GlaViTUTask(
        model_args={"width": 8, "depth": 1, "heads": 2}, location="region", image_size=32
    )
    bins = torch.full((1000,), 50)
    sure = (torch.arange(1000) + 0.5) / 1000 * bins
    task.calibration = Calibration(
        fit_curve("isotonic", bins, sure, (0.5 + 0.5 * sure / bins) * bins)
    )
    path = tmp_path_factory.mktemp("model") / "model.ckpt"
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.strategy.connect(task)
    trainer.save_checkpoint(path)
    return path


def run(rasters, checkpoint, output, *options):
    arguments = ["map", "--checkpoint", str(checkpoint), "--output", str(output)]
    arguments += ["--optical", str(rasters / "s2.tif"), "--dem", str(rasters / "dem")]
    arguments += ["--scale", "optical=0.0001,-0.1", "--device", "cpu", *options]
    return main(arguments)


def test_rasters_of_two_crs_become_an_inventory(rasters, checkpoint, tmp_path, tile, capsys):
    assert run(rasters, checkpoint, tmp_path / "out", "--region", "HMA", "--min-area", "0") == 0
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {
        *("outlines.tif", "confidence.tif", "outlines.gpkg", "confidence_bands.gpkg"),
        *("preview.png", "run.json"),
    }
    with rasterio.open(out / "outlines.tif") as file:
        classes = file.read(1)
        assert (file.crs.to_epsg(), file.transform) == (tile.crs, tile.transform)
    # Elevation in degrees reaches over all but the outermost pixels.
    assert (classes[2:-2, 2:-2] != 255).all()
    outlines = geopandas.read_file(out / "outlines.gpkg")
    assert len(outlines) > 0
    assert {"cenlon", "zmed_m", "slope_deg", "aspect_sec", "area_min_km2"} < set(outlines.columns)
    assert (outlines["area_min_km2"] <= outlines["area_km2"]).all()
    assert (outlines["area_km2"] <= outlines["area_max_km2"]).all()
    # Slope was computed from the warped elevation, and so was what the outlines tell.
    inside = tile.features["dem"][0][classes == 1]
    mean = (outlines["zmean_m"] * outlines["area_km2"]).sum() / outlines["area_km2"].sum()
    assert mean == pytest.approx(inside.mean(), abs=3)
    told = json.loads((out / "run.json").read_text())
    assert told["options"]["scales"] == {"optical": [0.0001, -0.1]}
    assert told["checkpoints"][0]["name"] == "model.ckpt"
    assert [item["group"] for item in told["inputs"]] == ["optical", "dem", "dem"]
    printed = capsys.readouterr().out
    assert "confidence_bands.gpkg" in printed


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["shp", "geojson", "parquet"])
def test_other_formats(rasters, checkpoint, tmp_path, suffix):
    assert run(rasters, checkpoint, tmp_path / "out", "--format", suffix) == 0
    path = tmp_path / "out" / f"outlines.{suffix}"
    read = geopandas.read_parquet if suffix == "parquet" else pyogrio.read_dataframe
    assert len(read(path)) > 0
    assert not list((tmp_path / "out").glob("*.gpkg"))
    assert run(rasters, checkpoint, tmp_path / "out", "--overwrite") == 0
    # Nothing of the other map stays.
    assert not list((tmp_path / "out").glob(f"*.{suffix}"))
    assert not list((tmp_path / "out").glob("*.dbf"))


def test_an_area_on_pixels_of_its_own(rasters, checkpoint, tmp_path, tile):
    west, south, _, _ = tile.bounds
    area = box(west + 600, south + 600, west + 1500, south + 1800)
    geopandas.GeoSeries([area], crs=tile.crs).to_crs(4326).to_file(tmp_path / "aoi.gpkg")
    options = ("--aoi", str(tmp_path / "aoi.gpkg"), "--resolution", "15")
    assert run(rasters, checkpoint, tmp_path / "out", *options) == 0
    with rasterio.open(tmp_path / "out" / "outlines.tif") as file:
        assert file.res == (15, 15)
        bounds = file.bounds
        assert (file.read(1) != 255).all()
    np.testing.assert_allclose(bounds, area.bounds, atol=31)
    assert bounds.left <= area.bounds[0] + 1e-6
    assert bounds.right >= area.bounds[2] - 1e-6


@pytest.mark.slow
def test_smoothing_and_smallest_area(rasters, checkpoint, tmp_path):
    assert run(rasters, checkpoint, tmp_path / "all", "--min-area", "0") == 0
    options = ("--smoothing", "3", "--min-area", "0.01", "--probability")
    assert run(rasters, checkpoint, tmp_path / "some", *options) == 0
    every, some = (geopandas.read_file(tmp_path / n / "outlines.gpkg") for n in ("all", "some"))
    assert every["area_km2"].min() < 0.01 <= some["area_km2"].min()
    assert some.is_valid.all()
    vertices = [frame.count_coordinates().sum() / frame.length.sum() for frame in (every, some)]
    assert vertices[1] < 0.8 * vertices[0]
    assert (tmp_path / "some" / "probability.tif").exists()


@pytest.mark.slow
def test_the_region_is_optimised_and_told(rasters, checkpoint, tmp_path, capsys):
    assert run(rasters, checkpoint, tmp_path / "out", "--optimise-region") == 0
    region = json.loads((tmp_path / "out" / "run.json").read_text())["region"]
    assert sum(region["vector"]) == pytest.approx(1)
    assert region["entropy_after"] <= region["entropy_before"]
    assert run(rasters, checkpoint, tmp_path / "o", "--optimise-region", "--region", "HMA") == 1
    assert "none to optimise" in capsys.readouterr().err


def test_files_that_are_no_map_are_never_replaced(rasters, checkpoint, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "outlines.gpkg").write_text("my only inventory")
    for options in ((), ("--overwrite",)):
        assert run(rasters, checkpoint, tmp_path / "mine", *options) == 1
        assert "outlines.gpkg, of which nothing tells that a map" in capsys.readouterr().err
    assert (tmp_path / "mine" / "outlines.gpkg").read_text() == "my only inventory"


class TestBadInput:
    def refused(self, capsys, expected, *arguments):
        assert run(*arguments) == 1
        error = capsys.readouterr().err
        assert "Traceback" not in error
        assert expected in error

    def test_integers_without_a_scale(self, rasters, checkpoint, tmp_path, capsys):
        arguments = ["map", "--checkpoint", str(checkpoint), "--output", str(tmp_path / "out")]
        arguments += ["--optical", str(rasters / "s2.tif"), "--dem", str(rasters / "dem")]
        assert main(arguments) == 1
        assert "--scale optical=0.0001" in capsys.readouterr().err

    def test_area_elsewhere(self, rasters, checkpoint, tmp_path, capsys):
        options = ("--bounds", "0", "0", "300", "300")
        self.refused(
            capsys, "no overlap with the rasters", rasters, checkpoint, tmp_path / "o", *options
        )

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            (("--crs", "EPSG:99999"), "EPSG:99999"),
            (("--resolution", "0"), "resolution"),
            (("--aoi", "nothing.gpkg"), "nothing.gpkg"),
            (("--decibels",), "--decibels is for sigma0"),
            (("--min-area", "-1"), "smallest area is -1"),
            (("--smoothing", "4"), "smoothing is 4"),
            (("--region", "ALPS"), "ALPS"),
            (("--scale", "thermal=2"), "thermal"),
            (("--slope-percent",), "--slope-percent or a scale is given for slope, but"),
        ],
    )
    def test_options(self, rasters, checkpoint, tmp_path, capsys, options, expected):
        self.refused(capsys, expected, rasters, checkpoint, tmp_path / "o", *options)

    def test_a_raster_as_area(self, rasters, checkpoint, tmp_path, capsys):
        options = ("--aoi", str(rasters / "s2.tif"))
        self.refused(capsys, "is a raster, but", rasters, checkpoint, tmp_path / "o", *options)
