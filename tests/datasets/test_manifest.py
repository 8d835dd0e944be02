import zipfile

import geopandas
import numpy as np
import pytest
from shapely.geometry import box

from glavitu.datamodules import GlacierDataModule
from glavitu.datasets import GlacierRasters, TileWindow
from glavitu.datasets.manifest import is_manifest
from glavitu.errors import InputError
from glavitu.features import FeatureGroup
from glavitu.regions import region_index

from ..raster_files import write_raster

PLAIN = FeatureGroup("plain", ("value",), (0.0,), (1.0,))
OTHER = FeatureGroup("other", ("value",), (0.0,), (1.0,))


def write_scene(folder, value=0.5, **tags):
    write_raster(folder / "plain.tif", np.full((8, 9), value, np.float32), **tags)
    mask = np.zeros((8, 9), np.uint8)
    mask[:4] = 1
    write_raster(folder / "outlines.tif", mask)
    return folder


def manifest(tmp_path, *lines, encoding="utf-8"):
    path = tmp_path / "scenes.csv"
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


@pytest.fixture
def scenes(tmp_path):
    write_scene(tmp_path / "alps" / "2020", region="SC", date="1999", sensor="TM")
    write_scene(tmp_path / "oetztal", 0.25, region="ALP", date="2018-09", sensor="TM")
    return tmp_path


def test_folders_region_date_and_sensor_come_from_the_rows(scenes):
    path = manifest(
        scenes,
        "scene,region,date,sensor",
        "alps/2020,HMA,2020-08-31,OLI",
        "oetztal,,,",
    )
    tiles = GlacierRasters(path, [PLAIN]).tiles
    told = [(tile.name, tile.region, tile.date, tile.sensor) for tile in tiles]
    # What a row leaves empty, the tags of the first raster tell.
    assert told == [
        ("alps_2020", region_index("HMA"), "2020-08-31", "OLI"),
        ("oetztal", region_index("ALP"), "2018-09", "TM"),
    ]


def test_rasters_and_outlines_may_be_named_one_by_one(scenes):
    other = write_raster(scenes / "elsewhere" / "o.tif", np.full((8, 9), 0.75, np.float32))
    square = geopandas.GeoSeries.from_wkt(
        [
            "POLYGON((500000 3099760, 500270 3099760, 500270 3099880, 500000 3099880, "
            "500000 3099760))"
        ],
        crs="EPSG:32645",
    )  # the last four rows
    square.to_crs(4326).to_file(scenes / "o.gpkg")
    path = manifest(
        scenes,
        "name,plain,other,outlines,thermal",
        f"one,alps/2020/plain.tif,{other},o.gpkg,not/read.tif",
    )
    dataset = GlacierRasters(path, [OTHER, PLAIN])
    sample = dataset[TileWindow(0, dataset.extents[0])]
    assert dataset.tiles[0].name == "one"
    assert sample["image"].mean((1, 2)).tolist() == [0.75, 0.5]
    assert sample["mask"].sum(1).tolist() == [0, 0, 0, 0, 9, 9, 9, 9]


def test_a_named_raster_comes_before_that_of_the_folder(scenes):
    path = manifest(scenes, "scene,plain", "oetztal,alps/2020/plain.tif")
    dataset = GlacierRasters(path, [PLAIN])
    assert dataset[TileWindow(0, dataset.extents[0])]["image"].unique().tolist() == [0.5]


def test_files_of_spreadsheets_are_read(scenes):
    path = manifest(scenes, "scene; region", "oetztal; HMA", ";", encoding="utf-8-sig")
    assert [tile.region for tile in GlacierRasters(path, [PLAIN]).tiles] == [region_index("HMA")]


def test_columns_that_mean_nothing_are_said(scenes):
    path = manifest(scenes, "scene,senosr", "oetztal,OLI")
    with pytest.warns(UserWarning, match="senosr mean nothing"):
        GlacierRasters(path, [PLAIN])


def test_a_data_module_tests_and_predicts_a_manifest(scenes):
    path = manifest(scenes, "scene", "alps/2020", "oetztal")
    module = GlacierDataModule(str(path), [PLAIN], patch_size=16)
    module.setup("test")
    assert [batch["tile"].item() for batch in module.test_dataloader()] == [0, 1]
    module.setup("predict")
    assert "mask" not in next(iter(module.predict_dataloader()))
    with pytest.raises(InputError, match="to test or predict; to train"):
        module.setup("fit")


def test_manifests_are_known_by_their_suffix(tmp_path):
    assert is_manifest("a/scenes.CSV")
    assert not is_manifest(tmp_path)


