import numpy as np
import pytest

from glavitu.rasters.terrain import aspect_degrees, slope_degrees


@pytest.mark.parametrize(("east", "south"), [(0.0, 0.0), (1.0, 0.0), (0.3, -0.4), (-2.0, 5.0)])
def test_an_inclined_plane_has_its_slope_everywhere(east, south):
    y, x = np.mgrid[:12, :9]
    elevation = (1000 + east * 30 * x + south * 20 * y).astype(np.float32)
    slope = slope_degrees(elevation, 30, 20)
    assert slope.dtype == np.float32
    np.testing.assert_allclose(slope, np.degrees(np.arctan(np.hypot(east, south))), atol=1e-3)


def test_horn_weights():
    elevation = np.arange(9, dtype=np.float32).reshape(3, 3) ** 2
    a, b, c, d, _, f, g, h, i = elevation.ravel().astype(float)
    dx = ((c + 2 * f + i) - (a + 2 * d + g)) / (8 * 10)
    dy = ((g + 2 * h + i) - (a + 2 * b + c)) / (8 * 20)
    expected = np.degrees(np.arctan(np.hypot(dx, dy)))
    assert slope_degrees(elevation, 10, 20)[1, 1] == pytest.approx(expected, rel=1e-6)


def test_pixels_may_change_their_size_from_row_to_row():
    elevation = np.random.default_rng(0).random((6, 5), dtype=np.float32) * 100
    widths = np.linspace(10, 30, 6)[:, None]
    slope = slope_degrees(elevation, widths, 20)
    for row, width in enumerate(widths[:, 0]):
        np.testing.assert_allclose(slope[row], slope_degrees(elevation, width, 20)[row])


def test_a_missing_pixel_or_neighbour_makes_slope_missing():
    elevation = np.zeros((7, 7), dtype=np.float32)
    elevation[3, 3] = np.nan
    missing = np.isnan(slope_degrees(elevation, 30, 30))
    expected = np.zeros((7, 7), dtype=bool)
    expected[2:5, 2:5] = True
    np.testing.assert_array_equal(missing, expected)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1)])
def test_a_single_row_or_column_is_no_error(shape):
    slope = slope_degrees(np.full(shape, 7, dtype=np.float32), 30, 30)
    np.testing.assert_array_equal(slope, np.zeros(shape))


@pytest.mark.parametrize(
    ("east", "south", "aspect"),
    [(0, 1, 0), (-1, 1, 45), (-1, 0, 90), (0, -1, 180), (1, 0, 270), (1, 1, 315)],
)
def test_aspect_is_where_water_runs(east, south, aspect):
    y, x = np.mgrid[:12, :9]
    elevation = (1000 + east * 30 * x + south * 20 * y).astype(np.float32)
    found = aspect_degrees(elevation, 30, 20)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, aspect, atol=1e-4)
    np.testing.assert_allclose(
        aspect_degrees(elevation, 30, 20, 50), (aspect + 50) % 360, atol=1e-4
    )
    mirrored = aspect_degrees(elevation[:, ::-1], 30, 20, mirrored=True)
    np.testing.assert_allclose(mirrored, aspect, atol=1e-4)


def test_aspect_stays_below_360():
    x = np.mgrid[:5, :5][1].astype(np.float32)
    aspect = aspect_degrees(x, 1, 1, north=90 - 1e-9)
    assert ((aspect >= 0) & (aspect < 360)).all()


def test_aspect_is_missing_where_it_is_flat_or_unknown():
    elevation = np.mgrid[:9, :9][1].astype(np.float32)
    elevation[:, 5:] = 5
    elevation[2, 2] = np.nan
    missing = np.isnan(aspect_degrees(elevation, 30, 30))
    expected = np.zeros((9, 9), dtype=bool)
    expected[:, 6:] = True
    expected[1:4, 1:4] = True
    np.testing.assert_array_equal(missing, expected)
