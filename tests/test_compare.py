"""`glavitu compare` on small files whose deviations are worked out by hand."""

import json
import math
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
from matplotlib.image import imread
from rasterio.crs import CRS
from rasterio.transform import Affine
from shapely import affinity, box

from glavitu.cli import main
from glavitu.compare import compare
from glavitu.errors import InputError
from glavitu.mapping import outlines_from_raster, write_outlines

#: Equal-area; where the boxes below lie, near its centre, its metres are metres.
EUROPE = "EPSG:3035"
ORIGIN = (4_331_000, 3_220_000)


@pytest.fixture
def write(tmp_path):
    """Write polygons, in metres from ORIGIN, as a file of outlines."""

    def write(file, shapes, crs=EUROPE, origin=ORIGIN, to=None, **columns):
        moved = [affinity.translate(one, *origin) for one in shapes]
        frame = geopandas.GeoDataFrame(columns, geometry=moved, crs=crs)
        path = tmp_path / file
        (frame if to is None else frame.to_crs(to)).to_file(path)
        return path

    return write


def quick(*files, **options):
    return compare(*files, "out", progress=False, **options)


class TestNumbers:
    def test_of_a_square_shifted_by_30_m(self, write):
        reference = write("reference.gpkg", [box(0, 0, 1000, 1000)])
        predicted = write("predicted.gpkg", [box(30, 0, 1030, 1000)])
        (row,) = quick(predicted, reference).table.to_dict("records")
        assert (row["match"], row["glacier"]) == ("one to one", 1)
        assert row["predicted_km2"] == pytest.approx(1, rel=1e-8)
        assert row["reference_km2"] == pytest.approx(1, rel=1e-8)
        assert row["area_deviation_percent"] == pytest.approx(0, abs=1e-5)
        for direction in ("to_reference", "to_predicted"):
            found = [row[f"{direction}_{name}_m"] for name in ("mean", "median", "p95")]
            assert found == pytest.approx([15, 15, 30], rel=0.01)

    @pytest.mark.parametrize(("height", "deviation"), [(900, -10), (1250, 25)])
    def test_area_deviation_is_signed(self, write, height, deviation):
        reference = write("reference.gpkg", [box(0, 0, 1000, 1000)])
        predicted = write("predicted.gpkg", [box(0, 0, 1000, height)])
        table = quick(predicted, reference).table
        assert table["area_deviation_percent"][0] == pytest.approx(deviation, rel=1e-5)

    def test_holes_are_no_glacier_and_their_outlines_count(self, write):
        ring = box(0, 0, 1000, 1000) - box(400, 400, 600, 600)
        files = write("whole.gpkg", [box(0, 0, 1000, 1000)]), write("ring.gpkg", [ring])
        (row,) = quick(*files).table.to_dict("records")
        assert row["area_deviation_percent"] == pytest.approx(100 * 0.04 / 0.96, rel=1e-5)
        assert row["to_reference_p95_m"] == pytest.approx(0, abs=0.01)
        # 800 m of the ring's 4800 m of outlines are 400 m from the whole's.
        assert row["to_predicted_mean_m"] == pytest.approx(400 / 6, rel=0.01)

    def test_totals_are_weighted_by_area(self, write):
        reference = [box(0, 0, 1000, 1000), box(5000, 0, 8000, 1000)]
        predicted = [box(0, 0, 1000, 800), box(5000, 0, 8000, 1100)]
        files = write("predicted.gpkg", predicted), write("reference.gpkg", reference)
        table, summary = quick(*files)[:2]
        assert table["area_deviation_percent"].tolist() == pytest.approx([10, -20], rel=1e-4)
        found = summary["area_deviation_percent"]
        assert found["area_weighted_mean"] == pytest.approx((3 * 10 - 20) / 4, rel=1e-4)
        assert found["area_weighted_mean_absolute"] == pytest.approx((3 * 10 + 20) / 4, rel=1e-4)
        assert found["mean"] == pytest.approx(-5, rel=1e-4)
        assert found["std"] == pytest.approx(np.std([10, -20], ddof=1), rel=1e-4)
        total = summary["glaciers"]["matched"]
        assert total["predicted_km2"] == pytest.approx(4.1, rel=1e-6)
        assert total["area_deviation_percent"] == pytest.approx(2.5, rel=1e-4)
        distance = summary["distances_m"]["to_reference_area_weighted"]["mean"]
        big, small = table["to_reference_mean_m"]
        assert distance == pytest.approx((3 * big + small) / 4)


