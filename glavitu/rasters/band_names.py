"""Which band is which channel, where a file or its bands have names that tell.

Names are words (red, NIR, swir16; some of German, French and Spanish), letters (R, G, B), numbers
of a sensor's bands (B04, SR_B4, TM4), or wavelengths.
"""

import re
import unicodedata
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
    "blue": ("blue", "blu", "blau", "bleu", "azul"),
    "green": ("green", "grn", "grun", "gruen", "vert", "verde"),
    "red": ("red", "rot", "rouge", "rojo"),
    "nir": (
        *("nir", "nir1", "nir08", "nearinfrared", "nearir", "narrownir", "nirnarrow", "nirbroad"),
        *("nahesinfrarot", "procheinfrarouge", "infrarrojocercano"),
    ),
    "swir1": ("swir1", "swir16", "swir01", "shortwaveinfrared1", "mir1"),
    "swir2": ("swir2", "swir22", "swir02", "shortwaveinfrared2", "mir2"),
    "elevation": (
        *("elevation", "elev", "height", "altitude", "dem", "dsm", "dtm"),
        *("hohe", "hoehe", "elevacion", "altitud"),
    ),
    "slope": ("slope", "neigung", "hangneigung", "pente", "pendiente"),
    "ascending": ("ascending", "asc"),
    "descending": ("descending", "desc", "dsc"),
}

#: Letters that mean a channel, where there are all of R, G and B.
LETTERS = {"r": "red", "g": "green", "b": "blue", "n": "nir", "s1": "swir1", "s2": "swir2"}

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

_BAND = re.compile(
    r"(?:^|[^a-z0-9])(?:b(?:and)?|e?tm\+?)[ _-]?0?(\d{1,2}a?)(?:$|[^a-z0-9])|^0?(\d{1,2}a?)$"
)
_LENGTH = re.compile(r"(\d+(?:\.\d+)?) ?(nm|nanomet|um|µm|micromet)")
#: As ENVI (micrometres alone) and ACOLITE (rhot_665) have it.
_BARE_LENGTH = re.compile(r"^([012]\.\d+)$|(?:^|_)(\d{3,4})$")
#: What bands are called where nobody named them.
_GENERIC = re.compile(r"(band[ _-]?)?\d+$")


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
    if set(OPTICAL) <= set(group.channels) and (odd := _of_no_sensor(names)):
        return odd
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
        letters = [_simple(name or "") for name in names]
        if {"r", "g", "b"} <= set(letters):
            by_letter = [LETTERS.get(letter) for letter in letters]
            found = [channel or letter for channel, letter in zip(found, by_letter, strict=True)]
        numbers = _by_number(names)
        found = [channel or number for channel, number in zip(found, numbers, strict=True)]
    return found


def _by_number(names: Sequence[str | None]) -> list[str | None]:
    """Understand numbers of bands, where they are those of one sensor."""
    given = _numbers(names)
    known = {number for number in given if number is not None}
    for sensor in SENSORS:
        # Of more bands than six the numbers could be those of several sensors.
        plain = known == set(sensor) or ({"8", "8a", *sensor} <= known and "8" in sensor)
        if plain and len(known) == sum(number is not None for number in given):
            return [OPTICAL[sensor.index(number)] if number in sensor else None for number in given]
    return [None] * len(names)


def _of_no_sensor(names: Sequence[str | None]) -> list[tuple[int, str]]:
    """List the bands that make numbers of six bands none of a sensor's."""
    given = _numbers(names)
    if None in given or len(given) != len(OPTICAL) or any(set(given) == set(s) for s in SENSORS):
        return []
    if all(_GENERIC.match((name or "").strip().lower()) for name in names):
        return []
    odd = [[n for n, known in enumerate(sensor) if given[n] != known] for sensor in SENSORS]
    return [(number, str(names[number])) for number in min(odd, key=len)]


def _numbers(names: Sequence[str | None]) -> list[str | None]:
    """Return the number of a band that each name has, None where it has none."""
    found = [_BAND.findall((name or "").strip().lower()) for name in names]
    return ["".join(each[-1]) if each else None for each in found]


def _word(name: str) -> str | None:
    """Return the channel that words of a name mean, one of OTHERS, or None."""
    simple, plain = _simple(name), _without_accents(name)
    words = {_simple(word) for word in re.split(r"[^a-z0-9]+", plain)}
    pairs = re.findall(r"[a-z]+|\d+", plain)
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
    bare = _BARE_LENGTH.search(name.lower().strip())
    if not meant and (length or bare):
        if length:
            micrometres = float(length[1]) / (1000 if length[2].startswith("n") else 1)
        else:
            assert bare is not None
            micrometres = float(bare[1]) if bare[1] else float(bare[2]) / 1000
        for channel, (low, high) in WAVELENGTHS.items():
            if low <= micrometres <= high:
                return channel
    return None


def _simple(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", _without_accents(name))


def _without_accents(name: str) -> str:
    """Return a name in small letters, ü as u."""
    letters = unicodedata.normalize("NFKD", name.lower())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))
