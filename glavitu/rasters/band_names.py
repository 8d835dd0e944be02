"""Which band is which channel, where a file or its bands have names that tell.

Names are words (red, NIR, swir16), numbers of a sensor's bands (B04, SR_B4), or wavelengths.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

from glavitu.features import FeatureGroup

#: Numbers of the bands of sensors, for the six channels of the optical group in their order. Which
#: sensor it is shows in the numbers, for no two sets are the same.
SENSORS = (
    ("2", "3", "4", "8", "11", "12"),  # Sentinel-2
    ("2", "3", "4", "8a", "11", "12"),
    ("2", "3", "4", "5", "6", "7"),  # Landsat 8 and 9
    ("1", "2", "3", "4", "5", "7"),  # Landsat 4 to 7
)
OPTICAL = ("blue", "green", "red", "nir", "swir1", "swir2")

#: Words that mean a channel and no other.
WORDS = {
    "blue": ("blue", "blu"),
    "green": ("green", "grn"),
    "red": ("red",),
    "nir": ("nir", "nir1", "nir08", "nearinfrared", "nearir", "narrownir", "nirnarrow", "nirbroad"),
    "swir1": ("swir1", "swir16", "swir01", "shortwaveinfrared1", "mir1"),
    "swir2": ("swir2", "swir22", "swir02", "shortwaveinfrared2", "mir2"),
    "elevation": ("elevation", "elev", "height", "altitude", "dem", "dsm", "dtm"),
    "slope": ("slope",),
    "ascending": ("ascending", "asc"),
    "descending": ("descending", "desc", "dsc"),
}

#: Words that mean something that no channel is.
OTHERS = (
    *("rededge", "coastal", "cirrus", "panchromatic", "pan", "watervapour", "watervapor", "aot"),
    *("aspect", "hillshade", "cloud", "mask", "qa", "scl", "fill", "alpha", "nir09", "swir13"),
)

#: Micrometres at which a band of a channel has its centre.
WAVELENGTHS = {
    "blue": (0.455, 0.515),
    "green": (0.525, 0.595),
    "red": (0.62, 0.69),
    "nir": (0.76, 0.90),
    "swir1": (1.54, 1.70),
    "swir2": (2.06, 2.35),
}

_BAND = re.compile(r"(?:^|[^a-z0-9])b(?:and)?[ _-]?0?(\d{1,2}a?)(?:$|[^a-z0-9])")
_LENGTH = re.compile(r"(\d+(?:\.\d+)?) ?(nm|nanomet|um|µm|micromet)")


def order_of(group: FeatureGroup, names: Sequence[str | None]) -> list[int] | None:
    """Find the bands of a group's channels by their names.

    Args:
        group: The group.
        names: Of the bands, None or empty where there is none.

    Returns:
        For each channel the index of its band. Where some channels alone are named, and their bands
        are those at the places of these channels, these are put in order and the others stay. None
        where names do not tell.
    """
    meant = meanings(group, names)
    places = {channel: place for place, channel in enumerate(meant) if channel is not None}
    if len(places) < sum(channel is not None for channel in meant):
        return None  # Two bands are called the same.
    if len(places) == len(group):
        return [places[channel] for channel in group.channels]
    natural = [group.channels.index(channel) for channel in places]
    if len(names) == len(group) and places and sorted(natural) == sorted(places.values()):
        order = list(range(len(group)))
        for channel, place in places.items():
            order[group.channels.index(channel)] = place
        return order
    return None


def contradictions(group: FeatureGroup, names: Sequence[str | None]) -> list[tuple[int, str]]:
    """List the bands that are named otherwise than the channel at their place.

    Args:
        group: The group.
        names: Of as many bands as the group has channels.

    Returns:
        Index and name of each.
    """
    odd = []
    for place, (name, meant) in enumerate(zip(names, meanings(group, names), strict=True)):
        other = meant is not None and meant != group.channels[place]
        if name and (other or _word(name) in OTHERS):
            odd.append((place, name))
    return odd


def meanings(group: FeatureGroup, names: Sequence[str | None]) -> list[str | None]:
    """Return the channel of the group that each name means, None where it means none of them.

    Args:
        group: The group.
        names: Of bands.
    """
    simple = {_simple(channel): channel for channel in group.channels}
    found = [simple.get(_simple(name or "")) for name in names]
    for place, name in enumerate(names):
        word = _word(name or "") if found[place] is None else None
        if word in group.channels:
            found[place] = word
    if set(OPTICAL) <= set(group.channels):
        numbers = _by_number(names)
        found = [channel or number for channel, number in zip(found, numbers, strict=True)]
    return found


def _by_number(names: Sequence[str | None]) -> list[str | None]:
    """Understand numbers of bands, where they are those of one sensor."""
    numbers = [_BAND.findall((name or "").lower()) for name in names]
    given = [number[-1] if number else None for number in numbers]
    known = {number for number in given if number is not None}
    for sensor in SENSORS:
        # Of more bands than six the numbers could be those of several sensors.
        plain = known == set(sensor) or ({"8", "8a", *sensor} <= known and "8" in sensor)
        if plain and len(known) == sum(number is not None for number in given):
            return [OPTICAL[sensor.index(number)] if number in sensor else None for number in given]
    return [None] * len(names)


def _word(name: str) -> str | None:
    """Return the channel that words of a name mean, one of OTHERS, or None."""
    simple = _simple(name)
    words = {_simple(word) for word in re.split(r"[^A-Za-z0-9]+", name)}
    pairs = re.findall(r"[a-z]+|\d+", name.lower())
    words |= {"".join(pair) for pair in pairwise(pairs)}
    words |= {"".join(three) for three in zip(pairs, pairs[1:], pairs[2:], strict=False)}
    for other in OTHERS:
        if other == simple or other in words:
            return other
    meant = {
        channel for channel, known in WORDS.items() if simple in known or words.intersection(known)
    }
    if len(meant) == 1:
        return meant.pop()
    length = _LENGTH.search(name.lower())
    if not meant and length is not None:
        micrometres = float(length[1]) / (1000 if length[2].startswith("n") else 1)
        for channel, (low, high) in WAVELENGTHS.items():
            if low <= micrometres <= high:
                return channel
    return None


def _simple(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