class TestPlaces:
    """Metres are metres, whatever the CRS and the latitude."""

    @pytest.mark.parametrize("to", [None, "EPSG:4326", "EPSG:3575", "EPSG:3857"])
    def test_svalbard_at_80_degrees_north(self, write, to):
        # On the central meridian UTM shortens lengths to 0.9996.
        utm = {"crs": "EPSG:32633", "origin": (500_000, 8_881_000)}
        reference = write("reference.gpkg", [box(0, 0, 1000, 1000)], **utm, to=to)
        predicted = write("predicted.gpkg", [box(30, 0, 1030, 1000)], **utm)
        (row,) = quick(predicted, reference).table.to_dict("records")
        assert row["latitude"] == pytest.approx(80, abs=0.1)
        assert row["reference_km2"] == pytest.approx(1 / 0.9996**2, rel=1e-6)
        assert row["area_deviation_percent"] == pytest.approx(0, abs=1e-3)
        found = [row[f"to_reference_{name}_m"] for name in ("mean", "median", "p95")]
        assert found == pytest.approx([15 / 0.9996, 15 / 0.9996, 30 / 0.9996], rel=0.01)

    @pytest.mark.parametrize(("longitude", "latitude"), [(180, 71), (0, 89.999), (60, -89.999)])
    def test_antimeridian_and_poles(self, write, longitude, latitude):
        here = {"crs": f"+proj=laea +lon_0={longitude} +lat_0={latitude}", "origin": (0, 0)}
        square = [box(-1000, -1000, 1000, 1000)]
        reference = write("reference.gpkg", square, **here, to="EPSG:4326")
        predicted = write("predicted.gpkg", [box(-970, -1000, 1030, 1000)], **here)
        (row,) = quick(predicted, reference).table.to_dict("records")
        assert row["reference_km2"] == pytest.approx(4, rel=1e-5)
        assert row["area_deviation_percent"] == pytest.approx(0, abs=1e-3)
        assert row["to_reference_mean_m"] == pytest.approx(15, rel=0.01)

    def test_halves_on_both_sides_of_the_antimeridian_are_one_glacier(self, write):
        here = {"crs": "+proj=laea +lon_0=180 +lat_0=71", "origin": (0, 0)}
        whole = write("whole.gpkg", [box(-1000, -1000, 1000, 1000)], **here)
        frame = geopandas.read_file(
            write("halves.gpkg", [box(-1000, -1000, 0, 1000), box(0, -1000, 1000, 1000)], **here)
        ).to_crs("EPSG:4326")
        west, east = (
            shapely.transform(
                half, lambda xy, s=sign: np.column_stack([s * abs(xy[:, 0]), xy[:, 1]])
            )
            for half, sign in zip(frame.geometry, (1, -1), strict=True)
        )
        both = geopandas.GeoSeries([shapely.MultiPolygon([west, east])], crs="EPSG:4326")
        both.to_file("both.gpkg")
        (row,) = quick("both.gpkg", whole).table.to_dict("records")
        assert row["match"] == "one to one"
        assert row["area_deviation_percent"] == pytest.approx(0, abs=1e-2)
        # The meridian itself is no outline.
        assert row["to_reference_p95_m"] < 0.1

    def test_a_long_straight_edge_stays_straight_in_its_own_crs(self, write):
        utm = {"crs": "EPSG:32633", "origin": (200_000, 8_500_000)}
        reference = write("reference.gpkg", [box(0, 0, 60_000, 500)], **utm, to=None)
        dense = shapely.segmentize(box(0, 0, 60_000, 500), 50)
        predicted = write("predicted.gpkg", [dense], **utm, to="EPSG:4326")
        (row,) = quick(predicted, reference).table.to_dict("records")
        assert row["area_deviation_percent"] == pytest.approx(0, abs=1e-3)
        assert row["to_reference_p95_m"] < 0.05

    def test_the_outlines_of_a_map_compare_directly(self, write):
        classes = np.zeros((60, 60), dtype=np.uint8)
        classes[10:50, 10:50] = 1
        crs, transform = CRS.from_epsg(32633), Affine(30, 0, 500_000, 0, -30, 8_881_800)
        outlines = outlines_from_raster(classes, transform, crs)
        write_outlines(outlines, Path("outlines.gpkg"))
        here = {"crs": "EPSG:32633", "origin": (500_000, 8_880_000)}
        reference = write("r.geojson", [box(300, 300, 1500, 1500)], **here, to="EPSG:4326")
        (row,) = quick("outlines.gpkg", reference).table.to_dict("records")
        assert row["predicted_km2"] == pytest.approx(outlines["area_km2"][0], rel=1e-6)
        assert row["area_deviation_percent"] == pytest.approx(0, abs=1e-3)
        # The reference's edges of 1200 m are straight in degrees, the map's in metres.
        assert row["to_predicted_p95_m"] < 0.3


