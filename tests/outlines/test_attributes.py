import numpy as np
import pytest
import rasterio
import shapely
from rasterio.transform import Affine, from_origin
from scipy import ndimage

from glavitu.mapping import outlines_from_raster
from glavitu.outlines.area_interval import UncertainPixels
from glavitu.outlines.attributes import Strip
from glavitu.outlines.label_strips import LabelStrips
from glavitu.outlines.zonal import RoundedMedian

UTM = from_origin(500_000, 3_100_000, 10, 10)
CRS = "EPSG:32645"

INTERVAL = ["area_min_km2", "area_max_km2"]
ELEVATION = ["zmin_m", "zmax_m", "zmed_m", "zmean_m"]


def described(classes, **layers):
    """Outlines of a raster, and what these layers tell of them."""
    classes = np.array(classes, np.uint8)
    layers = {name: np.array(values, np.float32) for name, values in layers.items()}

    def read_strip(row, rows):
        return Strip(**{name: values[row : row + rows] for name, values in layers.items()})

    return outlines_from_raster(classes, UTM, CRS, read_strip=read_strip, area_interval=True)


class TestColumns:
    def test_they_are_those_of_the_inventory_in_its_words(self):
        ones = np.ones((2, 2))
        found = described(ones, confidence=ones, elevation=ones, slope=ones, aspect=ones)
        assert found.columns.tolist() == [
            "glacier_id",
            "cenlon",
            "cenlat",
            "utm_zone",
            "area_km2",
            *INTERVAL,
            "perimeter_km",
            *ELEVATION,
            "slope_deg",
            "aspect_deg",
            "aspect_sec",
            "mean_confidence",
            "geometry",
        ]

    def test_those_of_rasters_that_are_not_there_are_absent(self):
        ones = np.ones((2, 2))
        found = set(described(ones, confidence=ones))
        assert found.isdisjoint([*ELEVATION, "slope_deg", "aspect_deg", "aspect_sec"])
        assert {*INTERVAL, "mean_confidence"} < found
        assert set(described(ones, elevation=ones)).isdisjoint([*INTERVAL, "mean_confidence"])
        plain = outlines_from_raster(ones.astype(np.uint8), UTM, CRS, ones.astype(np.float32))
        assert set(plain).isdisjoint(INTERVAL)

    def test_elevation_slope_and_confidence(self):
        found = described(
            [[1, 1, 1, 0, 1]],
            elevation=[[10, 14.4, 11, 99, np.nan]],
            slope=[[1, 2, 6, 9, 5]],
            confidence=[[0.5, np.nan, 1, 0, 0.25]],
        )
        assert found[ELEVATION].iloc[0].tolist() == pytest.approx([10, 14.4, 11, 35.4 / 3])
        assert found[ELEVATION].iloc[1].isna().all()
        assert found["slope_deg"].tolist() == [3, 5]
        assert found["mean_confidence"].tolist() == [0.75, 0.25]

    @pytest.mark.parametrize(
        ("aspects", "degrees", "sector"),
        [
            ([350, 30], 10, 1),
            ([300, 350, 340], 330.4, 8),
            ([22.4], 22.4, 1),
            ([22.6], 22.6, 2),
            ([90, np.nan], 90, 3),
            ([337.6], 337.6, 1),
            ([359.9], 359.9, 1),
            ([180], 180, 5),
            ([90, 270], np.nan, 9),
            ([np.nan], np.nan, 9),
        ],
    )
    def test_aspect_is_the_mean_direction(self, aspects, degrees, sector):
        found = described([[1] * len(aspects)], aspect=[aspects])
        assert found["aspect_deg"][0] == pytest.approx(degrees, abs=0.1, nan_ok=True)
        assert found["aspect_sec"][0] == sector

    @pytest.mark.parametrize("strips", [1, 7])
    def test_the_median_is_within_half_a_metre(self, strips):
        rng = np.random.default_rng(strips)
        polygon = rng.integers(0, 30, 2000)
        values = rng.normal(3000, 40, 2000).astype(np.float32) * (polygon + 1) / 10 - 400
        median = RoundedMedian(32)
        for part in np.array_split(np.arange(2000), strips):
            median.add(polygon[part], values[part])
        found = median.compute()
        for number in range(30):
            assert found[number] == pytest.approx(np.median(values[polygon == number]), abs=0.5)
        assert np.isnan(found[30:]).all()


