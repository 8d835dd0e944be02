import shutil
import warnings

import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from torchgeo.datasets import stack_samples

from glavitu.datasets import (
    BenchmarkTiles,
    GridWindows,
    RandomWindows,
    SyntheticGlaciers,
    TileWindow,
)
from glavitu.datasets.benchmark_files import released_files, tiles_of
from glavitu.datasets.benchmark_tiles import is_benchmark
from glavitu.errors import InputError
from glavitu.features import FEATURES, FeatureGroup
from glavitu.windows import Window

ALL = tuple(FEATURES)


@pytest.fixture
def files(benchmark, tmp_path):
    """A copy of the benchmark that a test may damage."""
    return shutil.copytree(benchmark, tmp_path / "files")


def test_a_sample_is_the_scaled_tile(benchmark):
    world = SyntheticGlaciers(("SC", "HMA"), tiles=(2, 1, 1), size=64, seed=0)
    dataset = BenchmarkTiles(benchmark, "train", ALL)
    assert len(dataset) == 4
    for number, tile in enumerate(dataset.tiles):
        truth = world.tile("train", tile.name[: tile.name.index("_")], int(tile.name[-3:]))
        sample = dataset[TileWindow(number, tile.extent)]
        scaled = [FEATURES[name].scale(torch.from_numpy(truth.features[name])) for name in ALL]
        assert torch.equal(sample["image"], torch.cat(scaled))
        assert sample["mask"].dtype == torch.int64
        assert torch.equal(sample["mask"], torch.from_numpy(truth.mask).long())
        assert sample["region"].item() == {"SC": 9, "HMA": 5}[truth.region]
        assert tile.subregion == truth.subregion


def test_published_windows_are_those_of_the_padded_arrays(benchmark):
    dataset = BenchmarkTiles(benchmark, "train")
    windows = [*GridWindows(dataset.extents, 384), *RandomWindows(dataset.extents, 384, 3)]
    with h5py.File(benchmark / "train.hdf5") as file:
        for number, window, _ in windows:
            arrays = file[dataset.tiles[number].name]
            assert window == Window(-160, -160, 384, 384)
            padded = np.concatenate([arrays["optical"], arrays["dem"]], axis=-1)
            image = dataset[TileWindow(number, window)]["image"]
            assert np.array_equal(image.numpy(), padded.transpose(2, 0, 1))


@pytest.mark.parametrize("chunks", [None, (50, 70, 1), (50, 70, 2), (384, 384, 6)])
def test_a_sample_does_not_depend_on_how_arrays_are_stored(benchmark, files, chunks):
    with h5py.File(files / "train.hdf5", "r+") as file:
        for tile in file.values():
            for name in ("optical", "outlines"):
                values = tile[name][...]
                del tile[name]
                size = chunks and (*chunks[:2], min(chunks[2], values.shape[2]))
                tile.create_dataset(name, data=values, chunks=size)
    stored, original = (BenchmarkTiles(root, "train", ["optical"]) for root in (files, benchmark))
    for query in (TileWindow(0, Window(3, 5, 40, 31)), TileWindow(1, Window(-9, 20, 90, 90))):
        assert torch.equal(stored[query]["image"], original[query]["image"])
        assert torch.equal(stored[query]["mask"], original[query]["mask"])


def test_beyond_the_tile_is_padding(benchmark):
    dataset = BenchmarkTiles(benchmark, "train")
    whole = dataset[TileWindow(1, dataset.extents[1])]
    sample = dataset[TileWindow(1, Window(-10, 50, 32, 32))]
    for key in ("image", "mask"):
        padded = torch.nn.functional.pad(whole[key], (32, 32, 32, 32))
        assert torch.equal(sample[key], padded[..., 22:54, 82:114])
    outside = dataset[TileWindow(1, Window(100, 100, 8, 8))]
    assert not outside["image"].any()
    assert not outside["mask"].any()


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "start"), [(0, None), (2, "fork"), (2, "spawn")])
def test_any_number_of_workers_reads_the_same(benchmark, workers, start):
    dataset = BenchmarkTiles(benchmark, "train")
    windows = list(RandomWindows(dataset.extents, 32, 24))
    here = [dataset[window]["image"] for window in windows]  # the files are open now
    loader = DataLoader(
        dataset,
        4,
        sampler=windows,
        num_workers=workers,
        multiprocessing_context=start,
        collate_fn=stack_samples,
    )
    there = torch.cat([batch["image"] for batch in loader])
    assert torch.equal(there, torch.stack(here))