def matches(result):
    """Count the glaciers of each kind of match that there is."""
    totals = result.summary["glaciers"]
    return {
        kind: totals[kind]["glaciers"]
        for kind in totals
        if kind not in ("matched", "all") and totals[kind]["glaciers"]
    }


class TestMatching:
    def compare(self, write, predicted, reference):
        return quick(write("predicted.gpkg", predicted), write("reference.gpkg", reference))

    def test_parts_of_a_split_glacier_are_judged_together(self, write):
        parts = [box(0, 0, 480, 1000), box(520, 0, 1000, 1000)]
        result = self.compare(write, parts, [box(0, 0, 1000, 1000)])
        assert matches(result) == {"split": 1}
        (row,) = result.table.to_dict("records")
        assert (row["predicted_outlines"], row["reference_outlines"]) == (2, 1)
        assert row["area_deviation_percent"] == pytest.approx(-4, rel=1e-3)

    def test_neighbours_merged_into_one_are_judged_together(self, write):
        neighbours = [box(0, 0, 1000, 1000), box(1000, 0, 2000, 1000)]
        result = self.compare(write, [box(0, 0, 2000, 1000)], neighbours)
        assert matches(result) == {"merged": 1}
        (row,) = result.table.to_dict("records")
        assert (row["predicted_outlines"], row["reference_outlines"]) == (1, 2)
        # Their common divide is no outline any more.
        assert row["to_predicted_p95_m"] == pytest.approx(0, abs=0.02)
        assert row["area_deviation_percent"] == pytest.approx(0, abs=1e-3)

    def test_a_chain_is_many_to_many(self, write):
        neighbours = [box(0, 0, 1000, 1000), box(1000, 0, 2000, 1000)]
        shifted = [box(0, 0, 1600, 1000), box(1600, 0, 2000, 1000)]
        assert matches(self.compare(write, shifted, neighbours)) == {"many to many": 1}

    def test_a_divide_drawn_elsewhere_merges_nothing(self, write):
        neighbours = [box(0, 0, 1000, 1000), box(1000, 0, 2000, 1000)]
        shifted = [box(0, 0, 1200, 1000), box(1200, 0, 2000, 1000)]
        result = self.compare(write, shifted, neighbours)
        assert matches(result) == {"one to one": 2}
        assert sorted(result.table["area_deviation_percent"]) == pytest.approx([-20, 20], rel=1e-3)

    @pytest.mark.parametrize(
        ("shared", "expected"),
        [(110, {"one to one": 2}), (90, {"one to one": 1, "missed": 1, "false": 1})],
    )
    def test_an_overlap_of_a_tenth_of_the_smaller_counts(self, write, shared, expected):
        anchor = box(0, 5000, 1000, 6000)
        small = box(1000 - shared, 0, 2000 - shared, 1000)
        result = self.compare(write, [anchor, small], [anchor, box(-4000, 0, 1000, 1000)])
        assert matches(result) == expected

    def test_what_is_in_one_file_only_is_missed_or_false(self, write):
        both = box(0, 0, 1000, 1000)
        missed = [box(0, 5000, 1000, 5500), box(0, 9000, 1000, 9500)]
        result = self.compare(write, [both, box(5000, 0, 5500, 500)], [both, *missed])
        assert matches(result) == {"one to one": 1, "missed": 2, "false": 1}
        totals = result.summary["glaciers"]
        assert totals["missed"]["reference_km2"] == pytest.approx(1, rel=1e-6)
        assert totals["false"]["predicted_km2"] == pytest.approx(0.25, rel=1e-6)
        assert totals["all"]["area_deviation_percent"] == pytest.approx(-37.5, rel=1e-5)
        alone = result.table[result.table["match"] != "one to one"]
        assert alone.filter(regex="deviation|_m$").isna().all(axis=None)
        assert [file["unmatched"] for file in result.summary["files"]] == [1, 2]

    def test_rows_are_numbered_from_the_largest(self, write):
        shapes = [box(0, 0, 100, 100), box(5000, 0, 6000, 1000)]
        table = self.compare(write, shapes, shapes).table
        assert table["glacier"].tolist() == [1, 2]
        assert table["reference_km2"].tolist() == pytest.approx([1, 0.01], rel=1e-5)


