import geopandas
import numpy as np
import pytest
import torch
from rasterio.transform import from_origin
from shapely.geometry import Polygon, box
from torch.utils.data import DataLoader
from torchgeo.datasets import stack_samples

from glavitu.datasets import GlacierRasters, GridWindows, RandomWindows, TileWindow
from glavitu.errors import InputError
from glavitu.features import FEATURES, FeatureGroup
from glavitu.windows import Window

from ..raster_files import UTM, write_raster

RGB = FeatureGroup("rgb", ("red", "green", "blue"), (0, 0, 0), (255, 255, 255))
SHAPE = (40, 50)


def pixels_box(left, top, right, bottom, transform=UTM):
    """A box around whole pixels, in coordinates."""
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return Polygon([transform @ corner for corner in corners])


def write_outlines(path, *polygons, crs="EPSG:32645", to="EPSG:4326"):
    path.parent.mkdir(parents=True, exist_ok=True)
    geopandas.GeoDataFrame(geometry=list(polygons), crs=crs).to_crs(to).to_file(path)
    return path


def rgb_values(seed=0, shape=SHAPE):
    return np.random.default_rng(seed).integers(0, 256, (3, *shape), dtype=np.uint8)


@pytest.fixture
def tile(tmp_path):
    """A tile with an RGB raster, and one outline in degrees over rows 10-20, columns 5-25."""
    folder = tmp_path / "tile"
    write_raster(folder / "rgb.tif", rgb_values(), region="HMA", subregion="HMA1")
    write_outlines(folder / "outlines.gpkg", pixels_box(5, 10, 25, 20))
    return folder


def expected_mask():
    mask = torch.zeros(SHAPE, dtype=torch.int64)
    mask[10:20, 5:25] = 1
    return mask


def test_a_sample_is_what_the_design_says(tile):
    dataset = GlacierRasters(tile, [RGB])
    sample = dataset[TileWindow(0, dataset.extents[0])]
    assert sample["image"].dtype == torch.float32
    torch.testing.assert_close(
        sample["image"], torch.from_numpy(rgb_values().astype(np.float32) / 255)
    )
    assert sample["mask"].dtype == torch.int64
    assert torch.equal(sample["mask"], expected_mask())
    assert sample["region"].item() == 5
    assert all(isinstance(value, torch.Tensor) for value in sample.values())
    where = [500_000, 501_500, 30, 3_098_800, 3_100_000, 30]
    assert sample["bounds"][:6].tolist() == where
    assert sample["transform"].tolist() == [30, 0, 500_000, 0, -30, 3_100_000, 0, 0, 1]
    known = dataset.tiles[sample["tile"]]
    assert (known.crs.to_epsg(), known.subregion) == (32645, "HMA1")


@pytest.mark.parametrize(("padding", "label"), [("unknown", 255), ("land", 0)])
@pytest.mark.parametrize("window", [Window(-8, -8, 32, 32), Window(20, 30, 32, 32)])
def test_beyond_the_tile_is_padding(tile, window, padding, label):
    dataset = GlacierRasters(tile, [RGB], padding=padding)
    whole = dataset[TileWindow(0, dataset.extents[0])]
    sample = dataset[TileWindow(0, window)]
    pad = (32, 32, 32, 32)
    for key, value in (("image", 0), ("mask", label)):
        padded = torch.nn.functional.pad(whole[key], pad, value=value)
        rows = slice(window.row + 32, window.row + 64)
        cols = slice(window.col + 32, window.col + 64)
        assert torch.equal(sample[key], padded[..., rows, cols])


@pytest.mark.parametrize("name", ["outlines.shp", "outlines.geojson", "outlines.gpkg"])
@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857", "EPSG:32645"])
def test_outlines_come_in_any_vector_format_and_crs(tile, name, crs):
    if name.endswith("geojson") and crs != "EPSG:4326":
        pytest.skip("GeoJSON is always in degrees")
    (tile / "outlines.gpkg").unlink()
    write_outlines(tile / name, pixels_box(5, 10, 25, 20), to=crs)
    dataset = GlacierRasters(tile, [RGB])
    assert torch.equal(dataset[TileWindow(0, dataset.extents[0])]["mask"], expected_mask())


