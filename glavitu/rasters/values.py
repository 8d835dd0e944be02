"""Whether values can be what they are given for: in this unit, of this channel, none missing.

One place decides. What is impossible, or nearly surely in another unit, is an error; what is only
unusual is a warning.
"""

from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from glavitu.arrays import FloatArray
from glavitu.features import FEATURES, IN_SAR, OPTICAL, THERMAL
from glavitu.rasters.looks import Look
from glavitu.rasters.raster_file import impossible_kind
from glavitu.rasters.units import SLOPE

#: Fewer values than these tell nothing of what is usual.
ENOUGH = 64

#: Share of a channel's values that tells what all are.
MOST = 0.5

#: Share of values that cannot be and are of many kinds, above which the unit is wrong; below, they
#: are outliers.
OUTLIERS = 0.01

#: Share of values that cannot be which one or two of them make up where they mean missing.
ALIKE = 0.9

#: Reflectance of the brightest ground is not under this, nor coherence of the stillest.
FAR_BELOW = 0.01

#: No ground under any sun has a median reflectance above this.
FAR_ABOVE = 3.0


class Finding(NamedTuple):
    """What is wrong, or unusual, with the values of a file.

    Attributes:
        file: Its name.
        kind: What kind of finding it is, the same for all files that have it, and for the warning
            that reading gives.
        problem: What was found, what was expected, and what to do.
        error: Whether a model cannot use the values.
    """

    file: str
    kind: Hashable
    problem: str
    error: bool

    def __str__(self) -> str:
        """Return it as one line."""
        return f"{self.file}: {self.problem}"


def findings(looks: Sequence[Look]) -> Iterator[Finding]:
    """Tell what is wrong or unusual.

    Args:
        looks: What was seen of the channels of one group, in one file or in files for each.

    Yields:
        Each finding, errors among them.
    """
    looks = [look for look in looks if look.known and not look.file.scaled]
    wrong = False
    for look in looks:
        for finding in _impossible(look):
            wrong |= finding.error
            yield finding
    if looks and not wrong:
        yield from _unusual(looks)


def _impossible(look: Look) -> Iterator[Finding]:
    count = sum(look.impossible.values())
    if not count:
        return
    low, high = look.limits
    file, share = look.file.name, count / look.known
    most = sorted(look.impossible.values(), reverse=True)
    alike = sum(most[:2]) >= ALIKE * count
    one = max(look.impossible, key=lambda value: look.impossible[value])
    expected = f"it lies between {low:g} and {high:g}"
    median = float(np.median(np.repeat(list(look.impossible), list(look.impossible.values()))))
    # Some models of the ground go on below the sea.
    below_the_sea = look.channel == "elevation" and -12_000 < median < low
    nothing_else = count == look.known
    if nothing_else or (share > OUTLIERS and not alike and not below_the_sea):
        yield Finding(
            file,
            f"unit of {look.what}",
            f"{look.what} has values around {median:.5g} in {_percent(share)} of its pixels, but "
            f"{expected}; {_another_unit(look, median)}",
            True,
        )
        return
    stored = look.file.units[look.number].stored(one)
    if alike:
        problem = (
            f"{look.what} is {one:.7g} in {_percent(look.impossible[one] / look.known)} of its "
            f"pixels, but {expected}: such values are taken as missing; say so with --nodata "
            f"{look.option}={stored:.7g} (nodata of {look.option} in Python and YAML)"
        )
    else:
        problem = (
            f"{look.what} has values such as {one:.7g} in {_percent(share)} of its pixels, but "
            f"{expected}: such values are taken as missing; look at the file there, or say with "
            f"--nodata {look.option}=VALUE what means missing"
        )
    yield Finding(file, impossible_kind(look.group, look.channel), problem, False)


