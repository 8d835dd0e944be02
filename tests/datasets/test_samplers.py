from collections import Counter

import pytest
import torch

from glavitu.datasets import GlacierRasters, RandomWindows, TileWindow
from glavitu.datasets.samplers import NO_WINDOW, GridWindows, ProcessShare, WholeTiles
from glavitu.windows import Window, intersection

EXTENTS = [Window(0, 0, 40, 60), Window(5, 7, 100, 20), Window(0, 0, 16, 16)]


def drawn(seed=0, epoch=0, length=50, **options):
    sampler = RandomWindows(EXTENTS, 16, length, seed, **options)
    sampler.set_epoch(epoch)
    return list(sampler)


def test_random_windows_depend_on_seed_and_epoch_alone():
    windows = drawn(seed=3, epoch=4)
    torch.manual_seed(99)
    sampler = RandomWindows(EXTENTS, 16, 50, 3)
    assert list(sampler) == drawn(seed=3, epoch=0)
    sampler.set_epoch(4)
    before = torch.get_rng_state()
    assert list(sampler) == list(sampler) == windows
    assert torch.equal(torch.get_rng_state(), before)
    assert len({tuple(drawn(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9
    # Seeds that torch draws itself are as large as this.
    assert drawn(seed=2**64 - 1) != windows


def test_balanced_draws_choose_the_region_first():
    extents = [EXTENTS[0]] * 10
    sampler = RandomWindows(extents, 16, 4000, regions=[3] + [5] * 7 + [11] * 2)
    tiles = Counter(window.tile for window in sampler)
    # Four standard deviations of 4000 draws.
    assert tiles[0] / 4000 == pytest.approx(1 / 3, abs=0.03)
    assert sum(tiles[i] for i in (8, 9)) / 4000 == pytest.approx(1 / 3, abs=0.03)
    for tile in range(1, 8):
        assert tiles[tile] / 4000 == pytest.approx(1 / 21, abs=0.014)
    tiles = Counter(window.tile for window in RandomWindows(extents, 16, 4000))
    for tile in range(10):
        assert tiles[tile] / 4000 == pytest.approx(1 / 10, abs=0.02)


@pytest.mark.parametrize("processes", [1, 2, 3, 5, 12])
@pytest.mark.parametrize("fill", [False, True])
def test_each_window_is_in_the_share_of_one_process(processes, fill):
    for sampler in (GridWindows(EXTENTS, 64), WholeTiles(EXTENTS)):
        shares = [ProcessShare(sampler, rank, processes, fill) for rank in range(processes)]
        given = [list(share) for share in shares]
        assert [len(share) for share in shares] == [len(windows) for windows in given]
        counts = Counter(window for windows in given for window in windows)
        extra = counts.pop(NO_WINDOW, 0)
        assert counts == Counter(sampler)
        assert extra == (max(0, processes - len(sampler)) if fill else 0)
        assert all(windows == [NO_WINDOW] or NO_WINDOW not in windows for windows in given)


def test_shares_of_random_windows_are_parts_of_one_epoch():
    shares = [ProcessShare(RandomWindows(EXTENTS, 16, 12, 7), rank, 3) for rank in range(3)]
    for share in shares:
        share.set_epoch(2)
    windows = list(zip(*shares, strict=True))
    assert [window for row in windows for window in row] == drawn(seed=7, epoch=2, length=12)


@pytest.mark.parametrize("size", [16, 17, 20, 100])
def test_windows_inside_count_each_pixel_once(size):
    for extent in EXTENTS:
        seen = torch.zeros(200, 200, dtype=torch.int64)
        for _, window, counted in GridWindows([extent], size, inside=True):
            assert intersection(window, counted) == counted
            for of, length, start, at in zip(
                (extent.height, extent.width),
                (window.height, window.width),
                (extent.row, extent.col),
                (window.row, window.col),
                strict=True,
            ):
                if of >= size:
                    assert start <= at <= start + of - length
                else:
                    assert at <= start
                    assert at + length >= start + of
            seen[counted.slices_in(Window(0, 0, 200, 200))] += 1
        inside = torch.zeros_like(seen)
        inside[extent.slices_in(Window(0, 0, 200, 200))] = 1
        assert torch.equal(seen, inside)


def test_random_windows_inside_reach_all_places_of_the_tiles():
    large, small = Window(10, 20, 18, 17), Window(0, 0, 8, 16)
    windows = list(RandomWindows([large, small], 16, 2000, inside=True))
    assert {w.row for tile, w, _ in windows if tile == 0} == {10, 11, 12}
    assert {w.col for tile, w, _ in windows if tile == 0} == {20, 21}
    # The small tile is whole in each of its windows.
    assert {w.row for tile, w, _ in windows if tile == 1} == set(range(-8, 1))
    assert {w.col for tile, w, _ in windows if tile == 1} == {0}


def test_labels_beyond_what_counts_are_unknown(world):
    dataset = GlacierRasters(world / "test")
    whole = dataset[TileWindow(0, dataset.extents[0])]["mask"]
    sample = dataset[TileWindow(0, Window(10, 10, 32, 32), Window(20, 30, 22, 12))]["mask"]
    assert torch.equal(sample[10:, 20:], whole[20:42, 30:42])
    assert (sample[:10] == 255).all()
    assert (sample[:, :20] == 255).all()


def test_a_window_without_pixels_is_a_sample(world):
    sample = GlacierRasters(world / "test", location="coordinates")[NO_WINDOW]
    assert sample["image"].shape == (8, 0, 0)
    assert sample["mask"].shape == (0, 0)