def test_labels_may_be_a_raster(tile):
    (tile / "outlines.gpkg").unlink()
    labels = expected_mask().numpy().astype(np.uint8)
    labels[0, 0] = 255  # nodata
    write_raster(tile / "outlines.tif", labels, nodata=255)
    dataset = GlacierRasters(tile, [RGB])
    assert torch.equal(dataset[TileWindow(0, dataset.extents[0])]["mask"], expected_mask())


def test_holes_stay_holes_and_invalid_rings_are_repaired(tile):
    (tile / "outlines.gpkg").unlink()
    outer, hole = pixels_box(5, 10, 25, 20), pixels_box(10, 12, 14, 16)
    bow_tie = Polygon([UTM @ p for p in ((30, 30), (40, 38), (40, 30), (30, 38))])
    write_outlines(tile / "outlines.gpkg", outer.difference(hole), bow_tie, to="EPSG:32645")
    dataset = GlacierRasters(tile, [RGB])
    mask = dataset[TileWindow(0, dataset.extents[0])]["mask"]
    assert mask[12:16, 10:14].sum() == 0
    assert mask[10:20, 5:25].sum() == 200 - 16
    assert mask[33:35, 31:33].all()  # left half of the bow tie


def test_no_outlines_means_no_mask(tile):
    dataset = GlacierRasters(tile, [RGB], outlines=None)
    assert "mask" not in dataset[TileWindow(0, dataset.extents[0])]


def test_one_file_may_hold_all_groups(tmp_path):
    rgb, thermal = rgb_values().astype(np.float32), np.full((1, *SHAPE), 161.040283205, "float32")
    write_raster(tmp_path / "stack.tif", np.concatenate([rgb, thermal]))
    dataset = GlacierRasters(tmp_path, [RGB, "thermal"], files="stack.tif", outlines=None)
    image = dataset[TileWindow(0, dataset.extents[0])]["image"]
    torch.testing.assert_close(image[:3], torch.from_numpy(rgb / 255))
    torch.testing.assert_close(image[3], torch.full(SHAPE, 0.5))


def test_groups_are_stacked_in_the_order_asked_for(tmp_path):
    write_raster(tmp_path / "rgb.tif", rgb_values())
    write_raster(tmp_path / "thermal.tif", np.full(SHAPE, 100, np.float32))
    one = GlacierRasters(tmp_path, [RGB, "thermal"], outlines=None)
    other = GlacierRasters(tmp_path, ["thermal", RGB], outlines=None)
    window = TileWindow(0, one.extents[0])
    assert torch.equal(one[window]["image"][:3], other[window]["image"][1:])
    assert torch.equal(one[window]["image"][3], other[window]["image"][0])


def test_missing_values_are_0_before_scaling(tmp_path):
    values = np.full((1, *SHAPE), 300, np.float32)
    values[0, 0, 0], values[0, 1, 1] = np.nan, -9999
    write_raster(tmp_path / "thermal.tif", values, nodata=-9999)
    dataset = GlacierRasters(tmp_path, ["thermal"], outlines=None)
    image = dataset[TileWindow(0, dataset.extents[0])]["image"]
    assert image[0, 0, 0] == image[0, 1, 1] == 0
    torch.testing.assert_close(image[0, 2, 2], torch.tensor(300 / FEATURES["thermal"].maximum[0]))


def test_bounds_keep_a_part_and_show_nothing_of_the_rest(tile):
    left, top = UTM @ (10, 0)
    right, bottom = UTM @ (20, 40)
    dataset = GlacierRasters(tile, [RGB], bounds=(left, bottom, right, top))
    assert dataset.extents == [Window(0, 10, 40, 10)]
    sample = dataset[TileWindow(0, Window(0, 0, 40, 50))]
    outside = torch.ones(SHAPE, dtype=torch.bool)
    outside[:, 10:20] = False
    assert not sample["image"][:, outside].any()
    assert (sample["mask"][outside] == 255).all()
    assert torch.equal(sample["mask"][:, 10:20], expected_mask()[:, 10:20])


