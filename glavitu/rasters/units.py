"""Units: how values are stored that a model wants otherwise, as users say it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from glavitu.arrays import FloatArray
from glavitu.errors import InputError
from glavitu.features import DEM, FeatureGroup

#: Key of slope, as a file of its own or as the second band of a file with elevation.
SLOPE = "slope"


@dataclass(frozen=True)
class Units:
    """How a group's values are stored.

    What is stored becomes stored * scale + offset first, and then linear or degrees.

    Args:
        scale: Factor; None takes scale and offset from the file's own tags.
        offset: Summand, in the unit of the result.
        decibels: Sigma0 is in decibels.
        percent: Slope is in percent.
        nodata: Stored value that means missing, in the place of the file's own; NaN if none does.

    Raises:
        InputError: If the scale is 0 or not finite, or an offset comes without a scale.
    """

    scale: float | None = None
    offset: float = 0.0
    decibels: bool = False
    percent: bool = False
    nodata: float | None = None

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

    def stored(self, value: float) -> float:
        """Return what is stored for a value in the model's unit."""
        with np.errstate(all="ignore"):
            if self.decibels:
                value = float(10 * np.log10(np.float64(value)))
            if self.percent:
                value = 100 * math.tan(math.radians(value))
            return float((np.float64(value) - self.offset) / (self.scale or 1.0))

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
    scales: Mapping[str, Sequence[float] | float] | None = None,
    decibels: bool = False,
    slope_percent: bool = False,
    nodata: Mapping[str, float | None] | None = None,
) -> dict[str, Units]:
    """Make units of what the command line says for all groups at once.

    Args:
        groups: The model's feature groups.
        scales: Scale and offset by the name of a group, or ``'slope'``; a number is a scale alone.
        decibels: All groups of sigma0 are in decibels.
        slope_percent: Slope is in percent.
        nodata: Stored value that means missing, by the same names; None if none does.

    Raises:
        InputError: If a scale or a nodata value is none, or there is no sigma0 for decibels.
    """
    units = {name: _scaled(name, given) for name, given in (scales or {}).items()}
    for name, value in (nodata or {}).items():
        try:
            missing = math.nan if value is None else float(value)
        except (TypeError, ValueError):
            raise InputError(
                f"the nodata value of {name!r} is {value!r}; give a number, such as -9999, or None "
                "if no value means missing"
            ) from None
        units[name] = replace(units.get(name, Units()), nodata=missing)
    sigma0 = [group.name for group in groups if group.transform == "log10"]
    if decibels and not sigma0:
        names = ", ".join(group.name for group in groups)
        raise InputError(f"--decibels is for sigma0, but the model uses {names}; leave it out")
    for name in sigma0 if decibels else []:
        units[name] = replace(units.get(name, Units()), decibels=True)
    if slope_percent:
        units[SLOPE] = replace(units.get(SLOPE, Units()), percent=True)
    return units


def _scaled(name: str, given: float | Sequence[float]) -> Units:
    try:
        pair = (given, 0.0) if isinstance(given, int | float) else tuple(given)
        scale, offset = map(float, pair)
        return Units(scale, offset)
    except (TypeError, ValueError):
        raise InputError(
            f"the scale of {name!r} is {given!r}; give a factor and an offset, such as "
            "[0.0001, -0.1]"
        ) from None
    except InputError as error:
        raise InputError(f"{name!r}: {error}") from None


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
