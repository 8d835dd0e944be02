"""Numbers worked out by hand, on the plane and on the ellipsoid."""

import numpy as np
import pyproj
import pytest
import shapely
from shapely import box

from glavitu.metrics.outline_deviations import (
    distances,
    expert_spread,
    percent,
)
from glavitu.outlines.plane import (
    area_km2,
    centre,
    on_plane,
    plane_at,
    united,
)


def circle(radius, corners=720):
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return shapely.Polygon(radius * np.column_stack([np.cos(angle), np.sin(angle)]))


def circle_km2(radius, corners=720):
    return corners / 2 * radius**2 * np.sin(2 * np.pi / corners) / 1e6


def degrees(shapes, longitude, latitude):
    """Bring shapes in metres around a place to longitude and latitude."""
    plane = plane_at(longitude, latitude)
    return shapely.transform(
        np.array(shapes, dtype=object), lambda xy: np.column_stack(plane(*xy.T, inverse=True))
    )


class TestAreas:
    def test_square_circle_and_ring_are_exact(self):
        assert area_km2(box(0, 0, 3000, 2000)) == 6
        assert area_km2(circle(1000)) == pytest.approx(circle_km2(1000), rel=1e-12)
        ring = circle(1000) - circle(400)
        assert area_km2(ring) == pytest.approx(circle_km2(1000) - circle_km2(400), rel=1e-12)

    @pytest.mark.parametrize("latitude", [-89.9, -54, 0, 28, 80, 90])
    @pytest.mark.parametrize("away", [0, 200_000])
    def test_the_plane_keeps_the_areas_of_the_ellipsoid(self, latitude, away):
        # Geodesics bound this one: an answer that does not come from our plane.
        around = degrees([circle(5000)], 15, latitude)[0]
        area, _ = pyproj.Geod(ellps="WGS84").geometry_area_perimeter(around)
        other = on_plane(
            np.array([around]), plane_at(15, latitude - np.sign(latitude) * away / 111e3)
        )
        assert area_km2(other[0]) == pytest.approx(abs(area) / 1e6, rel=2e-6)

    @pytest.mark.parametrize("latitude", [0, 28, 80, 90])
    def test_lengths_on_the_plane_are_those_of_the_ellipsoid(self, latitude):
        start, end = degrees(
            [shapely.Point(-40_000, 20_000), shapely.Point(0, 50_000)], 0, latitude
        )
        _, _, length = pyproj.Geod(ellps="WGS84").inv(start.x, start.y, end.x, end.y)
        assert np.hypot(40_000, 30_000) == pytest.approx(length, rel=1e-5)

    def test_percent_is_signed(self):
        assert percent(0.9, 1.2) == pytest.approx(-25)
        assert percent(1.5, 1.2) == pytest.approx(25)


class TestCentre:
    @pytest.mark.parametrize("longitude", [-120, 0, 180])
    @pytest.mark.parametrize("latitude", [-80, 0, 45, 89.99])
    def test_is_in_the_middle_of_a_square(self, longitude, latitude):
        found = centre(degrees([box(-2000, -2000, 2000, 2000)], longitude, latitude))
        plane = plane_at(longitude, latitude)
        assert np.hypot(*plane(*found)) < 5


class TestOnPlane:
    def test_a_bow_tie_becomes_two_triangles(self):
        bow = shapely.Polygon([(0, 0), (1000, 1000), (1000, 0), (0, 1000)])
        (found,) = on_plane(degrees([bow], 10, 60), plane_at(10, 60))
        assert found.is_valid
        assert shapely.get_num_geometries(found) == 2
        assert area_km2(found) == pytest.approx(0.5, rel=1e-7)

    def test_a_spike_is_cut_off_and_its_polygon_stays(self):
        spiked = shapely.Polygon([(0, 0), (1000, 0), (1000, 2000), (1000, 1000), (0, 1000)])
        (found,) = on_plane(degrees([spiked], 0, 0), plane_at(0, 0))
        assert found.geom_type in {"Polygon", "MultiPolygon"}
        assert area_km2(found) == pytest.approx(1, rel=1e-5)

    def test_what_has_no_area_is_empty(self):
        flat = shapely.Polygon([(0, 0), (1, 0), (2, 0), (0, 0)])
        (found,) = on_plane(np.array([flat]), plane_at(0, 0))
        assert area_km2(found) == 0


class TestUnited:
    def test_a_divide_with_other_vertices_on_either_side_leaves_no_slit(self):
        left = shapely.Polygon([(0, 0), (1000, 0), (1000.002, 500), (1000, 1000), (0, 1000)])
        joined = united(np.array([left, box(1000, 0, 2000, 1000)]))
        assert area_km2(joined) == pytest.approx(2, rel=1e-5)
        assert joined.length == pytest.approx(6000, abs=0.1)

    def test_splinters_do_not_vanish(self):
        splinters = np.array([box(0, 0.004, 100, 0.005), box(0, 10.004, 100, 10.005)])
        assert area_km2(united(splinters)) > 0

    def test_one_polygon_is_not_touched(self):
        one = box(0.1234567, 0, 1, 1)
        assert united(np.array([one])).equals_exact(one, 0)