def test_bounds_elsewhere_are_refused(tile):
    with pytest.raises(InputError, match="overlap none"):
        GlacierRasters(tile, [RGB], bounds=(0, 0, 10, 10))


def test_high_tiles_are_read_in_strips_that_do_not_show(tmp_path):
    values = rgb_values(shape=(1100, 7))
    write_raster(tmp_path / "rgb.tif", values)
    write_outlines(tmp_path / "outlines.gpkg", pixels_box(2, 500, 5, 1030))
    dataset = GlacierRasters(tmp_path, [RGB])
    sample = dataset[TileWindow(0, Window(-3, -1, 1110, 9))]
    expected = np.zeros((3, 1110, 9), np.float32)
    expected[:, 3:1103, 1:8] = values.astype(np.float32) / 255
    torch.testing.assert_close(sample["image"], torch.from_numpy(expected))
    mask = np.full((1110, 9), 255, np.int64)
    mask[3:1103, 1:8] = 0
    mask[503:1033, 3:6] = 1
    np.testing.assert_array_equal(sample["mask"], mask)


@pytest.mark.parametrize("location", ["region", "coordinates"])
def test_location_vectors(tile, location):
    dataset = GlacierRasters(tile, [RGB], location=location)
    vector = dataset[TileWindow(0, Window(0, 0, 32, 32))]["location"]
    if location == "region":
        assert vector.tolist() == [float(i == 5) for i in range(12)]
    else:
        # Zone 45 N has its meridian at 87 degrees east, at easting 500 km.
        longitude = np.degrees(np.arctan2(vector[2], vector[3]))
        latitude = np.degrees(np.arctan2(vector[0], vector[1]))
        assert 87 < longitude < 87.01
        assert 28.01 < latitude < 28.03


def two_zones(tmp_path):
    for name, crs in (("a", "EPSG:32645"), ("b", "EPSG:32633")):
        write_raster(tmp_path / name / "rgb.tif", rgb_values(), crs=crs)
        write_outlines(tmp_path / name / "outlines.gpkg", pixels_box(5, 10, 25, 20), crs=crs)
    return GlacierRasters(tmp_path, [RGB])


def test_tiles_of_several_crs_keep_their_own_grids(tmp_path):
    dataset = two_zones(tmp_path)
    a, b = (dataset[TileWindow(i, dataset.extents[i])] for i in range(2))
    assert [dataset.tiles[s["tile"]].crs.to_epsg() for s in (a, b)] == [32645, 32633]
    assert torch.equal(a["image"], b["image"])
    assert torch.equal(a["mask"], b["mask"])


@pytest.mark.parametrize("workers", [0, 2])
def test_our_samplers_draw_from_all_tiles_in_any_number_of_workers(tmp_path, workers):
    dataset = two_zones(tmp_path)
    dataset[TileWindow(0, dataset.extents[0])]  # open in the parent before workers fork
    sampler = RandomWindows(dataset.extents, 16, 40)
    loader = DataLoader(dataset, 8, sampler=sampler, num_workers=workers, collate_fn=stack_samples)
    batches = list(loader)
    assert [tuple(batch["image"].shape) for batch in batches] == [(8, 3, 16, 16)] * 5
    assert {int(tile) for batch in batches for tile in batch["tile"]} == {0, 1}


def test_plot_shows_image_mask_and_prediction(tile):
    dataset = GlacierRasters(tile, [RGB])
    sample = dataset[TileWindow(0, dataset.extents[0])]
    figure = dataset.plot(sample | {"prediction": sample["mask"]}, suptitle="A tile")
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["red / green / blue", "mask", "prediction"]
    assert len(dataset.plot(sample, show_titles=False).axes) == 2


