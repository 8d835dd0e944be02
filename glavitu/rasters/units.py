"""Units: values that are stored otherwise than the model wants them, and those that look so."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from glavitu.arrays import BoolArray, FloatArray
from glavitu.errors import InputError
from glavitu.features import DEM, FEATURES, IN_SAR, FeatureGroup

#: Key of slope, as a file of its own or as the second band of a file with elevation.
SLOPE = "slope"

#: No channel of the benchmark comes near this many times its largest value.
FAR_ABOVE = 3.0

#: Share of a window's pixels that sigma0 above 1 never reaches, whatever layover there is.
NEARLY_ALL = 0.95

#: Noise that was subtracted leaves sigma0 slightly below 0, but never this far.
NEVER_LINEAR = -1.0


@dataclass(frozen=True)
class Units:
    """How a group's values are stored.

    What is stored becomes stored * scale + offset first, and then linear or degrees.

    Args:
        scale: Factor; None takes scale and offset from the file's own tags.
        offset: Summand, in the unit of the result.
        decibels: Sigma0 is in decibels.
        percent: Slope is in percent.

    Raises:
        InputError: If the scale is 0 or not finite, or an offset comes without a scale.
    """

    scale: float | None = None
    offset: float = 0.0
    decibels: bool = False
    percent: bool = False

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.scale is None and self.offset != 0:
            raise InputError(f"offset {self.offset} comes without a scale; give both, such as 1.0")
        if self.scale == 0 or not math.isfinite((self.scale or 0) + self.offset):
            raise InputError(
                f"scale {self.scale} with offset {self.offset} is no scale; give a finite factor "
                "other than 0, such as 0.0001"
            )

    def of_band(self, scale: float, offset: float) -> "Units":
        """Return the same with a band's own scale and offset, unless others are given."""
        return self if self.scale is not None else replace(self, scale=scale, offset=offset)

    @property
    def changes(self) -> bool:
        """Whether values are anything but taken as they are."""
        return self.decibels or self.percent or (self.scale or 1.0, self.offset) != (1.0, 0.0)

    def convert(self, values: FloatArray) -> None:
        """Bring values to the model's unit, in place."""
        values *= np.float32(self.scale or 1.0)
        values += np.float32(self.offset)
        if self.decibels:
            with np.errstate(over="ignore"):
                np.power(np.float32(10), values / 10, out=values)
        if self.percent:
            np.degrees(np.arctan(values / 100), out=values)


def units_of(
    groups: Sequence[FeatureGroup],
    scales: Mapping[str, tuple[float, float]] | None = None,
    decibels: bool = False,
    slope_percent: bool = False,
) -> dict[str, Units]:
    """Make units of what the command line says for all groups at once.

    Args:
        groups: The model's feature groups.
        scales: Scale and offset by the name of a group, or ``'slope'``.
        decibels: All groups of sigma0 are in decibels.
        slope_percent: Slope is in percent.

    Raises:
        InputError: If a scale is none, or there is no sigma0 for decibels.
    """
    units = {name: Units(scale, offset) for name, (scale, offset) in (scales or {}).items()}
    sigma0 = [group.name for group in groups if group.transform == "log10"]
    if decibels and not sigma0:
        names = ", ".join(group.name for group in groups)
        raise InputError(f"--decibels is for sigma0, but the model uses {names}; leave it out")
    for name in sigma0 if decibels else []:
        units[name] = replace(units.get(name, Units()), decibels=True)
    if slope_percent:
        units[SLOPE] = replace(units.get(SLOPE, Units()), percent=True)
    return units


