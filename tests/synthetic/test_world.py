from itertools import combinations
from pathlib import Path

import geopandas
import h5py
import numpy as np
import pytest
import rasterio
import torch
from rasterio.features import rasterize
from rasterio.warp import transform_bounds

from glavitu.errors import InputError
from glavitu.features import FEATURES
from glavitu.rasters.terrain import slope_degrees
from glavitu.regions import REGION_CODES
from glavitu.synthetic.world import (
    SPLITS,
    SyntheticGlaciers,
    Tile,
    band_ratio,
)

SEEDS = range(6)


def worlds(region: str, size: int = 128) -> list[Tile]:
    """One tile of each of several worlds."""
    return [SyntheticGlaciers(size=size, seed=seed).tile("train", region, 0) for seed in SEEDS]


def iou(mapped: np.ndarray, truth: np.ndarray) -> float:
    return float((mapped & truth).sum() / (mapped | truth).sum())


def same(a: Tile, b: Tile) -> bool:
    return np.array_equal(a.mask, b.mask) and all(
        np.array_equal(a.features[name], b.features[name]) for name in FEATURES
    )


@pytest.fixture(scope="module")
def small() -> SyntheticGlaciers:
    return SyntheticGlaciers(regions=("HMA", "NZ"), tiles=(2, 1, 1), size=64, seed=3)


# A tile and its place


def test_tile_depends_on_seed_split_region_and_index_alone(small: SyntheticGlaciers) -> None:
    listed = list(small.split("train"))
    alone = SyntheticGlaciers(regions=("NZ",), tiles=(5, 0, 0), size=64, seed=3)
    assert [tile.name for tile in listed] == [
        "HMA_train_000",
        "HMA_train_001",
        "NZ_train_000",
        "NZ_train_001",
    ]
    assert same(listed[3], alone.tile("train", "NZ", 1))
    assert listed[3].transform == alone.tile("train", "NZ", 1).transform


def test_seed_split_region_and_index_each_make_another_tile(small: SyntheticGlaciers) -> None:
    other_seed = SyntheticGlaciers(size=64, seed=4)
    tiles = [
        small.tile("train", "HMA", 0),
        small.tile("train", "HMA", 1),
        small.tile("val", "HMA", 0),
        small.tile("train", "NZ", 0),
        other_seed.tile("train", "HMA", 0),
    ]
    assert not any(same(a, b) for a, b in combinations(tiles, 2))