def test_grid_windows_cover_each_pixel_once():
    for extent in (Window(3, 5, 40, 50), Window(0, 0, 32, 48), Window(0, 0, 10, 7)):
        seen = np.zeros((200, 200), int)
        for _, (row, col, height, width), _ in GridWindows([extent], 16):
            seen[row + 50 : row + 50 + height, col + 50 : col + 50 + width] += 1
        inside = seen[
            extent.row + 50 : extent.row + 50 + extent.height,
            extent.col + 50 : extent.col + 50 + extent.width,
        ]
        assert (inside == 1).all()
        assert seen.max() == 1


def test_random_windows_reach_all_places_of_the_padded_tiles():
    torch.manual_seed(0)
    # Padded to 32 x 32, 7 rows and 7 columns before; and to 16 x 32, 4 rows and 8 columns before.
    large, small = Window(10, 20, 18, 17), Window(0, 0, 8, 16)
    windows = list(RandomWindows([large, small], 16, 2000))
    rows = {w.row for tile, w, _ in windows if tile == 0}
    cols = {w.col for tile, w, _ in windows if tile == 0}
    assert (rows, cols) == (set(range(3, 20)), set(range(13, 30)))
    assert {w.row for tile, w, _ in windows if tile == 1} == {-4}
    assert {w.col for tile, w, _ in windows if tile == 1} == set(range(-8, 9))
    assert 900 < sum(tile == 0 for tile, *_ in windows) < 1100


@pytest.mark.slow
def test_spawned_workers_can_have_the_dataset(tile):
    dataset = GlacierRasters(tile, [RGB])
    window = TileWindow(0, dataset.extents[0])
    here = dataset[window]  # files are open now
    loader = DataLoader(
        dataset,
        sampler=[window],
        num_workers=1,
        multiprocessing_context="spawn",
        collate_fn=stack_samples,
    )
    (there,) = loader
    assert torch.equal(there["image"][0], here["image"])
    assert torch.equal(there["mask"][0], here["mask"])


def test_a_new_dataset_reads_files_that_were_replaced(tile):
    window = TileWindow(0, Window(0, 0, *SHAPE))
    before = GlacierRasters(tile, [RGB])[window]["image"]
    write_raster(tile / "rgb.tif", rgb_values(seed=1))
    after = GlacierRasters(tile, [RGB])[window]["image"]
    assert not torch.equal(before, after)


def test_one_file_of_outlines_may_serve_all_tiles(tmp_path):
    for name in ("2019", "2020"):
        write_raster(tmp_path / "tiles" / name / "s2" / "rgb.tif", rgb_values())
    inventory = write_outlines(tmp_path / "inventory.gpkg", pixels_box(5, 10, 25, 20))
    dataset = GlacierRasters(tmp_path / "tiles", [RGB], outlines=str(inventory))
    # Folders of one name are told apart.
    assert [tile.name for tile in dataset.tiles] == ["2019_s2", "2020_s2"]
    for number in range(2):
        mask = dataset[TileWindow(number, dataset.extents[number])]["mask"]
        assert torch.equal(mask, expected_mask())


