"""Tests of several years and sensors: which tiles belong together."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from glavitu.regions import region_name

if TYPE_CHECKING:
    from glavitu.datasets.tile_dataset import Tile

#: Said of a year or sensor that is not known where others are.
UNSAID = "unknown"


class Acquisition(NamedTuple):
    """Where, when and by what a tile was taken.

    Attributes:
        region: Index of its region.
        year: Its year, ``'unknown'`` where its date is empty.
        sensor: Its sensor, ``'unknown'`` where it is empty.
    """

    region: int
    year: str
    sensor: str

    def named(self) -> dict[str, str]:
        """Return region, year and sensor as text."""
        return {"region": region_name(self.region), "year": self.year, "sensor": self.sensor}


def acquisitions(tiles: "Sequence[Tile]") -> list[Acquisition]:
    """Return the acquisition of each tile.

    Args:
        tiles: The tiles of a dataset.
    """
    return [
        Acquisition(tile.region, tile.date[:4] or UNSAID, tile.sensor or UNSAID) for tile in tiles
    ]


def groupings(tiles: Sequence[Acquisition]) -> dict[str, tuple[str, ...]]:
    """Choose by what to group.

    Args:
        tiles: Acquisition of each tile.

    Returns:
        ``years`` and ``sensors`` where one is known, and ``groups``, which are regions in these;
        each with its columns. Nothing where neither is known.
    """
    known = [key for key in ("year", "sensor") if {getattr(tile, key) for tile in tiles} - {UNSAID}]
    chosen: dict[str, tuple[str, ...]] = {f"{key}s": (key,) for key in known}
    return chosen | {"groups": ("region", *known)} if known else {}