def test_no_two_tiles_overlap(small: SyntheticGlaciers) -> None:
    tiles = [small.tile(split, "HMA", index) for split in SPLITS for index in (0, 1, 7, 8, 9)]
    for a, b in combinations([tile.bounds for tile in tiles], 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


@pytest.mark.parametrize("region", REGION_CODES)
def test_every_region_gives_valid_tiles(region: str) -> None:
    tile = SyntheticGlaciers(size=64).tile("train", region, 0)
    assert tile.region == region
    assert tile.subregion.startswith(region)
    assert tile.mask.dtype == tile.debris.dtype == np.uint8
    assert 0.05 < tile.mask.mean() < 0.9
    assert not (tile.debris & ~tile.mask).any()
    assert tuple(tile.features) == tuple(FEATURES)
    for name, values in tile.features.items():
        group = FEATURES[name]
        assert values.shape == (len(group), 64, 64)
        assert values.dtype == np.float32
        scaled = group.scale(torch.from_numpy(values))
        assert torch.isfinite(scaled).all()
        assert scaled.min() >= 0
        assert scaled.max() <= 1
    elevation, slope = tile.features["dem"]
    np.testing.assert_array_equal(slope, slope_degrees(elevation, 30, 30))


def test_every_region_has_a_utm_zone_of_its_own() -> None:
    tiles = [SyntheticGlaciers(size=32).tile("test", region, 0) for region in REGION_CODES]
    assert len({tile.crs for tile in tiles}) == len(REGION_CODES)
    for tile in tiles:
        west, south, east, north = transform_bounds(tile.crs, 4326, *tile.bounds)
        zone = tile.crs % 100
        # Svalbard's zones are wider than 6 degrees, all others are cut at them.
        assert abs((west + east) / 2 - (zone * 6 - 183)) <= (6 if tile.region == "SVAL" else 3)
        assert tile.crs // 100 == (326 if south > 0 else 327)
        assert north > south


def test_resolution_and_odd_sizes() -> None:
    tile = SyntheticGlaciers(size=75, resolution=10).tile("train", "ALP", 0)
    assert tile.mask.shape == (75, 75)
    assert (tile.transform.a, tile.transform.e) == (10, -10)


# What a model has to learn


def test_most_tiles_have_a_fair_share_of_ice() -> None:
    shares = [
        tile.mask.mean() for region in ("SC", "HMA", "NZ", "ALP") for tile in worlds(region, 96)
    ]
    assert np.mean([0.1 < share < 0.6 for share in shares]) > 0.8


def test_tongues_reach_below_the_equilibrium_line_and_join() -> None:
    for tile in worlds("HMA"):
        elevation, ice = tile.features["dem"][0], tile.mask == 1
        assert 0.2 < (elevation[ice] < 5700).mean() < 0.9
        # Down there glaciers lie in valleys: they are flatter than the ground beside them.
        low = elevation < 5700
        slope = tile.features["dem"][1]
        assert slope[low & ice].mean() < slope[low & ~ice].mean()


def test_band_ratio_maps_clean_ice() -> None:
    scores = [iou(band_ratio(t.features["optical"]), t.mask == 1) for t in worlds("SC")]
    assert min(scores) > 0.6
    assert np.mean(scores) > 0.75


def test_band_ratio_misses_debris() -> None:
    tiles = worlds("HMA")
    mapped = [band_ratio(tile.features["optical"]) for tile in tiles]
    scores = [iou(m, tile.mask == 1) for m, tile in zip(mapped, tiles, strict=True)]
    found = [m[tile.debris == 1].mean() for m, tile in zip(mapped, tiles, strict=True)]
    clean = [
        m[(tile.mask == 1) & (tile.debris == 0)].mean()
        for m, tile in zip(mapped, tiles, strict=True)
    ]
    assert np.mean(scores) < 0.55
    assert max(scores) < 0.7
    assert np.mean(found) < 0.1
    assert np.mean(clean) > 0.9


def bare_rock(tile: Tile) -> np.ndarray:
    """Rock, told by its colour: neither plants nor snow nor water."""
    optical = tile.features["optical"]
    return (
        (tile.mask == 0)
        & ~band_ratio(optical)
        & (optical[3] < 2 * optical[2])
        & (optical[4] > optical[2])
    )


def test_debris_has_the_colours_of_rock() -> None:
    ratios, contrasts = [], []
    for tile in worlds("HMA"):
        optical = tile.features["optical"]
        rock, debris = bare_rock(tile), (tile.debris == 1) & (optical[4] > optical[2])
        # Light depends on the slope; the ratio of neighbouring bands does not, nearly.
        for a, b in ((2, 3), (3, 4), (4, 5)):
            ratios.append(
                np.median(optical[a][debris] / optical[b][debris])
                / np.median(optical[a][rock] / optical[b][rock])
            )
        # On gentle ground the light is the same.
        gentle = tile.features["dem"][1] < 15
        if (rock & gentle).sum() > 50 and (debris & gentle).sum() > 50:
            contrasts.append(
                np.median(optical[:, debris & gentle], axis=1)
                / np.median(optical[:, rock & gentle], axis=1)
            )
    np.testing.assert_allclose(ratios, 1, atol=0.1)
    np.testing.assert_allclose(np.mean(contrasts, axis=0), 1, atol=0.15)


def test_coherence_and_a_little_warmth_tell_debris_from_rock() -> None:
    colder = []
    for tile in worlds("HMA"):
        rock, debris = bare_rock(tile), tile.debris == 1
        for coherence in tile.features["in_sar"]:
            assert np.median(coherence[debris]) < 0.45
            assert np.median(coherence[rock]) > 0.6
        colder.append(
            np.median(tile.features["thermal"][0][rock])
            - np.median(tile.features["thermal"][0][debris])
        )
    assert 0 < np.mean(colder) < 10


def test_coherence_alone_is_not_enough() -> None:
    scores = []
    for tile in worlds("NZ"):
        lost = tile.features["in_sar"].mean(axis=0) < 0.5
        scores.append(iou(lost, tile.mask == 1))
    assert np.mean(scores) < 0.7


def test_band_ratio_names_the_bands_it_needs() -> None:
    with pytest.raises(InputError, match="swir1"):
        band_ratio(np.zeros((3, 8, 8), dtype=np.float32))


# Files


def test_geotiffs_hold_what_was_made(small: SyntheticGlaciers, tmp_path: Path) -> None:
    root = small.write_geotiffs(tmp_path / "world", progress=False)
    small.write_geotiffs(root, progress=False)  # over what is there
    assert not list(root.rglob(".part*"))
    assert len(list(root.rglob("*.tif"))) == 2 * 4 * len(FEATURES)
    for split in SPLITS:
        for tile in small.split(split):
            folder = root / split / tile.name
            for name, group in FEATURES.items():
                with rasterio.open(folder / f"{name}.tif") as file:
                    np.testing.assert_array_equal(file.read(), tile.features[name])
                    assert file.crs.to_epsg() == tile.crs
                    assert file.transform == tile.transform
                    assert file.descriptions == group.channels
                    assert file.tags()["region"] == tile.region
                    assert file.tags()["subregion"] == tile.subregion
                    assert np.isnan(file.nodata)
                    assert file.profile["tiled"]
                    assert file.profile["compress"] == "deflate"
            outlines = geopandas.read_file(folder / "outlines.gpkg", layer="outlines")
            assert outlines.crs.to_epsg() == tile.crs
            assert outlines.is_valid.all()
            mask = rasterize(outlines.geometry, tile.mask.shape, transform=tile.transform)
            np.testing.assert_array_equal(mask, tile.mask)


def test_a_tile_without_glaciers_has_an_empty_layer(
    small: SyntheticGlaciers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = np.zeros((64, 64), dtype=np.uint8)
    made = small.tile("train", "NZ", 0)
    bare = Tile(**{**vars(made), "mask": none, "debris": none})
    world = SyntheticGlaciers(regions=("NZ",), tiles=(1, 0, 0), size=64)
    monkeypatch.setattr(world, "tile", lambda *_: bare)
    world.write_geotiffs(tmp_path, progress=False)
    outlines = geopandas.read_file(tmp_path / "train" / bare.name / "outlines.gpkg")
    assert outlines.empty
    assert outlines.crs.to_epsg() == bare.crs


def test_what_is_not_complete_does_not_appear(
    small: SyntheticGlaciers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = small.tile("train", "NZ", 0)

    def fail_at_the_second(split: str, region: str, index: int) -> Tile:
        if index:
            raise KeyboardInterrupt
        return made

    world = SyntheticGlaciers(regions=("NZ",), tiles=(2, 0, 0), size=64)
    monkeypatch.setattr(world, "tile", fail_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        world.write_hdf5(tmp_path, progress=False)
    assert not list(tmp_path.iterdir())


def test_hdf5_is_the_released_format(small: SyntheticGlaciers, tmp_path: Path) -> None:
    root = small.write_hdf5(tmp_path, progress=False)
    assert sorted(path.name for path in root.iterdir()) == ["test.hdf5", "train.hdf5", "val.hdf5"]
    with h5py.File(root / "train.hdf5") as file:
        assert list(file) == [tile.name for tile in small.split("train")]
        for tile in small.split("train"):
            group = file[tile.name]
            assert set(group) == {*FEATURES, "outlines"}
            inside = (slice(160, 224), slice(160, 224))
            for name, feature in FEATURES.items():
                array = group[name][:]
                assert array.shape == (384, 384, len(feature))
                assert array.dtype == np.float32
                scaled = feature.scale(torch.from_numpy(tile.features[name])).numpy()
                np.testing.assert_array_equal(array[inside], scaled.transpose(1, 2, 0))
                array[inside] = 0
                assert not array.any()
            outlines = group["outlines"][:]
            np.testing.assert_array_equal(outlines[inside][..., 1], tile.mask)
            np.testing.assert_array_equal(outlines[inside].sum(axis=-1), 1)
            assert outlines.sum() == 64 * 64
            attributes = dict(group.attrs)
            bounds = [attributes.pop(key) for key in ("xmin", "ymin", "xmax", "ymax")]
            np.testing.assert_allclose(bounds, transform_bounds(tile.crs, 4326, *tile.bounds))
            assert attributes == {
                "region": tile.region,
                "subregion": tile.subregion,
                "height": 384,
                "width": 384,
                "padding_height": 160,
                "padding_width": 160,
                "original_height": 64,
                "original_width": 64,
            }


def test_hdf5_padding_puts_the_odd_pixel_at_the_end(tmp_path: Path) -> None:
    world = SyntheticGlaciers(regions=("SC",), tiles=(1, 0, 0), size=33)
    with h5py.File(world.write_hdf5(tmp_path, progress=False) / "train.hdf5") as file:
        group = file["SC_train_000"]
        assert group.attrs["padding_height"] == group.attrs["padding_width"] == 175
        filled = np.flatnonzero(group["outlines"][:].any(axis=(1, 2)))
        assert (filled[0], filled[-1]) == (175, 383 - 176)


# Input that cannot be used


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"regions": ("XX",)}, "unknown region 'XX'.*HMA"),
        ({"regions": ()}, "at least one"),
        ({"regions": ("SC", "SC")}, "each once"),
        ({"tiles": (1, 2)}, "three counts"),
        ({"tiles": (1, -2, 0)}, "0 or more"),
        ({"size": 16}, "at least 32"),
        ({"resolution": 0.0}, "above 0"),
        ({"seed": -1}, "0 or more"),
    ],
)
def test_bad_options(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SyntheticGlaciers(**options)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (("holdout", "SC", 0), "unknown split 'holdout'.*train"),
        (("train", "XX", 0), "unknown region 'XX'"),
        (("train", "SC", -1), "0 or more"),
    ],
)
def test_bad_places(place: tuple[str, str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SyntheticGlaciers().tile(*place)


def test_one_region_may_be_given_as_a_string() -> None:
    assert SyntheticGlaciers(regions="SC").regions == ("SC",)