class TestOneInventoryForTilesWithAndWithoutGlaciers:
    """Three tiles side by side; the outlines are those of the first alone."""

    @pytest.fixture
    def tiles(self, tmp_path):
        for number, region in enumerate(["HMA", "NZ", "NZ"]):
            west = from_origin(500_000 + 30 * SHAPE[1] * number, 3_100_000, 30, 30)
            path = tmp_path / "tiles" / str(number) / "rgb.tif"
            write_raster(path, rgb_values(), transform=west, region=region)
        return tmp_path / "tiles"

    @pytest.fixture
    def inventory(self, tmp_path):
        # A zone of UTM has no coordinates for the outline on the other side of the Earth.
        far = Polygon([(-97, 1), (-93, 1), (-93, 3), (-97, 3)])
        degrees = geopandas.GeoSeries([pixels_box(5, 10, 25, 20)], crs="EPSG:32645").to_crs(4326)
        return write_outlines(tmp_path / "rgi.gpkg", degrees[0], far, crs="EPSG:4326")

    def test_tiles_without_an_outline_are_land_and_counted_once(self, tiles, inventory):
        with pytest.warns(UserWarning, match="land without glaciers") as warned:
            dataset = GlacierRasters(tiles, [RGB], outlines=str(inventory))
        (said,) = [str(w.message) for w in warned if "rgi.gpkg" in str(w.message)]
        assert "has no outline in 2 of 3 tiles" in said
        masks = [dataset[TileWindow(n, dataset.extents[n])]["mask"] for n in range(3)]
        assert torch.equal(masks[0], expected_mask())
        assert not masks[1].any()
        assert not masks[2].any()

    def test_rows_of_a_manifest_may_name_one_file_too(self, tiles, inventory):
        rows = "".join(f"tiles/{number},rgi.gpkg\n" for number in range(3))
        (tiles.parent / "scenes.csv").write_text("scene,outlines\n" + rows)
        with pytest.warns(UserWarning, match="no outline in 2 of 3 tiles"):
            assert len(GlacierRasters(tiles.parent / "scenes.csv", [RGB]).tiles) == 3

    def test_outlines_of_another_place_are_an_error(self, tiles, inventory):
        with pytest.raises(InputError, match=r"rgi\.gpkg: none of its 2 .* they span .* 2 tiles"):
            GlacierRasters(tiles, [RGB], outlines=str(inventory), regions=["NZ"])

    def test_labels_of_tiles_that_are_not_kept_stay_closed(self, tiles, inventory):
        for number in range(3):
            (tiles / str(number) / "outlines.gpkg").write_text("damaged")
        inventory.rename(tiles / "0" / "outlines.gpkg")
        (tile,) = GlacierRasters(tiles, [RGB], regions=["HMA"]).tiles
        assert tile.name == "0"
        with pytest.raises(InputError, match=r"1/outlines\.gpkg: cannot be read"):
            GlacierRasters(tiles, [RGB])


def test_valid_pixels_have_data_in_every_group(tmp_path):
    values = np.full((1, *SHAPE), 300, np.float32)
    values[0, :5] = np.nan
    write_raster(tmp_path / "thermal.tif", values)
    write_raster(tmp_path / "rgb.tif", rgb_values())
    valid = GlacierRasters(tmp_path, ["thermal", RGB], outlines=None).valid(0)
    assert not valid[:5].any()
    assert valid[5:].all()


def test_labels_are_unknown_where_a_group_has_no_data(tmp_path):
    thermal = np.full((1, *SHAPE), 300, np.float32)
    thermal[0, :15] = np.nan
    write_raster(tmp_path / "thermal.tif", thermal)
    values = rgb_values()
    values[0, 18] = 0  # one channel alone
    values[:, :, 10] = 0
    write_raster(tmp_path / "rgb.tif", values, nodata=0)
    write_outlines(tmp_path / "outlines.gpkg", pixels_box(5, 10, 25, 20))
    dataset = GlacierRasters(tmp_path, ["thermal", RGB])
    mask = dataset[TileWindow(0, dataset.extents[0])]["mask"]
    expected = expected_mask()
    expected[:15], expected[:, 10] = 255, 255
    assert torch.equal(mask, expected)


def test_a_strange_padding_is_refused(tile):
    with pytest.raises(InputError, match="unknown padding 'rock'; choose from unknown, land"):
        GlacierRasters(tile, [RGB], padding="rock")


def test_folders_with_some_of_the_groups_are_left_out_and_counted(tile):
    write_raster(tile.parent / "other" / "rgb.tif", rgb_values())
    write_raster(tile.parent / ".partial-third" / "rgb.tif", rgb_values())
    write_raster(tile.parent / ".partial-third" / "thermal.tif", np.ones(SHAPE, np.float32))
    write_raster(tile / "thermal.tif", np.ones(SHAPE, np.float32))
    with pytest.warns(UserWarning, match=r"1 of 2 tiles lack one of .*other has not thermal\.tif"):
        dataset = GlacierRasters(tile.parent, [RGB, "thermal"])
    assert [t.name for t in dataset.tiles] == ["tile"]