class TestDistances:
    def test_of_a_square_to_itself_shifted_by_30_m(self):
        # The right side and 940 m of the left are 30 m away; towards the corners it falls to 0.
        found = distances(box(0, 0, 1000, 1000), box(30, 0, 1030, 1000))
        assert found == pytest.approx((15, 15, 30), abs=1e-9)
        assert distances(box(30, 0, 1030, 1000), box(0, 0, 1000, 1000)) == pytest.approx(found)

    def test_the_directions_differ(self):
        inner, outer = box(0, 0, 1000, 1000), box(0, 0, 1000, 1100)
        assert distances(inner, outer).mean == pytest.approx(90_000 / 4000)
        assert distances(outer, inner).mean == pytest.approx(110_000 / 4200)

    def test_between_circles(self):
        assert distances(circle(1100), circle(1000)) == pytest.approx((100,) * 3, rel=1e-3)
        assert distances(circle(1000), circle(1100)) == pytest.approx((100,) * 3, rel=1e-3)

    def test_rings_of_holes_count(self):
        whole, ring = circle(1000), circle(1000) - circle(200)
        # A sixth of the ring's outlines is 800 m from the whole's.
        assert distances(ring, whole).mean == pytest.approx(800 / 6, rel=0.01)
        assert distances(ring, whole).p95 == pytest.approx(800, rel=1e-3)
        assert distances(whole, ring).mean == pytest.approx(0, abs=1e-9)

    def test_all_parts_of_a_multipolygon_count(self):
        near, far = box(0, 0, 100, 100), box(5000, 0, 5100, 100)
        both = shapely.union_all([near, far])
        assert distances(both, near).median == pytest.approx(4900 / 2, abs=60)
        assert distances(near, both).p95 == 0

    def test_dense_vertices_weigh_no_more_than_sparse_ones(self):
        # The right side, 30 m away, has 1000 vertices.
        side = [(1030, y) for y in np.linspace(0, 1000, 1000)]
        detailed = shapely.Polygon([(0, 0), *side, (0, 1000)])
        plain = distances(box(0, 0, 1030, 1000), box(0, 0, 1000, 1000))
        assert distances(detailed, box(0, 0, 1000, 1000)) == pytest.approx(plain)

    def test_something_smaller_than_the_step_has_a_distance(self):
        assert distances(box(0, 0, 0.5, 0.5), box(0, 0, 9, 9)).mean >= 0


class TestExpertSpread:
    EXPERTS = (box(0, 0, 1000, 1000), box(0, 0, 1000, 1100), box(0, 0, 1000, 900))

    def test_of_areas(self):
        found = expert_spread(box(0, 0, 1000, 1050), self.EXPERTS)
        assert found.experts == 3
        assert found.experts_km2 == pytest.approx(1)
        assert found.experts_std_percent == pytest.approx(10)
        assert found.experts_min_percent == pytest.approx(-10)
        assert found.experts_max_percent == pytest.approx(10)
        assert found.predicted_to_experts_percent == pytest.approx(5)
        assert found.within_experts_area

    @pytest.mark.parametrize("height", [880, 1120])
    def test_a_prediction_beyond_all_is_not_within(self, height):
        assert not expert_spread(box(0, 0, 1000, height), self.EXPERTS).within_experts_area

    def test_of_distances(self):
        # Two outlines 100 m apart in height h and h + 100: 90 000 / (2000 + 2 h) in one direction
        # and 110 000 / (2200 + 2 h) in the other; 200 m apart: 160 000 and 240 000.
        def apart(low, high, gap):
            shorter = (1000 - gap) * gap
            longer = (1000 + gap) * gap
            return (shorter / (2000 + 2 * low) + longer / (2000 + 2 * high)) / 2

        middle_high, low_middle = apart(1000, 1100, 100), apart(900, 1000, 100)
        low_high = apart(900, 1100, 200)
        among = (
            np.array([middle_high + low_middle, middle_high + low_high, low_middle + low_high]) / 2
        )
        found = expert_spread(self.EXPERTS[0], self.EXPERTS)
        assert found.experts_distance_mean_m == pytest.approx(among.mean(), rel=1e-3)
        assert found.experts_distance_std_m == pytest.approx(among.std(ddof=1), rel=1e-3)
        assert found.experts_distance_min_m == pytest.approx(among.min(), rel=1e-3)
        assert found.experts_distance_max_m == pytest.approx(among.max(), rel=1e-3)
        assert found.predicted_to_experts_m == pytest.approx(
            (middle_high + low_middle) / 3, rel=1e-3
        )
        assert found.within_experts_distance

    def test_a_prediction_farther_than_any_expert_is_not_within(self):
        # Its area is that of the experts, its place is not.
        found = expert_spread(box(500, 0, 1500, 1000), self.EXPERTS)
        assert found.within_experts_area
        assert not found.within_experts_distance