def test_tiles_without_a_group_are_left_out_and_counted_once(files):
    with h5py.File(files / "train.hdf5", "a") as file:
        del file["HMA_train_001"]["thermal"]
    with warnings.catch_warnings(record=True) as caught:
        dataset = BenchmarkTiles(files, "train", ("optical", "thermal"))
    (warning,) = caught
    assert "1 of 4 tiles lack one of optical, thermal" in str(warning.message)
    assert sorted(tile.name for tile in dataset.tiles) == [
        "HMA_train_000",
        "SC_train_000",
        "SC_train_001",
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(BenchmarkTiles(files, "train", ("optical", "dem"))) == 4


def test_regions_and_subregions_choose_tiles(benchmark):
    assert {t.name[:2] for t in BenchmarkTiles(benchmark, regions=["SC"]).tiles} == {"SC"}
    dataset = BenchmarkTiles(benchmark, subregions=["SC1", "HMA2"])
    assert [t.name for t in dataset.tiles] == ["HMA_train_001", "SC_train_000"]
    with pytest.raises(InputError, match=r"none of its 4 tiles is in regions \['NZ'\]; it has HMA"):
        BenchmarkTiles(benchmark, regions=["NZ"])
    with pytest.raises(InputError, match="unknown region 'Alps'"):
        BenchmarkTiles(benchmark, regions=["Alps"])


def test_coordinates_are_those_of_the_windows_centre(benchmark):
    dataset = BenchmarkTiles(benchmark, "train", location="coordinates")
    west, south, east, north = dataset.tiles[0].bounds
    vector = dataset[TileWindow(0, Window(0, 32, 32, 32))]["location"]  # the north-east quarter
    latitude = np.degrees(np.arctan2(vector[0], vector[1]))
    longitude = np.degrees(np.arctan2(vector[2], vector[3]))
    assert longitude == pytest.approx((west + 3 * east) / 4, abs=1e-4)
    assert latitude == pytest.approx((3 * north + south) / 4, abs=1e-4)


def test_region_vectors(benchmark):
    dataset = BenchmarkTiles(benchmark, "train", location="region")
    vector = dataset[TileWindow(0, Window(0, 0, 32, 32))]["location"]
    assert vector.tolist() == [float(i == 5) for i in range(12)]


@pytest.mark.parametrize("name", ["train.h5", "benchmark_train_10percent.hdf5", "latest_train.H5"])
def test_files_are_known_by_their_names(files, name):
    (files / "train.hdf5").rename(files / name)
    assert is_benchmark(files)
    assert [path.name for path in released_files(files, "train")] == [name]
    assert len(BenchmarkTiles(files, "train")) == 4


def test_a_split_may_have_several_files(files):
    with h5py.File(files / "train.hdf5", "a") as file, h5py.File(files / "train_b.h5", "w") as new:
        file.copy("SC_train_000", new)
        del file["SC_train_000"]
    dataset = BenchmarkTiles(files, "train")
    assert {tile.path.name for tile in dataset.tiles} == {"train.hdf5", "train_b.h5"}
    assert len(dataset) == 4


def test_a_file_is_indexed_again_when_it_changes(files):
    assert len(tiles_of(files / "train.hdf5")) == 4
    with h5py.File(files / "train.hdf5", "a") as file:
        del file["SC_train_000"]
    assert len(tiles_of(files / "train.hdf5")) == 3


def test_features_of_ones_own_are_arrays_of_ones_own(files):
    with h5py.File(files / "train.hdf5", "a") as file:
        file["SC_train_000"]["speed"] = np.full((384, 384, 1), 0.25, np.float16)
    speed = FeatureGroup("speed", ("speed",), (0,), (1,))
    with pytest.warns(UserWarning, match="3 of 4"):
        dataset = BenchmarkTiles(files, "train", ("dem", speed))
    image = dataset[TileWindow(0, dataset.extents[0])]["image"]
    assert image.dtype == torch.float32
    assert (image[2] == 0.25).all()


class TestBadInput:
    def check(self, files, expected, read=False):
        def use():
            dataset = BenchmarkTiles(files, "train", ("optical", "dem"))
            if read:
                for number, extent in enumerate(dataset.extents):
                    dataset[TileWindow(number, extent)]

        with pytest.raises(InputError, match=expected) as caught:
            use()
        assert "train.hdf5" in str(caught.value)

    @pytest.mark.parametrize("key", ["region", "padding_height", "xmin"])
    def test_missing_attribute(self, files, key):
        with h5py.File(files / "train.hdf5", "a") as file:
            del file["SC_train_000"].attrs[key]
        self.check(files, f"tile SC_train_000: has no attribute {key}")

    @pytest.mark.parametrize(
        ("key", "value", "message"),
        [
            ("region", "Alps", "unknown region 'Alps'"),
            ("width", "wide", "attribute width is 'wide', but should be a number"),
            ("original_height", 1000, "original_height 1000 do not fit into height 384"),
            ("xmin", 400.0, "bounds 400, .* are not xmin, ymin, xmax, ymax"),
        ],
    )
    def test_wrong_attribute(self, files, key, value, message):
        with h5py.File(files / "train.hdf5", "a") as file:
            file["SC_train_000"].attrs[key] = value
        self.check(files, f"tile SC_train_000: .*{message}")

    @pytest.mark.parametrize("shape", [(384, 384, 5), (384, 380, 6), (384, 384)])
    def test_wrong_shape(self, files, shape):
        with h5py.File(files / "train.hdf5", "a") as file:
            del file["HMA_train_001"]["optical"]
            file["HMA_train_001"]["optical"] = np.zeros(shape, np.float32)
        self.check(files, r"HMA_train_001: array optical has the shape .*have \(384, 384, 6\)")

    def test_no_outlines(self, files):
        with h5py.File(files / "train.hdf5", "a") as file:
            del file["HMA_train_001"]["outlines"]
        self.check(files, "tile HMA_train_001: has no array outlines")

    def test_an_array_in_a_tiles_place(self, files):
        with h5py.File(files / "train.hdf5", "a") as file:
            file["odd"] = np.zeros(3)
        self.check(files, "tile odd: is not a group")

    def test_nan(self, files):
        with h5py.File(files / "train.hdf5", "a") as file:
            file["SC_train_001"]["dem"][200, 200, 0] = np.nan
        self.check(files, "SC_train_001: array dem has 1 values that are NaN", read=True)

    @pytest.mark.parametrize("value", [[1, 1], [0, 0], [0.5, 0.5]])
    def test_not_one_hot(self, files, value):
        with h5py.File(files / "train.hdf5", "a") as file:
            file["SC_train_001"]["outlines"][200, 200] = value
        self.check(files, "SC_train_001: array outlines is not one-hot in 1 pixels", read=True)

    def test_truncated(self, files):
        data = (files / "train.hdf5").read_bytes()
        (files / "train.hdf5").write_bytes(data[: len(data) // 2])
        self.check(files, "cannot be opened as HDF5; it is truncated")

    def test_damaged_chunk(self, files):
        with h5py.File(files / "train.hdf5") as file:
            array = file["SC_train_001"]["optical"]
            corner = tuple(
                at // size * size for at, size in zip((200, 200, 0), array.chunks, strict=True)
            )
            chunk = array.id.get_chunk_info_by_coord(corner)
        with open(files / "train.hdf5", "r+b") as raw:
            raw.seek(chunk.byte_offset)
            raw.write(b"\xff" * chunk.size)
        self.check(files, "SC_train_001: array optical (cannot be read|has .* NaN)", read=True)

    def test_other_number_of_channels_than_described(self, files):
        grey = FeatureGroup("optical", ("grey",), (0,), (1,))
        with pytest.raises(InputError, match=r"array optical has 6 channels, .* has 1 \(grey\)"):
            BenchmarkTiles(files, "train", [grey])

    def test_group_that_no_tile_has(self, files):
        ice = FeatureGroup("ice", ("ice",), (0,), (1,))
        with pytest.raises(InputError, match="none of its 4 tiles has all of ice.*co_pol_sar"):
            BenchmarkTiles(files, "train", [ice])

    def test_missing_split(self, files):
        (files / "test.hdf5").unlink()
        with pytest.raises(InputError, match=r"no HDF5 file of the split test, such as test\.hdf5"):
            BenchmarkTiles(files, "test")

    def test_missing_folder(self, tmp_path):
        with pytest.raises(InputError, match="nowhere: no such folder"):
            BenchmarkTiles(tmp_path / "nowhere", "test")

    def test_unknown_split(self, files):
        with pytest.raises(InputError, match="unknown split 'dev'"):
            BenchmarkTiles(files, "dev")

    def test_a_name_of_two_splits(self, files):
        (files / "test.hdf5").rename(files / "train_val.hdf5")
        with pytest.raises(InputError, match=r"train_val\.hdf5: its name says train and val"):
            BenchmarkTiles(files, "train")

    def test_unknown_location(self, files):
        with pytest.raises(InputError, match="unknown location 'here'"):
            BenchmarkTiles(files, "train", location="here")