def test_regions_and_subregions_choose_tiles(tile):
    write_raster(tile.parent / "other" / "rgb.tif", rgb_values(), region="NZ", subregion="NZ2")
    write_outlines(tile.parent / "other" / "outlines.gpkg", pixels_box(5, 10, 25, 20))
    assert len(GlacierRasters(tile.parent, [RGB]).tiles) == 2
    chosen = GlacierRasters(tile.parent, [RGB], regions=["NZ", "SC"]).tiles
    assert [t.name for t in chosen] == ["other"]
    chosen = GlacierRasters(tile.parent, [RGB], subregions=["HMA1"]).tiles
    assert [t.name for t in chosen] == ["tile"]
    with pytest.raises(InputError, match="none of its 2 tiles is in regions .* it has HMA HMA1"):
        GlacierRasters(tile.parent, [RGB], regions=["SC"])


def test_scaled_files_are_not_scaled_again(tmp_path):
    values = np.linspace(0, 1, SHAPE[0] * SHAPE[1], dtype=np.float32).reshape(1, *SHAPE)
    write_raster(tmp_path / "thermal.tif", values, glavitu_scaled="yes")
    dataset = GlacierRasters(tmp_path, ["thermal"], outlines=None)
    image = dataset[TileWindow(0, dataset.extents[0])]["image"]
    assert torch.equal(image, torch.from_numpy(values))