class TestIds:
    def test_match_whatever_overlaps(self, write):
        shapes = [box(0, 0, 1000, 1000), box(1000, 0, 2000, 1000)]
        predicted = write("predicted.gpkg", shapes, name=["a", "b"])
        reference = write("reference.gpkg", shapes[::-1], name=["a", "b"])
        table = quick(predicted, reference, id_column="name").table.set_index("glacier")
        assert table.index.sort_values().tolist() == ["a", "b"]
        assert table["to_reference_median_m"].min() > 400

    def test_missing_in_one_file(self, write):
        shapes = [box(0, 0, 1000, 1000), box(1000, 0, 2000, 1000)]
        predicted = write("predicted.gpkg", shapes, name=["a", "b"])
        reference = write("reference.gpkg", shapes, name=["a", "c"])
        result = quick(predicted, reference, id_column="name")
        assert matches(result) == {"one to one": 1, "missed": 1, "false": 1}
        found = result.table.set_index("glacier")["match"].to_dict()
        assert found == {"a": "one to one", "b": "false", "c": "missed"}

    def test_parts_with_one_id_are_one_glacier(self, write):
        parts = [box(0, 0, 400, 1000), box(600, 0, 1000, 1000)]
        predicted = write("predicted.gpkg", parts, name=["a", "a"])
        reference = write("reference.gpkg", [box(0, 0, 1000, 1000)], name=["a"])
        result = quick(predicted, reference, id_column="name")
        assert matches(result) == {"split": 1}
        assert result.table["area_deviation_percent"][0] == pytest.approx(-20, rel=1e-4)

    def test_numbers_match_as_integers_floats_and_text(self, write):
        shapes = [box(0, 0, 1000, 1000)]
        predicted = write("predicted.gpkg", shapes, number=[7])
        reference = write("reference.gpkg", shapes, number=[7.0])
        expert = write("expert.gpkg", shapes, number=["7"])
        result = quick(predicted, reference, experts=[expert], id_column="number")
        assert result.table[["glacier", "experts"]].to_numpy().tolist() == [["7", 2]]


