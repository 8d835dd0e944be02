"""What a file itself says of its units: in words of its bands, and in the vertical axis of its CRS.

GDAL gives the unit of a band as free text, which applies to values after scale and offset.
"""

from typing import Any, NamedTuple

import pyproj

from glavitu.features import DEM, THERMAL, FeatureGroup
from glavitu.rasters.units import SLOPE


class Conversion(NamedTuple):
    """How values in a unit become those that a model wants.

    Attributes:
        unit: The unit in words, as a message has it.
        scale: Factor.
        offset: Summand, in the wanted unit.
        decibels: They are in decibels.
        percent: They are slopes in percent.
    """

    unit: str
    scale: float = 1.0
    offset: float = 0.0
    decibels: bool = False
    percent: bool = False


FOOT = Conversion("feet", 0.3048)
US_FOOT = Conversion("US survey feet", 1200 / 3937)
PERCENT = Conversion("percent", 0.01)

#: By words in small letters, for each kind of channel. What is wanted already converts nothing.
LENGTHS = {
    **dict.fromkeys(("m", "metre", "metres", "meter", "meters"), Conversion("metres")),
    **dict.fromkeys(("m.", "[m]", "masl", "mètre", "mètres"), Conversion("metres")),
    **dict.fromkeys(("ft", "foot", "feet", "international foot", "international feet"), FOOT),
    **dict.fromkeys(("ft.", "[ft]", "[ft_i]", "foot_international", "fuss", "fuß", "pied"), FOOT),
    **dict.fromkeys(
        ("us-ft", "ftus", "us_ft", "us foot", "us feet", "us survey foot", "us survey feet"),
        US_FOOT,
    ),
    **dict.fromkeys(("us_survey_foot", "foot_us", "survey foot", "survey feet"), US_FOOT),
    **dict.fromkeys(("[ft_us]", "feet (us)", "foot (us)", "ft (us)", "sft", "sfoot"), US_FOOT),
    **dict.fromkeys(("km", "kilometre", "kilometer"), Conversion("kilometres", 1000.0)),
    **dict.fromkeys(("dm", "decimetre", "decimeter"), Conversion("decimetres", 0.1)),
    **dict.fromkeys(("cm", "centimetre", "centimeter"), Conversion("centimetres", 0.01)),
    **dict.fromkeys(("mm", "millimetre", "millimeter"), Conversion("millimetres", 0.001)),
    **dict.fromkeys(("yd", "yard", "yards"), Conversion("yards", 0.9144)),
}
ANGLES = {
    **dict.fromkeys(("deg", "degree", "degrees", "°"), Conversion("degrees")),
    **dict.fromkeys(("%", "percent", "per cent", "pct"), Conversion("percent", percent=True)),
    **dict.fromkeys(("rad", "radian", "radians"), Conversion("radians", 57.29577951308232)),
}
TEMPERATURES = {
    **dict.fromkeys(("k", "kelvin", "kelvins", "deg k", "degk"), Conversion("kelvin")),
    **dict.fromkeys(
        ("c", "°c", "degc", "deg c", "deg_c", "celsius", "degree celsius", "degrees celsius"),
        Conversion("degrees Celsius", 1.0, 273.15),
    ),
    **dict.fromkeys(
        ("f", "°f", "degf", "deg f", "fahrenheit", "degrees fahrenheit"),
        Conversion("degrees Fahrenheit", 5 / 9, 273.15 - 160 / 9),
    ),
}
SIGMA0 = {
    **dict.fromkeys(("1", "linear", "power"), Conversion("linear")),
    **dict.fromkeys(("db", "decibel", "decibels"), Conversion("decibels", decibels=True)),
}
RATIOS = {
    **dict.fromkeys(("1", "reflectance", "unitless", "none"), Conversion("ratios")),
    **dict.fromkeys(("%", "percent", "per cent", "pct"), PERCENT),
}


def conversion(group: FeatureGroup, channel: str, unit: str | None) -> Conversion | None:
    """Find what turns a unit into the one that a model wants of a channel.

    Args:
        group: One of the benchmark's groups; of others no unit is known.
        channel: The channel.
        unit: What the file says.

    Returns:
        The conversion; None where the file says nothing that is understood.
    """
    words = " ".join((unit or "").strip().lower().split())
    if not words or group.possible is None:
        return None
    if group.name == DEM.name:
        known = ANGLES if channel == SLOPE else LENGTHS
        # As in "m above sea level".
        return known.get(words) or known.get(words.split()[0])
    if group.name == THERMAL.name:
        return TEMPERATURES.get(words)
    return (SIGMA0 if group.transform == "log10" else RATIOS).get(words)


def not_understood(group: FeatureGroup, channel: str, unit: str | None) -> bool:
    """Tell whether a file says a unit that nobody here knows, where values would not show it.

    Args:
        group: The group.
        channel: The channel.
        unit: What the file says.
    """
    said = bool((unit or "").strip()) and group.possible is not None
    return said and group.name in (DEM.name, THERMAL.name) and not conversion(group, channel, unit)


def vertical_unit(crs: Any) -> str | None:
    """Return the unit of the heights of a CRS, as far as it is not the metre.

    Args:
        crs: Of rasterio, or None.

    Returns:
        A word of :data:`LENGTHS`; None where there are no heights, they are in metres, or their
        unit is none of these.
    """
    text = "" if crs is None else crs.to_wkt(version="WKT2_2019")
    if "VERT" not in text and "up" not in text:
        return None
    try:
        axes = [
            axis
            for part in (pyproj.CRS.from_wkt(text).sub_crs_list or [pyproj.CRS.from_wkt(text)])
            for axis in part.axis_info
            if axis.direction in ("up", "down")
        ]
    except pyproj.exceptions.ProjError:
        return None
    for axis in axes:
        for word, known in LENGTHS.items():
            factor = axis.unit_conversion_factor
            if known.scale != 1 and abs(factor - known.scale) < 1e-8 * known.scale:
                return word
    return None