class TestBadInput:
    def test_scaled_elevation_without_slope(self, tmp_path):
        write_raster(tmp_path / "dem.tif", np.ones(SHAPE, np.float32), glavitu_scaled="yes")
        with pytest.raises(InputError, match=r"dem\.tif has scaled values .* elevation alone"):
            GlacierRasters(tmp_path, ["dem"], outlines=None)

    def test_all_nodata(self, tile):
        write_raster(tile / "rgb.tif", np.zeros((3, *SHAPE), np.uint8), nodata=0)
        with pytest.raises(InputError, match=r"no pixel has data in .*rgb\.tif"):
            GlacierRasters(tile, [RGB])

    def test_label_raster_without_crs(self, tile):
        (tile / "outlines.gpkg").unlink()
        write_raster(tile / "outlines.tif", np.zeros(SHAPE, np.uint8), crs=None)
        with pytest.raises(InputError, match=r"outlines\.tif has no coordinate reference"):
            GlacierRasters(tile, [RGB])

    def test_labels_of_other_values(self, tile):
        (tile / "outlines.gpkg").unlink()
        write_raster(tile / "outlines.tif", np.full(SHAPE, 255, np.uint8))
        dataset = GlacierRasters(tile, [RGB])
        with pytest.raises(InputError, match=r"outlines\.tif: has the value 255"):
            dataset[TileWindow(0, dataset.extents[0])]

    @pytest.mark.parametrize("bounds", [(0, 0, 1), (1, 0, 0, 1)])
    def test_bounds_that_are_none(self, tile, bounds):
        with pytest.raises(InputError, match="are not xmin, ymin, xmax, ymax"):
            GlacierRasters(tile, [RGB], bounds=bounds)

    def test_foreign_region_tag(self, tile):
        write_raster(tile / "rgb.tif", rgb_values(), region="eu-west")
        with pytest.raises(InputError, match="tile: unknown region 'eu-west'.*data.region"):
            GlacierRasters(tile, [RGB])

    def test_absolute_rasters(self, tile):
        with pytest.raises(InputError, match="must be names or patterns"):
            GlacierRasters(tile, [RGB], files=str(tile / "rgb.tif"))

    def test_missing_folder(self, tmp_path):
        with pytest.raises(InputError, match="nowhere.*no such folder"):
            GlacierRasters(tmp_path / "nowhere", [RGB])

    def test_no_tile(self, tmp_path):
        with pytest.raises(InputError, match=r"no folder in it holds rgb\.tif"):
            GlacierRasters(tmp_path, [RGB])

    def test_missing_group(self, tile):
        with pytest.raises(InputError, match=r"tile has not thermal\.tif"):
            GlacierRasters(tile, [RGB, "thermal"])

    def test_unreadable_raster(self, tile):
        (tile / "rgb.tif").write_bytes(b"not a raster")
        with pytest.raises(InputError, match=r"rgb\.tif cannot be read"):
            GlacierRasters(tile, [RGB])

    def test_wrong_band_count(self, tile):
        write_raster(tile / "rgb.tif", rgb_values()[:2])
        with pytest.raises(InputError, match=r"rgb\.tif has 2 band.*needs 3: red, green, blue"):
            GlacierRasters(tile, [RGB])

    def test_wrong_band_count_of_a_stack(self, tile):
        with pytest.raises(InputError, match=r"rgb\.tif has 3 band.*4.*rgb 3, thermal 1"):
            GlacierRasters(tile, [RGB, "thermal"], files="rgb.tif")

    def test_different_grids(self, tile):
        write_raster(tile / "thermal.tif", np.zeros((30, 50), np.float32))
        with pytest.raises(InputError, match=r"thermal\.tif differs from .*rgb\.tif in size"):
            GlacierRasters(tile, [RGB, "thermal"])

    def test_no_crs(self, tile):
        write_raster(tile / "rgb.tif", rgb_values(), crs=None)
        with pytest.raises(InputError, match=r"rgb\.tif has no coordinate reference system"):
            GlacierRasters(tile, [RGB])

    def test_outlines_elsewhere(self, tile):
        write_outlines(tile / "outlines.gpkg", box(400_000, 0, 400_300, 300))
        with pytest.raises(InputError, match=r"outlines\.gpkg: none of its 1 outlines overlaps"):
            GlacierRasters(tile, [RGB])

    def test_no_outlines(self, tile):
        (tile / "outlines.gpkg").unlink()
        with pytest.raises(InputError, match=r"nothing in it matches 'outlines\.\*'"):
            GlacierRasters(tile, [RGB])

    def test_two_files_of_outlines(self, tile):
        write_outlines(tile / "outlines.geojson", pixels_box(5, 10, 25, 20))
        with pytest.raises(InputError, match=r"outlines\.geojson, outlines\.gpkg all match"):
            GlacierRasters(tile, [RGB])

    def test_damaged_outlines(self, tile):
        (tile / "outlines.gpkg").write_bytes(b"no")
        with pytest.raises(InputError, match=r"outlines\.gpkg: cannot be read"):
            GlacierRasters(tile, [RGB])

    def test_outlines_that_are_lines(self, tile):
        write_outlines(tile / "outlines.gpkg", pixels_box(5, 10, 25, 20).boundary)
        with pytest.raises(InputError, match="LineString"):
            GlacierRasters(tile, [RGB])

    @pytest.mark.parametrize(
        ("shape", "crs", "message"),
        [(SHAPE, "EPSG:32644", "EPSG:32644"), ((40, 51), "EPSG:32645", "another grid")],
    )
    def test_label_rasters_on_another_grid(self, tile, shape, crs, message):
        (tile / "outlines.gpkg").unlink()
        write_raster(tile / "outlines.tif", np.zeros(shape, np.uint8), crs=crs)
        with pytest.raises(InputError, match=message):
            GlacierRasters(tile, [RGB])

    def test_label_raster_shifted(self, tile):
        (tile / "outlines.gpkg").unlink()
        shifted = from_origin(500_030, 3_100_000, 30, 30)
        write_raster(tile / "outlines.tif", np.zeros(SHAPE, np.uint8), transform=shifted)
        with pytest.raises(InputError, match="another grid"):
            GlacierRasters(tile, [RGB])

    def test_unknown_region(self, tile):
        with pytest.raises(InputError, match="'Alps'"):
            GlacierRasters(tile, [RGB], region="Alps")

    def test_unknown_location(self, tile):
        with pytest.raises(InputError, match="unknown location 'here'"):
            GlacierRasters(tile, [RGB], location="here")

    def test_files_of_groups_that_are_not_asked_for(self, tile):
        with pytest.raises(InputError, match="files names dem"):
            GlacierRasters(tile, [RGB], files={"dem": "dem.tif"})
