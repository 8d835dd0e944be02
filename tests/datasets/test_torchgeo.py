"""What whoever knows TorchGeo relies on: its samplers, collation, set operations and trainers."""

import inspect
import math
import re
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
import torchgeo.datasets
import torchgeo.samplers
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader
from torchgeo.datasets import RasterDataset, stack_samples, unbind_samples

from glavitu import GlaViTUTask
from glavitu.datamodules import GlacierDataModule
from glavitu.datasets import BenchmarkTiles, GlacierRasters, TileWindow
from glavitu.datasets.torchgeo_api import check_torchgeo
from glavitu.errors import InputError
from glavitu.features import FeatureGroup
from glavitu.windows import Window

from ..raster_files import UTM, write_raster

#: Of the samplers of 0.8.
DEPRECATED = pytest.mark.filterwarnings("ignore:Use torchgeo:DeprecationWarning")

#: TorchGeo 0.8 has the old samplers alone; in 0.10 they are deprecated.
NEW = hasattr(torchgeo.samplers, "GriddedPatchSampler")
RGB = FeatureGroup("rgb", ("red", "green", "blue"), (0, 0, 0), (255, 255, 255))
SHAPE = (40, 50)
QUIET = {
    "max_epochs": 1,
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


def grid(dataset, size, roi=None):
    """TorchGeo's sampler of a grid, of the version at hand."""
    if NEW:
        return torchgeo.samplers.GriddedPatchSampler(dataset, size=size, roi=roi)
    return torchgeo.samplers.GridGeoSampler(dataset, size, size, roi)


def draws(dataset, size, length, roi=None):
    """TorchGeo's sampler of random windows, of the version at hand."""
    if NEW:
        options = {"size": size, "length": length, "roi": roi, "generator": 0}
        return torchgeo.samplers.RandomPatchSampler(dataset, **options)
    return torchgeo.samplers.RandomGeoSampler(dataset, size, length=length, roi=roi)


def old_samplers(dataset, size, length):
    """The samplers of 0.8, which 0.10 still has and deprecates."""
    return (
        torchgeo.samplers.RandomGeoSampler(dataset, size, length=length),
        torchgeo.samplers.GridGeoSampler(dataset, size, size),
    )


def task_of_theirs():
    """TorchGeo's own trainer of segmentation, small."""
    try:
        from torchgeo.tasks import SemanticSegmentation
    except ImportError:
        from torchgeo.trainers import SemanticSegmentationTask as SemanticSegmentation
    return SemanticSegmentation(
        "unet", "resnet18", in_channels=8, task="multiclass", num_classes=2, ignore_index=255
    )


def rgb_values(seed=0, shape=SHAPE):
    return np.random.default_rng(seed).integers(1, 256, (3, *shape), dtype=np.uint8)


@pytest.fixture
def tile(tmp_path):
    """A tile with an RGB raster, without labels."""
    write_raster(tmp_path / "tile" / "rgb.tif", rgb_values(), region="HMA", date="2020-08-31")
    return tmp_path / "tile"


def rasters(folder, **options):
    return GlacierRasters(folder, [RGB], outlines=None, **options)


def whole(dataset, number=0):
    return dataset[TileWindow(number, dataset.extents[number])]


def two_zones(tmp_path):
    for name, crs in (("a", "EPSG:32645"), ("b", "EPSG:32633")):
        write_raster(tmp_path / "zones" / name / "rgb.tif", rgb_values(), crs=crs)
    return rasters(tmp_path / "zones")


class TestSamples:
    @pytest.mark.parametrize("form", ["rasters", "benchmark"])
    def test_are_tensors_alone_that_stack_and_unbind(self, world, benchmark, form):
        if form == "rasters":
            dataset = GlacierRasters(world / "train", regions=["SC"], location="region")
        else:
            dataset = BenchmarkTiles(benchmark, "train", location="coordinates")
        samples = [dataset[TileWindow(i, Window(0, 0, 16, 16))] for i in range(2)]
        keys = {"image", "mask", "region", "location", "tile", "bounds", "transform"}
        for sample in samples:
            assert set(sample) == keys
            assert all(isinstance(value, torch.Tensor) for value in sample.values())
        batch = stack_samples(samples)
        assert batch["bounds"].shape == batch["transform"].shape == (2, 9)
        for sample, again in zip(samples, unbind_samples(batch), strict=True):
            assert all(torch.equal(sample[key], again[key]) for key in keys)

    def test_bounds_and_transform_are_those_of_the_window(self, tile):
        dataset = rasters(tile)
        sample = dataset[TileWindow(0, Window(10, 4, 16, 20))]
        x, y, t = sample["bounds"].reshape(3, 3).tolist()
        assert x == [500_120, 500_720, 30]
        assert y == [3_099_220, 3_099_700, 30]
        day = pd.Timestamp("2020-08-31").timestamp()
        # Seconds since 1970 have more digits than a float32, as TorchGeo's own.
        assert t == pytest.approx([day, day + 86400, 1], abs=64)
        assert sample["transform"].tolist() == [30, 0, 500_120, 0, -30, 3_099_700, 0, 0, 1]

    def test_are_as_those_of_a_raster_dataset_of_theirs(self, tile):
        ours, theirs = rasters(tile), RasterDataset(tile)
        for query in grid(theirs, 16):
            one, other = ours[query], theirs[query]
            torch.testing.assert_close(one["image"] * 255, other["image"])
            if NEW:  # in 0.8 these were slices
                torch.testing.assert_close(one["bounds"][:6], other["bounds"][:6].float())
                torch.testing.assert_close(one["transform"], other["transform"].float())


class TestSamplers:
    @DEPRECATED
    @pytest.mark.parametrize("form", ["rasters", "benchmark"])
    def test_draw_from_our_datasets(self, world, benchmark, form):
        if form == "rasters":
            dataset = GlacierRasters(world / "train", regions=["SC"])
        else:  # its tiles have pixels of many sizes, in degrees
            dataset = BenchmarkTiles(benchmark, "train")
        # The new ones look for windows in all the land between tiles, so they want a region.
        first = dataset.index.geometry.iloc[0]
        for sampler in (
            draws(dataset, 16, 6, first),
            grid(dataset, 16, first),
            *old_samplers(dataset, 16, 6),
        ):
            batches = list(DataLoader(dataset, 2, sampler=sampler, collate_fn=stack_samples))
            assert len(batches) >= 3
            assert all(batch["image"].shape[1:] == (8, 16, 16) for batch in batches)
            assert all(batch["mask"].shape[1:] == (16, 16) for batch in batches)

    @DEPRECATED
    def test_a_grid_of_slices_reads_the_files_own_pixels(self, world):
        dataset = GlacierRasters(world / "train", regions=["SC"])
        first = next(i for i, t in enumerate(dataset.tiles) if t.name == "SC_train_000")
        image = whole(dataset, first)["image"]
        (sampler,) = old_samplers(dataset, 32, 1)[1:]
        quarters = [dataset[query] for query in sampler]
        quarters = [q for q in quarters if q["tile"] == first]
        assert len(quarters) == 4
        for quarter in quarters:
            west, _, _, _, north, _ = quarter["bounds"][:6].tolist()
            col, row = ~dataset.tiles[first].transform @ (west, north)
            expected = image[:, round(row) : round(row) + 32, round(col) : round(col) + 32]
            assert torch.equal(quarter["image"], expected)

    @DEPRECATED
    def test_over_two_zones_end_with_a_message_of_ours(self, tmp_path):
        dataset = two_zones(tmp_path)
        expected = r"several coordinate reference systems \(EPSG:32633, EPSG:32645\).*RandomWindows"
        for use in (grid, lambda d, size: draws(d, size, 3), lambda d, s: old_samplers(d, s, 3)):
            with pytest.raises(InputError, match=expected):
                use(dataset, 16)
        with pytest.raises(InputError, match=expected):
            dataset[500_000:500_300, 3_099_000:3_099_300]
        for join in (
            lambda: dataset | rasters(tmp_path / "zones" / "a"),
            lambda: dataset & dataset,
        ):
            with pytest.raises(InputError, match="one CRS|several coordinate|are not warped"):
                join()
        with pytest.raises(InputError, match="0 names no window .*TileWindow"):
            dataset[0]
        # The index itself is sound: degrees, and it prints.
        assert str(dataset).count("size: 2") == 1
        assert dataset.crs.to_epsg() == 4326


class TestSlices:
    def test_are_read_at_the_files_own_pixels(self, tile):
        dataset = rasters(tile)
        image = whole(dataset)["image"]
        x, y = UTM @ (4, 20)
        # 10 m off the grid: the nearest pixels, unchanged.
        sample = dataset[x + 10 : x + 10 + 16 * 30, y - 10 : y - 10 + 16 * 30]
        assert torch.equal(sample["image"], image[:, 4:20, 4:20])
        with pytest.raises(IndexError):
            dataset[0:100, 0:100]

    def test_what_is_left_out_is_the_whole_dataset(self, tile):
        dataset = rasters(tile)
        image = whole(dataset)["image"]
        assert torch.equal(dataset[:, :]["image"], image)
        x, _ = UTM @ (10, 0)
        assert torch.equal(dataset[x:]["image"], image[:, :, 10:])

    def test_across_neighbours_show_both(self, tmp_path):
        values = rgb_values(shape=(40, 80))
        for name, part in (("a", slice(0, 30)), ("b", slice(30, 80))):
            shifted = UTM @ UTM.translation(part.start, 0)
            write_raster(tmp_path / name / "rgb.tif", values[:, :, part], transform=shifted)
            labels = (values[:1, :, part] > 128).astype(np.uint8)
            write_raster(tmp_path / name / "outlines.tif", labels, transform=shifted)
        dataset = GlacierRasters(tmp_path, [RGB])
        x, y = UTM @ (16, 32)
        sample = dataset[x : x + 32 * 30, y : y + 24 * 30]
        expected = torch.from_numpy(values[:, 8:32, 16:48].astype(np.float32) / 255)
        torch.testing.assert_close(sample["image"], expected)
        assert torch.equal(sample["mask"], (expected[0] * 255 > 128).long())
        assert sample["tile"] == 1  # it shows more of b

    def test_honour_the_time_of_tiles(self, tmp_path):
        dates = ("2019", "2020-08", "2020-09-03", "")
        for seed, date in enumerate(dates):
            tags = {"date": date} if date else {}
            write_raster(tmp_path / f"{seed}" / "rgb.tif", rgb_values(seed), **tags)
        dataset = rasters(tmp_path)
        left, right = dataset.index.index.left, dataset.index.index.right
        assert (left[0], right[0].date()) == (
            pd.Timestamp("2019"),
            pd.Timestamp("2019-12-31").date(),
        )
        assert right[1].date() == pd.Timestamp("2020-08-31").date()
        assert (left[2], right[2].hour) == (pd.Timestamp("2020-09-03"), 23)
        images = [whole(dataset, number)["image"] for number in range(4)]

        def at(first, last):
            moments = slice(pd.Timestamp(first), pd.Timestamp(last))
            return dataset[:, :, moments]

        for number, (first, last) in enumerate(
            (("2019-05-01", "2019-06-01"), ("2020-08-31", "2020-08-31"), ("2020-09-03", "2020-10"))
        ):
            sample = at(first, last)
            assert sample["tile"] == number
            assert torch.equal(sample["image"], images[number])
        assert at("1999", "2000")["tile"] == 3  # its date is unknown, so it may be
        dated = rasters(tmp_path / "0")
        with pytest.raises(IndexError):
            dated[:, :, pd.Timestamp("2021") : pd.Timestamp("2022")]

    @pytest.mark.parametrize("index", [0, "a", None, (0, 1), slice(5, 3), (slice(0, 1, -1),) * 2])
    def test_of_another_kind_are_refused_with_what_works(self, tile, index):
        with pytest.raises(InputError, match="names no window .*TileWindow|have no extent"):
            rasters(tile)[index]

    @pytest.mark.skipif(not NEW, reason="TorchGeo 0.8 has no samplers of time")
    def test_of_time_come_from_samplers_of_time(self, tmp_path):
        for seed, date in enumerate(("2019", "2020")):
            write_raster(tmp_path / f"{seed}" / "rgb.tif", rgb_values(seed), date=date)
        dataset = rasters(tmp_path)
        sampler = torchgeo.samplers.SequentialTimestampSampler(dataset)
        assert [int(dataset[query]["tile"]) for query in sampler] == [0, 1]
        both = grid(dataset, 16) @ sampler
        assert {int(dataset[query]["tile"]) for query in both} == {0, 1}


class TestARasterDatasetInDeed:
    def test_has_its_attributes(self, tile):
        dataset = rasters(tile)
        assert isinstance(dataset, RasterDataset)
        assert dataset.files == list(dataset.index["filepath"]) == [str(tile / "rgb.tif")]
        assert dataset.all_bands == dataset.bands == dataset.rgb_bands == ("red", "green", "blue")
        assert dataset.res == (30, 30)
        assert dataset.crs.to_epsg() == 32645
        assert len(dataset) == 1
        assert dataset.is_image
        assert dataset.dtype == torch.float32
        x, y, t = dataset.bounds
        assert (x.start, x.stop, x.step) == (500_000, 501_500, 30)
        assert (y.start, y.stop, y.step) == (3_098_800, 3_100_000, 30)
        assert t.start == pd.Timestamp("2020-08-31")

    def test_bands_choose_channels(self, tile):
        every = whole(rasters(tile))["image"]
        dataset = rasters(tile, bands=("blue", "red"))
        assert torch.equal(whole(dataset)["image"], every[[2, 0]])
        assert dataset.plot(whole(dataset)).axes[0].get_title() == "blue"
        with pytest.raises(InputError, match="'nir'; choose from red, green, blue"):
            rasters(tile, bands=("red", "nir"))

    def test_bands_of_one_name_are_told_apart(self, world):
        features = ("optical", "co_pol_sar", "in_sar")
        dataset = GlacierRasters(world / "train", features, bands=("in_sar.descending", "red"))
        assert "co_pol_sar.ascending" in dataset.all_bands
        every = whole(GlacierRasters(world / "train", features))["image"]
        assert torch.equal(whole(dataset)["image"], every[[9, 2]])

    def test_crs_and_res_are_what_the_tiles_have(self, tile):
        import pyproj

        for crs in ("EPSG:32645", pyproj.CRS.from_epsg(32645), rasters(tile).crs):
            assert rasters(tile, crs=crs, res=30).res == (30, 30)
        with pytest.raises(InputError, match=r"\(EPSG:32645\) and are not warped to EPSG:4326"):
            rasters(tile, crs="EPSG:4326")
        with pytest.raises(InputError, match="'here' is no coordinate reference system"):
            rasters(tile, crs="here")
        with pytest.raises(InputError, match="30 x 30 and are not resampled to 10 x 10"):
            rasters(tile, res=10)
        dataset = rasters(tile)
        dataset.crs = dataset.crs
        with pytest.raises(InputError, match="are not warped"):
            dataset.crs = "EPSG:4326"

    def test_over_two_zones_no_crs_is_all_theirs(self, tmp_path):
        dataset = two_zones(tmp_path)
        for crs in ("EPSG:4326", "EPSG:32645"):
            with pytest.raises(InputError, match="are not warped"):
                dataset.crs = crs

    def test_takes_every_argument_of_a_raster_dataset(self, tile):
        theirs = set(inspect.signature(RasterDataset.__init__).parameters)
        assert theirs <= set(inspect.signature(GlacierRasters.__init__).parameters)
        with pytest.raises(InputError, match="of one date"):
            rasters(tile, time_series=True)

    def test_without_a_cache_one_tile_stays_open(self, tmp_path):
        for name in "ab":
            write_raster(tmp_path / name / "rgb.tif", rgb_values())
        dataset = rasters(tmp_path, cache=False)
        assert torch.equal(whole(dataset, 0)["image"], whole(dataset, 1)["image"])
        assert len(dataset._scenes) == 1


class TestSetOperations:
    def test_intersection_with_a_raster_dataset(self, world, tmp_path):
        ours = GlacierRasters(world / "train", regions=["SC"])
        tile = next(t for t in ours.tiles if t.name == "SC_train_000")
        values = np.arange(64 * 64, dtype=np.float32).reshape(1, 64, 64)
        write_raster(tmp_path / "speed" / "speed.tif", values, tile.crs, tile.transform)
        both = ours & RasterDataset(tmp_path / "speed")
        samples = [both[query] for query in grid(both, 32)]
        assert len(samples) == 4
        assert all(sample["image"].shape == (9, 32, 32) for sample in samples)
        assert all(isinstance(value, torch.Tensor) for value in samples[0].values())
        # Ours and theirs lie on each other.
        image = whole(ours, ours.tiles.index(tile))["image"]
        for sample in samples:
            row, col = divmod(int(sample["image"][8, 0, 0]), 64)
            assert torch.equal(sample["image"][:8], image[:, row : row + 32, col : col + 32])
        batch = stack_samples(samples)
        assert batch["mask"].shape == (4, 32, 32)
        assert batch["region"].tolist() == [9] * 4

    @DEPRECATED
    def test_union(self, world):
        one = GlacierRasters(world / "train", regions=["SC"], subregions=["SC1"])
        other = GlacierRasters(world / "train", regions=["SC"], subregions=["SC2"])
        both = one | other
        assert len(both) == 2
        (sampler,) = old_samplers(both, 32, 1)[1:]
        (batch,) = DataLoader(both, 8, sampler=sampler, collate_fn=stack_samples)
        assert all(isinstance(value, torch.Tensor) for value in batch.values())
        images = [whole(dataset)["image"].sum().item() for dataset in (one, other)]
        assert batch["image"].sum().item() == pytest.approx(sum(images), rel=1e-5)

    def test_union_of_other_channels_is_refused(self, world):
        one = GlacierRasters(world / "train", regions=["SC"])
        other = GlacierRasters(world / "train", ("optical",), regions=["SC"])
        both = one | other
        with pytest.raises(InputError, match=r"image \(8, 32, 32\) and \(6, 32, 32\)"):
            both[next(iter(grid(both, 32)))]

    def test_another_grid_is_refused(self, world, tmp_path):
        ours = GlacierRasters(world / "train", regions=["SC"])
        tile = ours.tiles[0]
        fine = tile.transform @ tile.transform.scale(0.5)
        write_raster(tmp_path / "fine.tif", np.ones((1, 128, 128), np.float32), tile.crs, fine)
        theirs = RasterDataset(tmp_path / "fine.tif")
        with pytest.raises(InputError, match="30 x 30 and are not resampled to 15 x 15"):
            theirs & ours
        assert (ours & theirs)[next(iter(grid(ours, 32)))]["image"].shape[0] == 9

    def test_intersection_needs_one_grid(self, world):
        with pytest.raises(InputError, match="`&` needs tiles of one CRS and one resolution"):
            GlacierRasters(world / "train") & GlacierRasters(world / "train")


class TestTasks:
    def test_theirs_trains_on_our_dataset(self, world):
        dataset = GlacierRasters(world / "train", regions=["SC"])
        loader = DataLoader(dataset, 4, sampler=draws(dataset, 32, 8), collate_fn=stack_samples)
        task = task_of_theirs()
        before = task.model.segmentation_head[0].weight.detach().clone()
        trainer = Trainer(**QUIET)
        trainer.fit(task, loader, loader)
        assert trainer.callback_metrics["val_loss"].isfinite()
        assert not torch.equal(before, task.model.segmentation_head[0].weight)

    def test_theirs_trains_and_tests_with_our_data_module(self, world):
        data = GlacierDataModule(str(world), patch_size=32, batch_size=4, steps_per_epoch=2)
        trainer = Trainer(**QUIET)
        task = task_of_theirs()
        trainer.fit(task, data)
        assert trainer.callback_metrics["val_loss"].isfinite()
        (scores,) = trainer.test(task, data, verbose=False)
        assert math.isfinite(scores["test_loss"])

    def test_ours_trains_and_tests_on_their_datasets(self, tmp_path):
        """An image and a mask of TorchGeo's own: no region, no tile."""
        write_raster(tmp_path / "image" / "rgb.tif", rgb_values(shape=(64, 64)))
        mask = np.zeros((64, 64), np.uint8)
        mask[20:40] = 1
        write_raster(tmp_path / "mask" / "mask.tif", mask)

        class Labels(RasterDataset):
            is_image = False

        dataset = RasterDataset(tmp_path / "image") & Labels(tmp_path / "mask")

        def tensors(samples):  # 0.8 has a CRS and slices beside them
            return stack_samples([{k: s[k] for k in ("image", "mask")} for s in samples])

        loader = DataLoader(dataset, 2, sampler=grid(dataset, 32), collate_fn=tensors)
        args = {"width": 8, "depth": 1, "heads": 2}
        task = GlaViTUTask([RGB], model_args=args, image_size=32)
        trainer = Trainer(**QUIET)
        trainer.fit(task, loader, loader)
        assert trainer.callback_metrics["val/loss"].isfinite()
        (scores,) = trainer.test(task, loader, verbose=False)
        assert "test/iou_unknown" in scores
        assert all(len(part) == 2 for part in trainer.predict(task, loader))


class TestVersions:
    def test_this_one_is_known(self):
        check_torchgeo()

    @pytest.mark.parametrize("what", ["stack", "collate_fn", "abstract"])
    def test_one_that_changed_what_we_rely_on_is_refused_in_words(self, what, monkeypatch):
        import glavitu.datasets.torchgeo_api as api

        if what == "stack":  # as 0.9 did, with a sample that was not of tensors alone

            def changed(samples):
                raise TypeError("expected Tensor as element 0")

            monkeypatch.setattr(api, "stack_samples", changed)
        elif what == "collate_fn":

            class Changed:
                def __init__(self, one, other):
                    pass

            monkeypatch.setattr(api, "UnionDataset", Changed)
        else:
            changed = api.GeoDataset.__abstractmethods__ | {"__getitems__"}
            monkeypatch.setattr(api.GeoDataset, "__abstractmethods__", changed)
        expected = re.escape(f"torchgeo {torchgeo.__version__} is not as glavitu")
        with pytest.raises(InputError, match=expected + r".* 0\.8 to 0\.10: .*pip install"):
            check_torchgeo()

    @pytest.mark.skipif(not NEW, reason="TorchGeo 0.8 deprecates nothing of this")
    def test_nothing_that_we_call_is_deprecated(self, world):
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Use torchgeo", DeprecationWarning)
            dataset = GlacierRasters(world / "train", regions=["SC"])
            both = dataset | dataset
            assert len(dataset & dataset)
            stack_samples([both[query] for query in grid(both, 32)])
            data = GlacierDataModule(str(world), patch_size=32, batch_size=4)
            data.setup("fit")
            next(iter(data.train_dataloader()))
