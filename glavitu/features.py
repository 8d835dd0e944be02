"""Feature groups: what a model's input channels are and how they are scaled.

A feature group is the one description from which datasets scale, models build branches and scenes
are prepared. The six groups of the published benchmark are known by name; users add their own.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from glavitu.errors import InputError


@dataclass(frozen=True)
class FeatureGroup:
    """Channels that belong together, and how each is brought to [0, 1].

    Args:
        name: Name of the group, such as ``'optical'``.
        channels: Names of the channels in order.
        minimum: Value of each channel that becomes 0, in the channel's unit after its transform.
        maximum: Value of each channel that becomes 1, in the same unit.
        transform: ``'log10'`` takes log10(x + 1e-6) first; ``'none'`` takes values as they are.
        possible: Lowest and highest value that each channel can have, in its unit before the
            transform; rasters' values beyond them are missing values or in another unit. Known of
            the benchmark's groups; None where nothing is known.

    Raises:
        InputError: If the lengths differ, a maximum is not above its minimum, a number is not
            finite, or the transform is unknown.
    """

    name: str
    channels: tuple[str, ...]
    minimum: tuple[float, ...]
    maximum: tuple[float, ...]
    transform: str = "none"
    # What is possible is known of a group, and does not make it another one.
    possible: tuple[tuple[float, float], ...] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Check the description."""
        for name in ("channels", "minimum", "maximum"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.possible is None and (self.name, self.channels) in POSSIBLE:
            object.__setattr__(self, "possible", POSSIBLE[self.name, self.channels])
        if self.possible is not None:
            object.__setattr__(self, "possible", tuple(map(tuple, self.possible)))
        for name in ("minimum", "maximum", "possible"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.channels):
                raise InputError(
                    f"feature group {self.name!r}: {name} has {len(values)} values, "
                    f"but there are {len(self.channels)} channels ({', '.join(self.channels)}); "
                    "give one value per channel"
                )
        if not self.channels:
            raise InputError(f"feature group {self.name!r} has no channels; name at least one")
        for channel, low, high in zip(self.channels, self.minimum, self.maximum, strict=True):
            if not (high > low and math.isfinite(high - low)):
                raise InputError(
                    f"feature group {self.name!r}, channel {channel!r}: the maximum ({high}) must "
                    f"be above the minimum ({low}), and both must be finite"
                )
        for channel, limits in zip(self.channels, self.possible or (), strict=False):
            if len(limits) != 2 or not limits[0] < limits[1]:
                raise InputError(
                    f"feature group {self.name!r}, channel {channel!r}: possible is {limits}; give "
                    "the lowest and the highest value, such as [0, 1]"
                )
        if self.transform not in ("none", "log10"):
            raise InputError(
                f"feature group {self.name!r}: unknown transform {self.transform!r}; use 'log10' "
                "or 'none'"
            )

    def __len__(self) -> int:
        """Return the number of channels."""
        return len(self.channels)

    def scale(self, values: Tensor) -> Tensor:
        """Bring physical values to the model's range.

        Args:
            values: (..., C, H, W) in the channels' units; NaN where missing.

        Returns:
            float32 of the same shape, (x - minimum) / (maximum - minimum) of the transformed
            values. Missing values become 0 before scaling, as in the published benchmark.
        """
        values = values.to(torch.float32)
        if self.transform == "log10":
            # Noise that was subtracted can leave negative backscatter; NaN stays NaN.
            values = torch.log10(values.clamp(min=0) + 1e-6)
        values = torch.nan_to_num(values, nan=0.0)
        low = torch.tensor(self.minimum, device=values.device)[:, None, None]
        high = torch.tensor(self.maximum, device=values.device)[:, None, None]
        return values.sub_(low).div_(high - low)

    def to_dict(self) -> dict[str, Any]:
        """Return the group as plain values, as checkpoints and YAML keep it."""
        return {k: _plain(v) for k, v in asdict(self).items() if v is not None}


def _plain(value: Any) -> Any:
    return list(map(_plain, value)) if isinstance(value, tuple) else value


#: What each channel of the benchmark's groups can have at most. Snow under a low sun reaches a
#: reflectance of 2.7, and corrections of the atmosphere leave some tenths below 0; the lowest land
#: lies 430 m under the sea; noise that was subtracted leaves sigma0 slightly below 0, and corner
#: reflectors reach some thousands; the coldest ice seen from space had 175 K (Scambos et al. 2018,
#: doi 10.1029/2018GL078133).
POSSIBLE: dict[tuple[str, tuple[str, ...]], tuple[tuple[float, float], ...]] = {
    ("optical", ("blue", "green", "red", "nir", "swir1", "swir2")): ((-0.5, 10.0),) * 6,
    ("dem", ("elevation", "slope")): ((-500.0, 9000.0), (0.0, 90.0)),
    ("dem", ("elevation",)): ((-500.0, 9000.0),),
    ("co_pol_sar", ("ascending", "descending")): ((-1.0, 1e4),) * 2,
    ("cross_pol_sar", ("ascending", "descending")): ((-1.0, 1e4),) * 2,
    ("in_sar", ("ascending", "descending")): ((-0.001, 1.001),) * 2,
    ("thermal", ("thermal",)): ((150.0, 400.0),),
}

OPTICAL = FeatureGroup(
    "optical",
    ("blue", "green", "red", "nir", "swir1", "swir2"),
    (-0.00373555, -0.01996775, -0.01857444, -0.02698885, -0.0254627, -0.02451179),
    (2.0468, 2.1253, 2.2303, 2.6781, 2.1246, 2.1602),
)
DEM = FeatureGroup(
    "dem", ("elevation", "slope"), (-103.29675627, 0.0), (8349.42706884, 88.97835244)
)
CO_POL_SAR = FeatureGroup(
    "co_pol_sar",
    ("ascending", "descending"),
    (-6.0, -6.0),
    (1.75761249, 15.63508564),
    "log10",
)
CROSS_POL_SAR = FeatureGroup(
    "cross_pol_sar",
    ("ascending", "descending"),
    (-6.0, -6.0),
    (1.38859078, 15.9050037),
    "log10",
)
IN_SAR = FeatureGroup("in_sar", ("ascending", "descending"), (0.0, 0.0), (0.99999938, 0.99999963))
THERMAL = FeatureGroup("thermal", ("thermal",), (0.0,), (322.08056641,))

#: The groups of the published benchmark (Maslov et al. 2025), by name.
FEATURES: dict[str, FeatureGroup] = {
    group.name: group for group in (OPTICAL, DEM, CO_POL_SAR, CROSS_POL_SAR, IN_SAR, THERMAL)
}

FeatureLike = str | FeatureGroup | Mapping[str, Any]


def resolve_features(features: Iterable[FeatureLike]) -> tuple[FeatureGroup, ...]:
    """Turn names, groups and plain dictionaries into feature groups.

    Args:
        features: Names of known groups, :class:`FeatureGroup` objects, or dictionaries with the
            fields of one.

    Returns:
        The groups in the order given.

    Raises:
        InputError: If a name is unknown, a dictionary has wrong keys, or a name comes twice.
    """
    if isinstance(features, str):
        features = [features]
    groups = tuple(_resolve(feature) for feature in features)
    names = [group.name for group in groups]
    if not names:
        raise InputError(f"no feature group given; choose from {', '.join(FEATURES)}")
    if len(set(names)) < len(names):
        raise InputError(f"feature groups {names} name one group twice; name each once")
    return groups


def _resolve(feature: FeatureLike) -> FeatureGroup:
    if isinstance(feature, FeatureGroup):
        return feature
    if isinstance(feature, str):
        if feature not in FEATURES:
            raise InputError(
                f"unknown feature group {feature!r}; known are {', '.join(FEATURES)}. Describe a "
                "group of your own with name, channels, minimum and maximum"
            )
        return FEATURES[feature]
    try:
        return FeatureGroup(**feature)
    except TypeError as error:
        raise InputError(
            f"feature group {dict(feature)!r} needs the keys name, channels, minimum and maximum "
            f"(and optionally transform, possible): {error}"
        ) from None
