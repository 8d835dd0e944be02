"""Pixels that hold one value in all channels, as the border of an orbit does."""

from glavitu.arrays import FloatArray
from glavitu.features import DEM, FEATURES, FeatureGroup
from glavitu.rasters.open_files import Said


def forget_fill(group: FeatureGroup, values: FloatArray, name: str, said: Said) -> None:
    """Take pixels for missing that have one value of 0 or less in all channels, in place.

    So look missing values that nobody marked, before or after an offset was taken off; no ground
    reflects so.

    Args:
        group: One of the benchmark's; of others nothing is known.
        values: (channels, h, w) in the group's unit, NaN where missing.
        name: The group's file, for the warning.
        said: Gives the warning, once.
    """
    if FEATURES.get(group.name) != group or group == DEM or len(group) == 1:
        return
    fill = values[0] <= 0
    if not fill.any():
        return
    fill &= (values == values[0]).all(axis=0)
    if fill.any():
        said(
            ("fill", group.name),
            f"{name}: {group.name} is {float(values[0][fill][0]):.5g} in all channels at once in "
            "some pixels: they are taken as missing, as at the border of an orbit; say what means "
            f"missing with --nodata {group.name}=VALUE",
        )
        values[:, fill] = float("nan")
