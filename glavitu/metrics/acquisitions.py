"""Tests of several years and sensors: which tiles belong together."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

from glavitu.regions import region_name

if TYPE_CHECKING:
    from glavitu.datasets.tile import Tile

#: Said of a year or sensor that is not known where others are.
UNSAID = "unknown"


#: Tables that group tiles, and their columns.
GROUPINGS: dict[str, tuple[str, ...]] = {
    "years": ("year",),
    "sensors": ("sensor",),
    "groups": ("region", "year", "sensor"),
}


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


def groupings(years: Collection[str], sensors: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Choose by what to group tiles.

    Args:
        years: Years of the tiles.
        sensors: Sensors of the tiles.

    Returns:
        Those of :data:`GROUPINGS` that say something, with the columns of which a value is known;
        nothing where neither years nor sensors are.
    """
    silent = {
        key for key, said in (("year", years), ("sensor", sensors)) if not set(said) - {UNSAID}
    }
    if len(silent) == 2:
        return {}
    chosen = {
        name: tuple(key for key in keys if key not in silent) for name, keys in GROUPINGS.items()
    }
    return {name: keys for name, keys in chosen.items() if keys}
