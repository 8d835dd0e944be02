import warnings

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from glavitu.classes import UNKNOWN
from glavitu.datasets import GlacierRasters, TileWindow
from glavitu.datasets.label_raster import RasterOutlines
from glavitu.errors import InputError
from glavitu.features import FeatureGroup
from glavitu.inventory.tables import inventory, summary
from glavitu.rasters.grid import Grid
from glavitu.windows import Window

from ..raster_files import UTM, write_raster

SHAPE = (40, 50)
GRID = Grid(rasterio.CRS.from_epsg(32645), UTM, SHAPE)
WHOLE = Window(0, 0, *SHAPE)
GREY = FeatureGroup("grey", ("value",), (0.0,), (1.0,))


def truth():
    """Glacier in a box, and unknown columns that cut it."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[10:20, 5:25] = 1
    mask[:, 20:30] = UNKNOWN
    return mask


def coded(unknown, dtype):
    values = truth().astype(dtype)
    values[truth() == UNKNOWN] = unknown
    return values


def read(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return RasterOutlines(path, GRID).read(WHOLE)


@pytest.mark.parametrize(
    ("unknown", "dtype", "nodata"),
    [
        (255, np.uint8, 255),
        (255, np.uint8, None),
        (255, np.int16, 255),
        (7, np.uint8, 7),
        (-1, np.int8, -1),
        (-9999, np.int32, -9999),
        (np.nan, np.float32, np.nan),
        (np.nan, np.float32, None),
        (np.nan, np.float64, -9999),
        (-3.4e38, np.float32, np.float32(-3.4e38)),
        (255, np.float32, None),
    ],
)
def test_what_a_file_does_not_tell_is_unknown(tmp_path, unknown, dtype, nodata):
    path = write_raster(tmp_path / "labels.tif", coded(unknown, dtype), nodata=nodata)
    outlines = RasterOutlines(path, GRID)
    np.testing.assert_array_equal(outlines.read(WHOLE), truth())
    np.testing.assert_array_equal(outlines.read(Window(8, 15, 9, 11)), truth()[8:17, 15:26])
    assert not outlines.remarks


@pytest.mark.parametrize("internal", [True, False])
@pytest.mark.parametrize("nodata", [None, 0, 255])
def test_what_a_mask_leaves_out_is_unknown(tmp_path, internal, nodata):
    path = write_raster(tmp_path / "labels.tif", coded(0, np.uint8), nodata=nodata)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal), rasterio.open(path, "r+") as file:
        file.write_mask(truth() != UNKNOWN)
    np.testing.assert_array_equal(read(path), truth())


def test_what_is_clear_in_an_alpha_band_is_unknown(tmp_path):
    alpha = np.where(truth() == UNKNOWN, 0, 255).astype(np.uint8)
    path = write_raster(tmp_path / "labels.tif", np.stack([coded(0, np.uint8), alpha]))
    with rasterio.open(path, "r+") as file:
        file.colorinterp = (ColorInterp.gray, ColorInterp.alpha)
    np.testing.assert_array_equal(read(path), truth())


def test_a_nodata_value_that_is_no_value_changes_nothing(tmp_path):
    values = np.where(truth() == UNKNOWN, 0, truth()).astype(np.uint8)
    path = write_raster(tmp_path / "labels.tif", values, nodata=128)
    np.testing.assert_array_equal(read(path), values)


def test_the_classes_of_a_map_are_labels(tmp_path):
    # As `glavitu map` writes them: tiled, with overviews, 255 where there is no data.
    path = write_raster(tmp_path / "classes.tif", truth(), nodata=255)
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2], rasterio.enums.Resampling.mode)
    np.testing.assert_array_equal(read(path), truth())


class TestStrange:
    def test_0_as_nodata_is_land_and_said_once(self, tmp_path):
        values = np.where(truth() == UNKNOWN, 0, truth()).astype(np.uint8)
        for name in "abc":
            write_raster(tmp_path / name / "grey.tif", np.ones(SHAPE, np.float32))
            write_raster(tmp_path / name / "outlines.tif", values, nodata=0)
        with pytest.warns(UserWarning, match="nodata value is 0") as said:
            dataset = GlacierRasters(tmp_path, [GREY])
        assert "as are 2 more label rasters" in str(said[0].message)
        assert len([each for each in said if "nodata" in str(each.message)]) == 1
        np.testing.assert_array_equal(dataset[TileWindow(0, WHOLE)]["mask"], values)

    def test_1_as_nodata_is_refused(self, tmp_path):
        path = write_raster(tmp_path / "labels.tif", coded(0, np.uint8), nodata=1)
        with pytest.raises(InputError, match=r"labels\.tif: its nodata value is 1, which is the"):
            RasterOutlines(path, GRID)

    @pytest.mark.parametrize(
        ("value", "dtype", "said"),
        [(2, np.uint8, "2"), (0.5, np.float32, "0.5"), (-1, np.int8, "-1"), (np.inf, "f4", "inf")],
    )
    def test_other_values_are_refused_when_the_file_is_opened(self, tmp_path, value, dtype, said):
        path = write_raster(tmp_path / "labels.tif", coded(value, dtype))
        with pytest.raises(InputError, match=rf"labels\.tif: has the value {said}, but labels are"):
            RasterOutlines(path, GRID)

    def test_0_and_255_may_mean_two_things(self, tmp_path):
        values = np.where(truth() == 1, 255, 0).astype(np.uint8)
        path = write_raster(tmp_path / "labels.tif", values)
        with pytest.raises(InputError, match=r"has the value 255 and no 1, so that 255 may mean"):
            RasterOutlines(path, GRID)
        path = write_raster(tmp_path / "labels.tif", values, nodata=255)
        np.testing.assert_array_equal(read(path), np.where(values, 255, 0))

    def test_a_window_without_glacier_knows_the_file(self, tmp_path):
        values = np.zeros((40, 4000), np.uint8)
        values[:, -2000], values[:, 0] = 1, 255
        path = write_raster(tmp_path / "labels.tif", values)
        outlines = RasterOutlines(path, Grid(GRID.crs, UTM, values.shape))
        mask = outlines.read(Window(0, 0, 40, 20))
        np.testing.assert_array_equal(mask, values[:, :20])

    def test_labels_without_land_or_without_any_are_remarked(self, tmp_path):
        values = np.where(truth() == 1, 1, 255).astype(np.uint8)
        path = write_raster(tmp_path / "labels.tif", values, nodata=255)
        (remark,) = RasterOutlines(path, GRID).remarks
        assert "none is land without glaciers" in remark
        path = write_raster(tmp_path / "none.tif", np.full_like(values, 255), nodata=255)
        (remark,) = RasterOutlines(path, GRID).remarks
        assert "all its pixels are unknown" in remark


def test_the_share_of_glacier_is_of_what_is_known(tmp_path):
    for name, labels in (("a", truth()), ("b", np.full_like(truth(), UNKNOWN))):
        values = np.ones(SHAPE, np.float32)
        write_raster(tmp_path / "train" / name / "grey.tif", values, region="HMA")
        write_raster(tmp_path / "train" / name / "outlines.tif", labels, nodata=255)
    with pytest.warns(UserWarning, match="all its pixels are unknown"):
        tiles = inventory(tmp_path)
    assert tiles[["known", "glacier"]].values.tolist() == [[40 * 40, 150], [0, 0]]
    assert summary(tiles)["glacier_share"].tolist() == [150 / 1600, 150 / 1600]
    with pytest.warns(UserWarning, match="all its pixels are unknown"):
        (share,) = set(summary(inventory(tmp_path / "train" / "b"))["glacier_share"].isna())
    assert share
