"""A tile: what a dataset knows of it without keeping its files open."""

from typing import Protocol

from affine import Affine
from rasterio import CRS

from glavitu.windows import Window


class Tile(Protocol):
    """What a dataset knows of a tile without keeping its files open."""

    @property
    def name(self) -> str:
        """Its name, one of its own in the dataset."""

    @property
    def region(self) -> int:
        """Index of its region, 11 for unknown."""

    @property
    def subregion(self) -> str:
        """Its subregion, empty where unknown."""

    @property
    def filepath(self) -> str:
        """Its first file."""

    @property
    def extent(self) -> Window:
        """The part of the raster that belongs to the dataset, in pixels."""

    @property
    def crs(self) -> CRS:
        """Its coordinate reference system, rasterio's."""

    @property
    def transform(self) -> Affine:
        """Affine transform of the whole raster."""

    @property
    def date(self) -> str:
        """When it was taken, as ISO 8601 writes it; empty where unknown."""

    @property
    def sensor(self) -> str:
        """What took it, empty where unknown."""