def _another_unit(look: Look, median: float) -> str:
    """Say what turns values that cannot be into what the model wants."""
    name = look.option
    general = (
        "or write scale and offset into the file's tags, as gdal_edit.py -scale does; if the "
        f"value means missing, give --nodata {name}=VALUE"
    )
    if look.group.name == OPTICAL.name:
        return (
            "if these are the numbers that satellites store, say what makes reflectance of them: "
            f"--scale {name}=0.0001,-0.1 for Sentinel-2 processed since January 2022 (baseline "
            f"04.00 and later), --scale {name}=0.0001 for older processing, multiplicator and "
            f"summand of the MTL file for Landsat, --scale {name}=0.01 for percent; {general}"
        )
    if look.group.transform == "log10":
        return f"if sigma0 is in decibels, give --decibels, else --scale {name}=SCALE; {general}"
    if look.group.name == IN_SAR.name and median > 0:
        factor = 0.01 if median <= 100 else 1 / 255
        return (
            f"if coherence is stored in whole numbers, give --scale {name}={factor:.4g}; {general}"
        )
    if look.group.name == THERMAL.name:
        return (
            f"if it is in degrees Celsius, give --scale {name}=1,273.15, in Fahrenheit --scale "
            f"{name}=0.55556,255.372; if these are the numbers that satellites "
            f"store, what the product's metadata name; {general}"
        )
    if name == SLOPE:
        return f"if slope is in percent, give --slope-percent; {general}"
    if look.channel == "elevation":
        feet, metres = f"--scale {name}=0.3048 for feet", f"--scale {name}=0.01 for centimetres"
        return f"say what makes metres of it, {feet}, {metres}; {general}"
    return f"if it is in another unit, give --scale {name}=SCALE,OFFSET; {general}"


def _unusual(looks: Sequence[Look]) -> Iterator[Finding]:
    group, file = looks[0].group, looks[0].file.name
    samples = [look.sample() for look in looks]
    if min(map(len, samples)) < ENOUGH:
        return
    if FEATURES.get(group.name) != group:
        yield from _unlike_its_range(looks, samples)
    elif group == OPTICAL:
        yield from _unusual_reflectance(looks, samples)
    elif group.transform == "log10":
        yield from _unusual_sigma0(looks, samples)
    elif group == IN_SAR and 0 < max(np.quantile(s, 0.99) for s in samples) < FAR_BELOW:
        yield Finding(file, f"far below of {group.name}", _far_below(looks, samples), True)
    for look, sample in zip(looks, samples, strict=True):
        if look.channel == "elevation":
            yield from _unusual_elevation(look, sample)


def _unusual_reflectance(looks: Sequence[Look], samples: Sequence[FloatArray]) -> Iterator[Finding]:
    group, file = looks[0].group, looks[0].file.name
    for look, sample in zip(looks, samples, strict=True):
        median = float(np.median(sample))
        if median > FAR_ABOVE:
            yield Finding(
                look.file.name,
                f"unit of {look.what}",
                f"{look.what} has values around {median:.5g}, but the brightest snow has about 2; "
                f"{_another_unit(look, median)}",
                True,
            )
            return
    above = [float(np.mean(sample > FAR_ABOVE)) for sample in samples]
    if max(above) > OUTLIERS:
        look, sample = looks[int(np.argmax(above))], samples[int(np.argmax(above))]
        highest = float(sample.max())
        stored = look.file.units[look.number].stored(highest)
        stored = round(stored) if look.file.counts[look.number] else stored
        yield Finding(
            look.file.name,
            "far above reflectance",
            f"{look.what} is {highest:.3g} and the like in {_percent(max(above))} of its pixels, "
            "but the brightest snow has about 2; if that means missing or saturated, give --nodata "
            f"{look.option}={stored:.7g}",
            False,
        )
    below = [float(np.mean(sample < -0.02)) for sample in samples]
    scales = {look.file.units[look.number].scale or 1.0 for look in looks}
    offsets = {look.file.units[look.number].offset for look in looks}
    if np.median(below) > MOST:
        yield Finding(
            file,
            "negative reflectance",
            f"{group.name} is negative in {_percent(float(np.median(below)))} of its pixels, "
            f"around {float(np.median(samples[0])):.3g}, but reflectance lies above 0: the offset "
            f"({_some(offsets)}) or the scale ({_some(scales)}) does not belong to these values, "
            f"or is in them already; give what does, --scale {group.name}=1 for values that are "
            "reflectance",
            True,
        )
        return
    if 0 < max(np.quantile(sample, 0.99) for sample in samples) < FAR_BELOW:
        yield Finding(file, f"far below of {group.name}", _far_below(looks, samples), True)
        return
    if max(below) > 0.1:
        look = looks[int(np.argmax(below))]
        yield Finding(
            look.file.name,
            "reflectance below 0",
            f"{look.what} is below -0.02 in {_percent(max(below))} of its pixels, as is rare; if "
            f"the offset ({_some(offsets)}) was taken off already, give the scale alone, such as "
            f"--scale {group.name}=0.0001",
            False,
        )
    counts = all(look.file.counts[look.number] for look in looks)
    lowest = min(float(np.quantile(sample, 0.005)) for sample in samples)
    if counts and offsets == {0.0} and scales == {0.0001} and lowest >= 0.09:
        yield Finding(
            file,
            "offset of reflectance",
            f"{group.name} is {lowest:.3g} or more in all bands, as if Sentinel-2's offset were "
            f"still in it; products processed since January 2022 (baseline 04.00) need --scale "
            f"{group.name}=0.0001,-0.1",
            False,
        )