class TestExperts:
    """The reference and two experts draw 1, 1.1 and 0.9 square kilometres."""

    @pytest.fixture
    def experts(self, write):
        return [
            write(f"expert_{height}.gpkg", [box(0, 0, 1000, height), box(5000, 0, 6000, 1000)])
            for height in (1100, 900)
        ]

    @pytest.fixture
    def reference(self, write):
        return write("reference.gpkg", [box(0, 0, 1000, 1000), box(5000, 0, 6000, 1000)])

    @pytest.mark.parametrize(("height", "within"), [(1050, True), (880, False), (1200, False)])
    def test_spread_and_place_of_the_prediction(self, write, experts, reference, height, within):
        predicted = write("predicted.gpkg", [box(0, 0, 1000, height)])
        result = quick(predicted, reference, experts=experts)
        rows = result.table.set_index("match")
        row = rows.loc["one to one"]
        assert row["experts"] == 3
        assert row["experts_km2"] == pytest.approx(1, rel=1e-6)
        assert row["experts_std_percent"] == pytest.approx(10, rel=1e-4)
        assert row["experts_min_percent"] == pytest.approx(-10, rel=1e-4)
        assert row["experts_max_percent"] == pytest.approx(10, rel=1e-4)
        assert row["predicted_to_experts_percent"] == pytest.approx(height / 10 - 100, rel=1e-4)
        assert row["within_experts_area"] == within
        assert result.summary["experts"]["within_experts_area"] == within
        assert result.summary["experts"]["glaciers"] == 1
        # There is nothing to place where nothing is predicted.
        assert rows.loc["missed", "experts"] == 3
        assert pd.isna(rows.loc["missed", "within_experts_area"])

    def test_distances_among_experts(self, write, experts, reference):
        predicted = write("predicted.gpkg", [box(0, 0, 1000, 1000), box(5000, 500, 6000, 1500)])
        table = quick(predicted, reference, experts=experts).table
        first, shifted = (
            table[table["longitude"] == pick].iloc[0]
            for pick in (table["longitude"].min(), table["longitude"].max())
        )
        # Here the prediction is the reference, the expert in the middle.
        assert first["predicted_to_experts_m"] == pytest.approx(
            first["experts_distance_min_m"] * 2 / 3, rel=1e-3
        )
        assert first["experts_distance_mean_m"] > 20
        assert first["within_experts_distance"]
        # There all experts agree, and it lies elsewhere.
        assert shifted["experts_distance_max_m"] == pytest.approx(0, abs=1e-3)
        assert shifted["within_experts_area"] or shifted["experts_std_percent"] < 1e-4
        assert not shifted["within_experts_distance"]

    def test_an_expert_who_has_left_a_glacier_out_is_not_counted(self, write, reference):
        predicted = write("predicted.gpkg", [box(0, 0, 1000, 1000), box(5000, 0, 6000, 1000)])
        expert = write("e.gpkg", [box(0, 0, 1000, 1000), box(20_000, 0, 21_000, 1000)])
        result = quick(predicted, reference, experts=[expert])
        assert sorted(result.table["experts"]) == [1, 2]
        assert result.table["experts_km2"].notna().sum() == 1
        assert result.summary["files"][2]["unmatched"] == 1
        assert result.summary["experts"]["glaciers"] == 1

    def test_nobody_agrees_on_a_glacier(self, write, reference, capsys):
        predicted = write("predicted.gpkg", [box(0, 0, 1000, 1000)])
        expert = write("e.gpkg", [box(5000, 0, 6000, 1000)])
        assert main(["compare", str(predicted), str(reference), "--experts", str(expert)]) == 0
        assert "no predicted glacier has the outlines of two experts" in capsys.readouterr().out