def check_names(units: Mapping[str, Units], groups: Sequence[FeatureGroup]) -> None:
    """Check that units are given for what the model reads, and of a kind that it can have.

    Args:
        units: By the name of a group, or ``'slope'``.
        groups: The model's feature groups.

    Raises:
        InputError: If a name is unknown, or the kind does not fit.
    """
    transforms = {group.name: group.transform for group in groups}
    if DEM.name in transforms:
        transforms[SLOPE] = "none"
    for name, unit in units.items():
        if name not in transforms:
            raise InputError(
                f"a scale or unit is given for {name!r}, which the model does not use; it uses "
                f"{', '.join(transforms)}"
            )
        if unit.decibels and transforms[name] != "log10":
            raise InputError(f"{name!r} cannot be in decibels, only sigma0 can; leave it out")
        if unit.percent and name != SLOPE:
            raise InputError(f"{name!r} cannot be in percent, only {SLOPE!r} can; leave it out")


class UnitsCheck:
    """Tells from the values which are read whether they are in another unit.

    It looks at the groups of the benchmark alone, whose units are known, and while windows are
    read: that needs no further reading, and a wrong unit shows in the first window with data. To
    be free of false alarms it asks for more than half of a channel's pixels, so that single bad
    pixels never end a long run.
    """

    def __init__(self) -> None:
        self._warned: set[str] = set()

    def __call__(
        self, group: FeatureGroup, values: FloatArray, known: BoolArray, files: str
    ) -> None:
        """Look at a window of a group.

        Args:
            group: The group.
            values: (channels, h, w) in what should be the group's units.
            known: Where values are not missing, the same shape.
            files: The group's files, for messages.

        Raises:
            InputError: If the values cannot be in the unit.
        """
        if FEATURES.get(group.name) != group:
            return
        pixels = known[0].size
        counts = np.count_nonzero(known, axis=(1, 2))
        enough = counts > max(0, pixels // 100)
        for number, channel in enumerate(group.channels):
            if enough[number]:
                self._check(group, number, channel, values[number], int(counts[number]), files)

    def _check(
        self,
        group: FeatureGroup,
        number: int,
        channel: str,
        values: FloatArray,
        count: int,
        files: str,
    ) -> None:
        sigma0 = group.transform == "log10"
        largest = 10 ** group.maximum[number] if sigma0 else group.maximum[number]
        if np.count_nonzero(values > FAR_ABOVE * largest) > count / 2:
            median = float(np.nanmedian(values))
            raise InputError(
                f"{files}: {group.name} ({channel}) has values around {median:.5g}, but the model "
                f"wants at most about {largest:.3g}; say what turns stored values into the wanted "
                f"unit, for example --scale {group.name}=0.0001 (map_scene: "
                f"scales={{{group.name!r}: (0.0001, 0)}}), or write scale and offset into the "
                "file's tags, as gdal_edit.py -scale does"
            )
        if sigma0 and np.count_nonzero(values < NEVER_LINEAR) > count / 2:
            median = float(np.nanmedian(values))
            raise InputError(
                f"{files}: {group.name} ({channel}) is negative, around {median:.3g}, but sigma0 "
                "must be linear; if it is in decibels, give --decibels (map_scene: decibels=True), "
                "or convert the file"
            )
        if sigma0 and np.count_nonzero(values > 1) > NEARLY_ALL * count:
            raise InputError(
                f"{files}: {group.name} ({channel}) is above 1 nearly everywhere, as sigma0 never "
                "is; if --decibels is given, the file may be linear already: leave it out"
            )
        if group == DEM and channel == SLOPE:
            self._warn_if(
                bool((values > 90).any()),
                f"{files}: slope goes above 90, as degrees never do; if it is in percent, give "
                "--slope-percent (map_scene: slope_percent=True), or the map will be wrong",
            )
        if group == IN_SAR:
            self._warn_if(
                bool((values < -0.001).any() or (values > 1.001).any()),
                f"{files}: coherence ({channel}) lies between 0 and 1, but some values do not; if "
                f"it is stored scaled, give the factor, for example --scale {group.name}=0.01",
            )

    def _warn_if(self, odd: bool, message: str) -> None:
        if odd and message not in self._warned:
            self._warned.add(message)
            warnings.warn(message, stacklevel=5)