def test_files_may_be_names_that_gdal_understands(scenes):
    with zipfile.ZipFile(scenes / "alps.zip", "w") as archive:
        for file in (scenes / "alps" / "2020").iterdir():
            archive.write(file, file.name)
    geopandas.GeoSeries([box(500_000, 3_099_880, 500_270, 3_100_000)], crs="EPSG:32645").to_file(
        scenes / "o.gpkg"
    )
    with zipfile.ZipFile(scenes / "inventory.zip", "w") as archive:
        archive.write(scenes / "o.gpkg", "o.gpkg")
    path = manifest(
        scenes,
        "plain,outlines,region,name",
        f"/vsizip/{scenes}/alps.zip/plain.tif,/vsizip/{scenes}/alps.zip/outlines.tif,HMA,one",
        f"zip://{scenes}/alps.zip!/plain.tif,/vsizip/{scenes}/inventory.zip/o.gpkg,HMA,two",
    )
    dataset = GlacierRasters(path, [PLAIN])
    for number in range(2):
        sample = dataset[TileWindow(number, dataset.extents[number])]
        assert (sample["image"] == 0.5).all()
        assert sample["mask"][:4].all()
        assert not sample["mask"][4:].any()


class TestBadInput:
    def refused(self, path, match):
        with pytest.raises(InputError, match=match):
            GlacierRasters(path, [PLAIN])

    def test_missing(self, tmp_path):
        self.refused(tmp_path / "scenes.csv", "does not exist; check the path of the manifest")

    @pytest.mark.parametrize("lines", [[""], ["scene,region"], ["scene", "", " "]])
    def test_empty(self, tmp_path, lines):
        self.refused(manifest(tmp_path, *lines), "has no scene; write a header")

    def test_no_text(self, tmp_path):
        (tmp_path / "scenes.csv").write_bytes(b"scene\n\xff\xfe\n")
        self.refused(tmp_path / "scenes.csv", "cannot be read as a CSV file in UTF-8")

    def test_columns_without_rasters(self, tmp_path):
        self.refused(manifest(tmp_path, "region,date", "HMA,2020"), "name no rasters; add the")

    @pytest.mark.parametrize("row", ["oetztal", "oetztal,HMA,2020"])
    def test_cells_too_few_or_too_many(self, scenes, row):
        self.refused(manifest(scenes, "scene,region", row), "line 2: has another number of cells")

    def test_no_such_folder(self, scenes):
        self.refused(
            manifest(scenes, "scene", "oetztal", "pitztal"), "line 3: .*pitztal is no fold"
        )

    def test_neither_folder_nor_rasters(self, scenes):
        path = manifest(scenes, "scene,region", ",HMA")
        self.refused(path, "line 2: names neither a folder .* nor a raster for plain")

    def test_no_such_raster(self, scenes):
        self.refused(manifest(scenes, "plain,outlines", "x.tif,o.gpkg"), "x.tif does not exist")

    def test_rasters_on_different_grids(self, scenes):
        write_raster(scenes / "o.tif", np.zeros((5, 9), np.float32))
        path = manifest(scenes, "scene,other", "oetztal,o.tif")
        with pytest.raises(InputError, match="line 2: the rasters are not on one grid"):
            GlacierRasters(path, [PLAIN, OTHER])

    def test_no_outlines(self, scenes):
        path = manifest(scenes, "plain", "oetztal/plain.tif")
        self.refused(path, "line 2: names no outlines; fill in the column")

    def test_unknown_region(self, scenes):
        path = manifest(scenes, "scene,region", "oetztal,ALPS")
        self.refused(path, "line 2: unknown region 'ALPS'")

    @pytest.mark.parametrize("date", ["31.8.2020", "2020-13", "2020-02-30", "20", "2020-1-1"])
    def test_dates_that_are_none(self, scenes, date):
        path = manifest(scenes, "scene,date", f"oetztal,{date}")
        self.refused(path, "line 2: the date .* is none; write a year, month or day")

    def test_date_tag_that_is_none(self, tmp_path):
        write_scene(tmp_path / "a", date="yesterday")
        self.refused(tmp_path / "a", "the date 'yesterday' is none")

    def test_two_scenes_of_one_name(self, scenes):
        path = manifest(scenes, "scene", "oetztal", "oetztal")
        self.refused(path, "line 3: the name 'oetztal' is that of .*line 2 too")

    def test_a_name_that_is_a_path(self, scenes):
        path = manifest(scenes, "name,scene", "a/b,oetztal")
        self.refused(path, "line 2: the name 'a/b' has a slash")