class TestOutputs:
    @pytest.fixture
    def files(self, write):
        reference = [box(0, 0, 1000, 1000), box(3000, 0, 3500, 500)]
        bow = shapely.Polygon([(0, 0), (1000, 1000), (1000, 0), (0, 1000)])
        return [
            str(write("predicted.gpkg", [bow])),
            str(write("reference.geojson", reference, to="EPSG:4326")),
        ]

    def test_command_writes_three_files_and_a_summary(self, files, capsys):
        assert main(["compare", *files, "--output", "deep/out"]) == 0
        out = capsys.readouterr().out
        for text in ("one to one", "missed", "-50.00", "1 of 1 outlines were invalid"):
            assert text in out
        table = pd.read_csv("deep/out/comparison.csv")
        assert table["match"].tolist() == ["one to one", "missed"]
        assert table["area_deviation_percent"][0] == pytest.approx(-50, rel=1e-4)
        summary = json.loads(Path("deep/out/comparison.json").read_text())
        assert summary["settings"]["minimum_overlap"] == 0.1
        assert [file["repaired"] for file in summary["files"]] == [1, 0]
        assert summary["glaciers"]["split"]["area_deviation_percent"] is None
        height, width, _ = imread("deep/out/comparison.png").shape
        assert width > 2 * height > 800

    def test_without_output_they_go_to_a_folder_of_the_command(self, files):
        assert main(["compare", *files]) == 0
        assert pd.read_csv("comparison/comparison.csv").shape[0] == 2

    def test_experts_and_identical_files_draw_too(self, files):
        arguments = ["compare", files[1], files[1], "--experts", files[0], "--output", "out"]
        assert main(arguments) == 0
        table = pd.read_csv("out/comparison.csv")
        assert table["area_deviation_percent"].tolist() == [0, 0]
        assert table["to_reference_p95_m"].max() < 1e-6

    def test_the_command_explains_itself(self, capsys):
        with pytest.raises(SystemExit) as exit_:
            main(["compare", "--help"])
        assert exit_.value.code == 0
        assert "--experts" in capsys.readouterr().out


class TestErrors:
    """Bad input ends with one message and status 1, and nothing is written."""

    @pytest.fixture
    def good(self, write):
        return str(write("good.gpkg", [box(0, 0, 1000, 1000)], name=["a"]))

    def check(self, capsys, arguments, *expected):
        assert main(["compare", *map(str, arguments), "--output", "out"]) == 1
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("glavitu: error: ")
        for text in expected:
            assert text in error
        assert not Path("out").exists()

    @pytest.mark.parametrize("place", [0, 1, 3])
    def test_no_features(self, write, good, capsys, place):
        arguments = [good, write("other.gpkg", [box(0, 0, 1000, 1000)]), "--experts", good]
        arguments[place] = write("empty.gpkg", [], crs=EUROPE)
        self.check(capsys, arguments, "empty.gpkg", "no outline")

    def test_missing_file(self, good, capsys):
        self.check(capsys, [good, "gone.gpkg"], "gone.gpkg", "does not exist")

    def test_lines(self, write, good, capsys):
        lines = write("lines.gpkg", [shapely.LineString([(0, 0), (1000, 1000)])])
        self.check(capsys, [lines, good], "lines.gpkg", "LineString", "polygons")

    @pytest.mark.parametrize("name", ["plain.shp", "plain.gpkg"])
    @pytest.mark.filterwarnings("ignore:'crs' was not provided")
    def test_no_crs(self, write, good, capsys, name):
        plain = write(name, [box(0, 0, 1000, 1000)], crs=None)
        self.check(capsys, [plain, good], name)

    def test_coordinates_of_another_crs(self, write, good, capsys):
        wrong = write("wrong.gpkg", [box(0, 0, 1000, 1000)], crs="EPSG:4326")
        self.check(capsys, [good, wrong], "wrong.gpkg", "CRS", "WGS 84")

    def test_another_place(self, write, good, capsys):
        away = write("away.gpkg", [box(50_000, 0, 51_000, 1000)])
        self.check(capsys, [away, good], "away.gpkg", "none of its 1 outlines overlaps")

    def test_no_area(self, write, good, capsys):
        flat = write("flat.gpkg", [shapely.Polygon([(0, 0), (1000, 0), (2000, 0)])])
        self.check(capsys, [flat, good], "flat.gpkg", "no area")
        self.check(capsys, [flat, flat], "flat.gpkg", "no area")

    def test_no_such_column(self, good, capsys):
        self.check(capsys, [good, good, "--id", "RGIId"], "good.gpkg", "'RGIId'", "it has name")

    def test_outline_without_an_id(self, write, good, capsys):
        shapes = [box(0, 0, 1000, 1000), box(2000, 0, 3000, 1000)]
        some = write("some.gpkg", shapes, name=["a", None])
        self.check(capsys, [some, good, "--id", "name"], "some.gpkg", "1 of 2 outlines")

    def test_no_common_id(self, write, good, capsys):
        other = write("other.gpkg", [box(0, 0, 1000, 1000)], name=["b"])
        self.check(capsys, [other, good, "--id", "name"], "other.gpkg", "such as b", "such as a")

    def test_the_reference_among_the_experts(self, good, capsys):
        self.check(capsys, [good, good, "--experts", good], "good.gpkg", "counts as one expert")

    def test_a_file_in_place_of_the_folder(self, good, capsys):
        assert main(["compare", good, good, "--output", good]) == 1
        assert "must be a folder" in capsys.readouterr().err


