"""What docs/security.md says of rasters, polygons and HDF5 files, sentence by sentence."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio

from glavitu.cli import main
from glavitu.errors import InputError
from glavitu.files import strangers
from glavitu.files.strangers import OUTSIDE
from glavitu.outlines.read_polygons import read_polygons
from glavitu.rasters.open_files import OpenFiles

from ..raster_files import write_raster
from .commands import fails


def external(tile, name, shape, secret):
    tile.create_dataset(name, shape, "u1", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])


def linked(tile, name, shape, secret):
    tile[name] = h5py.ExternalLink(str(secret), "/a")


def virtual(tile, name, shape, secret):
    layout = h5py.VirtualLayout(shape, "u1")
    layout[:] = h5py.VirtualSource(str(secret), "a", shape)
    tile.create_virtual_dataset(name, layout)


def huge(tile, name, shape, secret):
    tile.create_dataset(name, shape, "f4", chunks=(8, 8, 1))


@pytest.mark.parametrize("way", [external, linked, virtual, huge])
def test_hdf5_copies_nothing_of_other_files(way, secret, benchmark, tmp_path, capsys):
    """0.1 copied /etc/passwd into a GeoTIFF so."""
    path = tmp_path / "train.hdf5"
    path.write_bytes((benchmark / "train.hdf5").read_bytes())
    with h5py.File(path, "r+") as file:
        tile = next(iter(file.values()))
        shape = tile["thermal"].shape
        del tile["thermal"]
        way(tile, "thermal", shape, secret)
    assert str(path) in fails(["convert", str(path), "out"], capsys)
    assert not [p for p in Path("out").rglob("*.tif") if b"root:" in p.read_bytes()]
    assert main(["info", "--check", str(path)]) == 1
    assert "array thermal" in capsys.readouterr().out
    assert "thermal" in fails(["info", str(path)], capsys)


def vrt(path, source, relative=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        '<VRTDataset rasterXSize="8" rasterYSize="8"><SRS>EPSG:32645</SRS>'
        "<GeoTransform>500000, 30, 0, 3100000, 0, -30</GeoTransform>"
        '<VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f'<SourceFilename relativeToVRT="{relative}">{source}</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    return path


def test_a_vrt_reaches_its_own_folder_and_below(tile, tmp_path):
    files = OpenFiles()
    assert files.get(str(vrt(tile.parent / "beside.vrt", "a.tif", 1))).read(1).all()
    assert files.get(str(vrt(tmp_path / "above.vrt", "tiles/a.tif", 1))).read(1).all()
    assert files.get(str(vrt(tmp_path / "absolute.vrt", tile))).read(1).all()


@pytest.mark.parametrize("name", ["x.vrt", "x.tif"])
def test_a_vrt_reaches_nothing_else(tile, tmp_path, name, monkeypatch):
    inside = tmp_path / "mine"
    nested = vrt(inside / "nested.vrt", "../tiles/a.tif", 1)
    link = inside / "link.tif"
    link.symlink_to(tile)
    for source, relative in [
        (tile, 0),
        ("../tiles/a.tif", 1),
        (nested, 0),
        (link, 0),
        ("/vsicurl/https://127.0.0.1/x.tif", 0),
        (f"/vsisubfile/0_100,{tile}", 0),
        (f'HDF5:"{tile}"://a', 0),
    ]:
        path = str(vrt(inside / name, source, relative))
        with pytest.raises(InputError, match=OUTSIDE):
            OpenFiles().get(path)
    monkeypatch.setenv(OUTSIDE, "yes")
    assert OpenFiles().get(str(vrt(inside / name, tile))).read(1).all()


def test_services_and_polygons_that_reach_out_are_refused(tmp_path):
    service = tmp_path / "wms.tif"
    service.write_text("<GDAL_WMS><Service name='TMS'><ServerUrl>http://127.0.0.1/</ServerUrl>")
    with pytest.raises(InputError, match="services"):
        OpenFiles().get(str(service))
    polygons = tmp_path / "polygons.gpkg"
    polygons.write_text(
        '<OGRVRTDataSource><OGRVRTLayer name="a"><SrcDataSource>/etc/passwd</SrcDataSource>'
        "</OGRVRTLayer></OGRVRTDataSource>"
    )
    with pytest.raises(InputError, match="/etc/passwd"):
        read_polygons(polygons)
    with pytest.raises(InputError, match="XML in the place of a name"):
        OpenFiles().get("<VRTDataset></VRTDataset>")


OUT_OF_XML = {
    "gti": "<GDALTileIndexDataset><IndexDataset>{}</IndexDataset></GDALTileIndexDataset>",
    "mrf": "<MRF_META><CachedSource><Source>{}</Source></CachedSource>"
    '<Raster><Size x="8" y="8" c="1"/></Raster></MRF_META>',
    "stacta": '{{"stac_version": "1.0.0", "asset_templates": {{"a": {{"href": "{}"}}}}}}',
    "stacit": '{{"type": "FeatureCollection", "stac_version": "1.0.0", "features": [{{'
    '"assets": {{"a": {{"href": "{}"}}}}}}]}}',
    "gdalg": '{{"type": "gdal_streamed_alg", "command_line": "gdal vector edit {} out"}}',
}


@pytest.mark.parametrize("kind", OUT_OF_XML)
def test_tables_of_other_files_and_commands_are_refused(kind, tile, tmp_path):
    """GDAL read the tile by an MRF, and polygons by a command in JSON."""
    for name in (f"x.{kind}", "x.tif", "x.json", "x.gpkg"):
        (tmp_path / name).write_text(OUT_OF_XML[kind].format(tile))
        with pytest.raises(InputError, match=OUTSIDE):
            OpenFiles().get(str(tmp_path / name))
        if not name.endswith(".tif"):
            with pytest.raises(InputError, match=OUTSIDE):
                read_polygons(tmp_path / name)


@pytest.mark.parametrize(
    "crs",
    [
        '"type": "link", "properties": {"href": "http://127.0.0.1/x"}',
        '"properties": {"url": "http://127.0.0.1/x"}, "type": "\\u0075rl"',
    ],
)
def test_geojson_fetches_no_system(crs, tmp_path):
    """GDAL asked the address three times."""
    path = tmp_path / "x.json"
    path.write_text(
        '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"url": "x"},'
        '"geometry": {"type": "Polygon", "coordinates": [[[86, 27], [86, 28], [87, 28], [86, 27]]]'
        f'}}}}], "crs": {{{crs}}}}}'
    )
    with pytest.raises(InputError, match="would be fetched"):
        read_polygons(path)
    named = '"type": "name", "properties": {"name": "EPSG:4326"}'
    path.write_text(path.read_text().replace(crs, named))
    assert len(read_polygons(path)) == 1


def test_files_beside_a_label_are_in_its_folder(tile, tmp_path):
    """The data of an ERS or an ISIS label lie in another file; GDAL 3.12 refuses some itself."""
    label = (
        "Object = IsisCube\n Object = Core\n ^Core = {}\n StartByte = 1\n"
        " Format = BandSequential\n Group = Dimensions\n Samples = 8\n Lines = 8\n Bands = 1\n"
        " End_Group\n Group = Pixels\n Type = UnsignedByte\n ByteOrder = Lsb\n End_Group\n"
        " End_Object\nEnd_Object\nEnd\n"
    )
    ers = (
        'DatasetHeader Begin\n DataFile = "{}"\n DataSetType = ERStorage\n DataType = Raster\n'
        " ByteOrder = LSBFirst\n CoordinateSpace Begin\n CoordinateType = EN\n"
        " CoordinateSpace End\n RasterInfo Begin\n CellType = Unsigned8BitInteger\n"
        " NrOfLines = 8\n NrOfCellsPerLine = 8\n NrOfBands = 1\n RasterInfo End\n"
        "DatasetHeader End\n"
    )
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, text in (("x.cub", label), ("x.ers", ers)):
        (folder / name).write_text(text.format(f"../tiles/{tile.name}"))
        with pytest.raises(InputError, match=f"{OUTSIDE}|Path traversal"):
            OpenFiles().get(str(folder / name))


@pytest.mark.parametrize("beside", [True, False])
def test_overviews_are_in_its_folder(beside, tile, tmp_path):
    path = write_raster(tmp_path / "mine" / "a.tif", np.ones((64, 64), np.uint8))
    if beside:
        Path(f"{path}.aux.xml").write_text(
            f'<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{tile}</MDI>'
            "</Metadata></PAMDataset>"
        )
    else:
        with rasterio.open(path, "r+") as file:
            file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=str(tile))
    with pytest.raises(InputError, match=OUTSIDE):
        OpenFiles().get(str(path))


def test_the_format_of_polygons_is_what_gdal_opened(tmp_path, monkeypatch):
    path = tmp_path / "x.unknown"
    point = '{"type": "Feature", "properties": {}, "geometry": {"type": "Point"}}'
    path.write_text(f'{{"type": "FeatureCollection", "features": [{point}]}}')
    monkeypatch.setattr(strangers, "SERVICE_DRIVERS", {"GeoJSON"})
    with pytest.raises(InputError, match=r"names services or other files \(GeoJSON\)"):
        read_polygons(path)


def test_hdf5_that_gdal_reads_reaches_nothing_else(secret, tmp_path):
    path = tmp_path / "x.nc"
    with h5py.File(path, "w") as file:
        group = file.create_group("g")
        external(group, "a", (8, 8), secret)
    for name in (f'HDF5:"{path}"://g/a', str(path), f"NETCDF:{path}:a"):
        with pytest.raises(InputError, match="stored in other files"):
            OpenFiles().get(name)
