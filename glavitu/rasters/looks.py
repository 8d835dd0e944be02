"""What is seen of the values of a raster, before it is judged."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from glavitu.arrays import FloatArray
from glavitu.features import FeatureGroup
from glavitu.rasters.jumps import Jumps
from glavitu.rasters.raster_file import RasterFile
from glavitu.rasters.units import SLOPE
from glavitu.windows import Window

#: Values kept of a channel of a file.
KEPT = 100_000


@dataclass
class Look:
    """What was seen of one channel in one file.

    Attributes:
        file: The file.
        number: Index of the band among those of the file.
        known: How many values are not missing.
        impossible: How often each value that cannot be was seen.
        values: Some of the known values, in the model's unit, 1-D.
        jumps: How elevation jumps.
    """

    file: RasterFile
    number: int
    known: int = 0
    impossible: dict[float, int] = field(default_factory=dict)
    values: list[FloatArray] = field(default_factory=list)
    jumps: Jumps = field(default_factory=Jumps)

    @property
    def group(self) -> FeatureGroup:
        """Its feature group."""
        assert self.file.group is not None
        return self.file.group

    @property
    def channel(self) -> str:
        """Name of the channel."""
        return self.group.channels[self.file.channels[self.number]]

    @property
    def what(self) -> str:
        """Group and channel in words."""
        return f"{self.group.name} ({self.channel})"

    @property
    def option(self) -> str:
        """What its values are named by in options."""
        slope = self.group.name == "dem" and self.channel == SLOPE
        return SLOPE if slope else self.group.name

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest value that is possible."""
        possible = self.group.possible
        return possible[self.file.channels[self.number]] if possible else (-np.inf, np.inf)

    def add(self, values: FloatArray) -> None:
        """Look at (h, w) values, NaN where missing."""
        known = np.isfinite(values)
        found = values[known]
        self.known += found.size
        low, high = self.limits
        beyond = (found < low) | (found > high)
        for value, count in zip(*np.unique(found[beyond], return_counts=True), strict=True):
            if float(value) in self.impossible or len(self.impossible) < KEPT:
                self.impossible[float(value)] = self.impossible.get(float(value), 0) + int(count)
        room = KEPT - sum(map(len, self.values))
        if room > 0:
            self.values.append(found[~beyond][:: max(1, found.size // room)])
        if self.channel == "elevation":
            self.jumps.add(np.where((values >= low) & (values <= high), values, np.nan))

    def sample(self) -> FloatArray:
        """Return some of the possible values, 1-D."""
        return np.concatenate(self.values) if self.values else np.zeros(0, dtype=np.float32)


def look_at(file: RasterFile, windows: Sequence[Window]) -> list[Look]:
    """Look at parts of a file.

    Args:
        file: The file, as channels of a group.
        windows: Its parts.

    Returns:
        What was seen of each of its bands.

    Raises:
        InputError: If the file is damaged there.
    """
    looks = [Look(file, number) for number in range(len(file.bands))]
    for window in windows:
        for look, values in zip(looks, file.read_all(window), strict=True):
            look.add(values)
    return looks