@pytest.mark.slow
class TestEverest:
    @pytest.fixture
    def outlines(self, everest):
        (path,) = everest.glob("*outlines.gpkg")
        return path

    @pytest.mark.parametrize("crs", [None, "EPSG:32645", "EPSG:3857"])
    def test_areas_are_those_of_the_inventory(self, outlines, crs):
        frame = geopandas.read_file(outlines)
        known = frame.set_index("RGIId")["Area"]
        path = outlines
        if crs is not None:
            path = "other.gpkg"
            frame.to_crs(crs).to_file(path)
        table = quick(path, outlines, id_column="RGIId").table.set_index("glacier")
        area = table["predicted_km2"].loc[known.index]
        large = known > 0.1
        assert len(area) == 86
        assert large.sum() == 66
        assert (area / known - 1)[large].abs().max() < 0.005
        assert abs(area.sum() / known.sum() - 1) < 0.0001

    def test_the_file_is_the_same_as_itself(self, outlines):
        result = quick(outlines, outlines)
        assert matches(result) == {"one to one": 86}
        assert (result.table["area_deviation_percent"] == 0).all()
        assert result.table.filter(regex="_m$").max(axis=None) < 1e-6
        assert math.isclose(result.summary["area_deviation_percent"]["std"], 0)


def test_layers_of_a_file_are_named(write, capsys):
    predicted = write("predicted.gpkg", [box(0, 0, 1000, 1000)])
    reference = write("reference.gpkg", [box(-5000, -5000, 9000, 9000)])
    frame = geopandas.read_file(predicted)
    frame.to_file(reference, layer="glaciers", mode="a")
    files = ["compare", str(predicted), str(reference), "--output", "out"]
    assert main(files) == 1
    assert "reference (Polygon), glaciers (Polygon)" in capsys.readouterr().err
    assert main([*files, "--layer", "glaciers"]) == 0
    assert pd.read_csv("out/comparison.csv")["area_deviation_percent"].tolist() == [0]


def test_rock_of_glims_is_no_glacier(write):
    shapes = [box(0, 0, 1000, 1000), box(400, 400, 600, 600)]
    reference = write("reference.gpkg", shapes, line_type=["glac_bound", "intrnl_rock"])
    predicted = write("predicted.gpkg", [box(0, 0, 1000, 1000)])
    with pytest.warns(UserWarning, match="1 of 2 features are rock"):
        (row,) = quick(predicted, reference).table.to_dict("records")
    assert row["reference_km2"] == pytest.approx(0.96, rel=1e-6)


def test_latitude_and_longitude_swapped(write):
    good = write("good.gpkg", [box(0, 0, 1000, 1000)])
    (degrees,) = geopandas.read_file(good).to_crs("EPSG:4326").geometry
    swapped = shapely.transform(degrees, lambda xy: xy[:, ::-1])
    path = write("swapped.geojson", [swapped], crs="EPSG:4326", origin=(0, 0))
    for files in ((good, path), (path, good)):
        with pytest.raises(InputError, match="seem to be swapped"):
            quick(*files)
