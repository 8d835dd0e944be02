import matplotlib.image
import numpy as np
import pytest
from rasterio.transform import Affine, from_origin

from glavitu.features import DEM, OPTICAL, FeatureGroup
from glavitu.mapping import outlines_from_raster, write_preview
from glavitu.pictures import composite, stretched
from glavitu.rasters.scene import Scene

RGB = FeatureGroup("rgb", ("red", "green", "blue"), (0.0,) * 3, (255.0,) * 3)
VELOCITY = FeatureGroup("velocity", ("east", "north"), (0.0,) * 2, (1.0,) * 2)


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ((DEM, RGB, OPTICAL), ("optical", [4, 3, 2])),
        ((DEM, RGB), ("rgb", [0, 1, 2])),
        ((VELOCITY, DEM), ("velocity", [0])),
    ],
)
def test_the_best_composite_is_chosen(write_raster, groups, expected):
    files = {
        group.name: write_raster(f"{group.name}.tif", np.zeros((len(group), 8, 8), np.float32))
        for group in groups
    }
    with Scene(files, groups) as scene:
        group, channels = composite(scene.groups)
    assert (group.name, channels) == expected


def test_stretching_copes_with_missing_and_constant_channels():
    values = np.zeros((3, 10, 10), dtype=np.float32)
    values[0] = np.linspace(-5, 7, 100).reshape(10, 10)
    values[1] = np.nan
    picture = stretched(values)
    assert not picture[..., 3].any()
    picture = stretched(values[:1])
    assert (picture[..., 3] == 1).all()
    assert (picture[..., 0].min(), picture[..., 0].max()) == (0, 1)
    np.testing.assert_array_equal(picture[..., 0], picture[..., 2])


@pytest.mark.parametrize("glacier", [False, True])
@pytest.mark.parametrize(
    ("crs", "grid"),
    [
        ("EPSG:32645", from_origin(500_000, 3_100_000, 30, 30)),
        ("EPSG:32645", from_origin(500_000, 3_100_000, 30, 30) @ Affine.rotation(30)),
        ("EPSG:4326", from_origin(15, 78, 0.002, 0.0004)),
    ],
)
def test_a_picture_of_any_scene(tmp_path, write_raster, crs, grid, glacier):
    shape = (120, 60)
    values = np.full((3, *shape), 0.5, dtype=np.float32)
    values[:, :20] = np.nan
    classes = np.zeros(shape, dtype=np.uint8)
    classes[30:100, 10:50] = glacier
    classes[50:60, 20:30] = 0
    confidence = write_raster(
        "c.tif", np.where(np.isnan(values[0]), np.nan, 0.7).astype("float32"), crs, grid, np.nan
    )
    with Scene({"rgb": write_raster("rgb.tif", values, crs, grid)}, (RGB,)) as scene:
        outlines = outlines_from_raster(classes, scene.transform, scene.crs)
        write_preview(tmp_path / "p.png", scene, outlines, confidence, size=40)
    picture = matplotlib.image.imread(tmp_path / "p.png")
    assert picture.ndim == 3
    left = picture[:, : picture.shape[1] // 2, :3]
    yellow = left[..., 0] - left[..., 2] > 0.3
    assert yellow.any()  # in the legend, and around the glacier
    assert (yellow.sum() > 1000) == glacier