def _unusual_sigma0(looks: Sequence[Look], samples: Sequence[FloatArray]) -> Iterator[Finding]:
    for look, sample in zip(looks, samples, strict=True):
        median = float(np.median(sample))
        if np.mean(sample < -0.01) > MOST:
            problem = (
                f"{look.what} is negative, around {median:.3g}, but sigma0 must be linear; if it "
                f"is in decibels, give --decibels, or convert the file"
            )
        elif np.mean(sample > 1) > 0.95:
            problem = (
                f"{look.what} is above 1 nearly everywhere, around {median:.3g}, as linear sigma0 "
                "never is; if --decibels is given, the file may be linear already: leave it out; "
                f"if these are amplitudes, square and calibrate them first, or give --scale "
                f"{look.option}=SCALE"
            )
        elif 0 < np.quantile(sample, 0.99) < 1e-5:
            problem = _far_below([look], [sample])
        else:
            continue
        yield Finding(look.file.name, f"unit of {look.what}", problem, True)


def _unusual_elevation(look: Look, sample: FloatArray) -> Iterator[Finding]:
    jump = look.jumps.likely_missing(float(np.median(sample)))
    if jump is not None:
        value, metres = jump
        stored = look.file.units[look.number].stored(value)
        yield Finding(
            look.file.name,
            "elevation of one value",
            f"{look.what} jumps by about {metres:.0f} m to exactly {value:g} between pixels, "
            f"as if {value:g} meant missing; if it does, give --nodata {look.option}={stored:.7g}",
            False,
        )
    low, high = float(sample.min()), float(np.quantile(sample, 0.99))
    if low > -1 and high < 10 and np.any(sample != np.rint(sample)) and high > low:
        yield Finding(
            look.file.name,
            "range of elevation",
            f"{look.what} lies between {low:.3g} and {high:.3g}, but should be metres; it may be "
            f"in kilometres (--scale {look.option}=1000), scaled by mistake (--scale "
            f"{look.option}=1), or another band",
            False,
        )


def _unlike_its_range(looks: Sequence[Look], samples: Sequence[FloatArray]) -> Iterator[Finding]:
    """Compare a group of the user's own with its minimum and maximum."""
    for look, sample in zip(looks, samples, strict=True):
        channel = look.file.channels[look.number]
        low, high = look.group.minimum[channel], look.group.maximum[channel]
        if look.group.transform == "log10":
            sample = np.log10(np.maximum(sample, 0) + 1e-6)
        room = 3 * (high - low)
        beyond = float(np.mean((sample < low - room) | (sample > high + room)))
        tagged = look.file.units[look.number].scale not in (None, 1.0)
        flat = float(np.quantile(sample, 0.99)) - low < 0.005 * (high - low)
        if beyond > MOST or (tagged and flat):
            yield Finding(
                look.file.name,
                f"range of {look.what}",
                f"{look.what} has values around {float(np.median(sample)):.5g}, but the group's "
                f"minimum and maximum are {low:g} and {high:g}; if they are stored scaled, or "
                f"scaled twice, give --scale {look.option}=SCALE,OFFSET",
                False,
            )


def _far_below(looks: Sequence[Look], samples: Sequence[FloatArray]) -> str:
    look = looks[0]
    scale = look.file.units[look.number].scale or 1.0
    highest = max(float(np.quantile(sample, 0.99)) for sample in samples)
    return (
        f"{look.group.name} is below {highest:.2g} in 99 of 100 pixels, but the values of any "
        f"scene are far above that; the scale ({scale:g}) seems to be in the values already: give "
        f"--scale {look.option}=1, or the scale that belongs to them"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else "100 %"


def _some(numbers: set[float]) -> str:
    return ", ".join(f"{number:g}" for number in sorted(numbers))