class TestAreaInterval:
    def square_metres(self, classes, confidence):
        """Areas and their bounds in square metres of the projection, a pixel has 100."""
        found = described(classes, confidence=confidence)
        scale = found.geometry.area / found["area_km2"]
        return [(found[name] * scale).round(3).tolist() for name in ("area_km2", *INTERVAL)]

    def test_uncertain_pixels_inside_and_beyond(self):
        assert self.square_metres(
            [[0, 1, 1, 0, 0, 0, 0]],
            [[0.9, 0.9, 1, 0.5, 0.5, 0.95, 0.2]],  # the last does not hang together with it
        ) == [[200], [100], [500]]

    def test_pixels_without_data_are_not_uncertain(self):
        assert self.square_metres([[255, 1, 255, 0]], [[np.nan, 0.99, np.nan, 0.5]]) == [
            [100],
            [100],
            [100],
        ]

    def test_edges_hang_together_and_corners_do_not(self):
        certain = np.ones((3, 3))
        certain[2, 2] = certain[0, 1] = certain[0, 2] = 0.5
        assert self.square_metres(np.diag([0, 1, 0]), certain) == [[100], [100], [300]]

    def test_a_patch_between_glaciers_is_divided_by_the_edges_it_shares(self):
        classes = [[1, 0, 0, 0], [1, 0, 1, 0], [1, 1, 0, 0]]
        certain = np.ones((3, 4))
        certain[0, 1] = certain[1, 1] = certain[0, 2] = 0.5
        # Three pixels; three edges with the large glacier and two with the small one.
        area, least, most = self.square_metres(classes, certain)
        assert area == least == [400, 100]
        assert most == pytest.approx([400 + 300 * 3 / 5, 100 + 300 * 2 / 5], abs=0.01)

    @pytest.mark.parametrize("seed", range(6))
    def test_every_pixel_is_counted_once_however_it_is_cut_into_strips(self, seed):
        rng = np.random.default_rng(seed)
        glacier = ndimage.gaussian_filter(rng.random((50, 40)), 2) > 0.53
        labels, n = ndimage.label(glacier)
        uncertain = rng.random(glacier.shape) < 0.55
        patches, m = ndimage.label(uncertain & ~glacier)
        touching = np.unique(patches[ndimage.binary_dilation(glacier)])
        expected = np.isin(patches, touching[touching > 0]).sum()
        results = []
        for rows in (1, 7, 50):
            counts = UncertainPixels(n)
            for row in range(0, 50, rows):
                counts.add(labels[row : row + rows].astype(np.int32), uncertain[row : row + rows])
            results.append(counts.compute())
        for inside, beyond in results:
            assert inside.sum() == (uncertain & glacier).sum()
            assert beyond.sum() == pytest.approx(expected)
            np.testing.assert_allclose(beyond, results[-1][1])
        assert m > len(touching)  # some belong to none

    def test_nothing_uncertain_is_the_area_itself(self):
        found = described(np.ones((3, 3)), confidence=np.ones((3, 3)))
        assert found["area_min_km2"][0] == found["area_km2"][0] == found["area_max_km2"][0]

    def test_all_uncertain_may_be_nothing(self):
        found = described(np.ones((3, 3)), confidence=np.zeros((3, 3)))
        assert found["area_min_km2"][0] == pytest.approx(0, abs=1e-12)


class TestLabelStrips:
    @pytest.mark.parametrize(
        "grid", [UTM, UTM @ Affine.rotation(20), from_origin(7, 60, 1e-4, 2e-4)]
    )
    @pytest.mark.parametrize("simplification", [0, 2])
    def test_they_are_what_gdal_makes(self, grid, simplification):
        rng = np.random.default_rng(0)
        noise = ndimage.gaussian_filter(rng.random((90, 70)), 1)
        found = outlines_from_raster(
            (noise > 0.5).astype(np.uint8), grid, CRS, simplification=simplification
        )
        expected = rasterio.features.rasterize(
            zip(found.geometry, found["glacier_id"], strict=True),
            out_shape=noise.shape,
            transform=grid,
            dtype=np.int32,
        )
        x, y = np.meshgrid(np.arange(70) + 0.5, np.arange(90) + 0.5)
        centres = shapely.points(*(grid @ (x, y)))
        edges = shapely.union_all(found.geometry.boundary)
        # A centre right on an edge may go to either side.
        clear = ~shapely.dwithin(edges, centres, 1e-6 * abs(grid.determinant) ** 0.5)
        assert clear.mean() > 0.9
        strips = LabelStrips(np.asarray(found.geometry), grid, noise.shape[1])
        for rows in (1, 13, 90):
            labels = np.concatenate(
                [strips.read(row, min(rows, 90 - row)) for row in range(0, 90, rows)]
            )
            np.testing.assert_array_equal(labels[clear], expected[clear])
            assert set(np.unique(labels)) <= set(range(len(found) + 1))
