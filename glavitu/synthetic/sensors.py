"""What satellites see of the synthetic world: the six feature groups of the benchmark.

The numbers in the table of surfaces are typical ones, rounded; they are there to be as easily
confused as the real ones are, not to be measured against.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from glavitu.arrays import BoolArray, FloatArray
from glavitu.rasters.terrain import slope_degrees
from glavitu.synthetic.regions import RegionProfile
from glavitu.synthetic.terrain import Landscape, fractal


class Surface(NamedTuple):
    """What covers the ground.

    Args:
        albedo: Of blue, green, red, near infrared, shortwave infrared 1 and 2.
        co_pol: Backscatter on flat ground in dB, same polarisation.
        cross_pol: Backscatter on flat ground in dB, other polarisation.
        coherence: Of a pair of radar images, if nothing moves.
        warmth: Temperature above that of rock in K.
    """

    albedo: tuple[float, float, float, float, float, float]
    co_pol: float
    cross_pol: float
    coherence: float
    warmth: float


BARE = (0.13, 0.15, 0.17, 0.20, 0.23, 0.20)
SNOWY = (0.88, 0.88, 0.86, 0.78, 0.12, 0.10)

#: Debris is rock to the optical bands, and a little cooler for the ice below it.
SURFACES: dict[str, Surface] = {
    "rock": Surface(BARE, -9.0, -17.0, 0.80, 0.0),
    "debris": Surface(BARE, -9.5, -17.0, 0.80, -4.0),
    "vegetation": Surface((0.05, 0.08, 0.06, 0.32, 0.16, 0.08), -8.5, -13.5, 0.40, -6.0),
    "water": Surface((0.07, 0.07, 0.05, 0.03, 0.02, 0.01), -20.0, -27.0, 0.12, -5.0),
    "snow": Surface(SNOWY, -14.0, -21.0, 0.45, -12.0),
    "firn": Surface(SNOWY, -10.5, -17.5, 0.60, -12.0),
    "ice": Surface((0.52, 0.53, 0.49, 0.40, 0.06, 0.05), -12.0, -19.0, 0.60, -12.0),
}
NAMES = tuple(SURFACES)

#: Where the radar stands, as azimuth in degrees: it looks to the right of its flight.
RADARS = {"ascending": 260.0, "descending": 100.0}
RADAR_ELEVATION = 51.0

#: Speckle is averaged over so many looks.
LOOKS = 12


def observe(
    rng: np.random.Generator, profile: RegionProfile, land: Landscape, resolution: float
) -> dict[str, FloatArray]:
    """Measure a landscape with every sensor.

    Args:
        rng: Source of randomness.
        profile: The region.
        land: What is there, (H, W).
        resolution: Size of a pixel in m.

    Returns:
        Feature groups by name, float32 (C, H, W) in the units of :mod:`glavitu.features` before
        scaling: reflectance; m and degrees; linear sigma0; coherence; K. Nothing is missing.
    """
    slope = slope_degrees(land.elevation, resolution, resolution)
    azimuth = (150.0 if profile.latitude > 0 else 30.0) + rng.uniform(-20, 20)
    sun = profile.sun + rng.uniform(-6, 6)
    direct = np.maximum(facing(land.elevation, resolution, azimuth, sun), 0)
    shadow = cast_shadow(land.elevation, resolution, azimuth, sun)
    direct *= 1 - ndimage.gaussian_filter(shadow.astype(np.float32), 0.6)
    direct /= np.sin(np.radians(sun))
    surface = _cover(rng, profile, land, slope, direct)
    radar = [facing(land.elevation, resolution, a, RADAR_ELEVATION) for a in RADARS.values()]
    groups = {
        "optical": _optical(rng, profile, surface, direct),
        "dem": np.stack([land.elevation, slope]),
        "co_pol_sar": np.stack([_backscatter(rng, surface, f, "co_pol") for f in radar]),
        "cross_pol_sar": np.stack([_backscatter(rng, surface, f, "cross_pol") for f in radar]),
        "in_sar": np.stack([_coherence(rng, surface, f, land.speed) for f in radar]),
        "thermal": _thermal(rng, surface, land.height, direct)[None],
    }
    return {name: values.astype(np.float32) for name, values in groups.items()}


def facing(elevation: FloatArray, resolution: float, azimuth: float, angle: float) -> FloatArray:
    """Cosine of the angle between the ground's normal and a direction.

    Args:
        elevation: (H, W) in m, the first row in the north.
        resolution: Size of a pixel in m.
        azimuth: Of the direction, degrees clockwise from north.
        angle: Of the direction above the horizon in degrees.

    Returns:
        (H, W), below 0 where the ground faces away.
    """
    southward, eastward = np.gradient(elevation, resolution)
    a, h = np.radians(azimuth), np.radians(angle)
    along = np.sin(h) + np.cos(h) * (southward * np.cos(a) - eastward * np.sin(a))
    cosine: FloatArray = (along / np.sqrt(1 + southward**2 + eastward**2)).astype(np.float32)
    return cosine


def cast_shadow(
    elevation: FloatArray, resolution: float, azimuth: float, angle: float
) -> BoolArray:
    """Find where other ground of the tile stands before the sun.

    Args:
        elevation: (H, W) in m, the first row in the north.
        resolution: Size of a pixel in m.
        azimuth: Of the sun, degrees clockwise from north.
        angle: Of the sun above the horizon in degrees.

    Returns:
        (H, W), True in shadow.
    """
    drop = resolution * np.tan(np.radians(angle))
    reach = int(min(np.ptp(elevation) / drop, max(elevation.shape))) + 1
    height, width = elevation.shape
    padded = np.pad(elevation, reach, mode="edge")
    shadow = np.zeros(elevation.shape, dtype=np.bool_)
    north, east = np.cos(np.radians(azimuth)), np.sin(np.radians(azimuth))
    for step in range(1, reach + 1):
        row, col = reach - round(step * north), reach + round(step * east)
        shadow |= padded[row : row + height, col : col + width] - step * drop > elevation
    return shadow


def _cover(
    rng: np.random.Generator,
    profile: RegionProfile,
    land: Landscape,
    slope: FloatArray,
    direct: FloatArray,
) -> npt.NDArray[np.int64]:
    """Say what covers each pixel, as an index into NAMES."""
    size = len(slope)
    surface = np.full(slope.shape, NAMES.index("rock"))
    plants = land.height < profile.vegetation + 80 * fractal(rng, size, 1.2) - 4 * slope + 80
    surface[plants] = NAMES.index("vegetation")
    firn = land.height > 40 + 60 * fractal(rng, size, 1.5)
    surface[land.ice] = np.where(firn, NAMES.index("firn"), NAMES.index("ice"))[land.ice]
    surface[land.debris] = NAMES.index("debris")
    surface[land.water] = NAMES.index("water")
    # Late snow lies high, on gentle ground, out of the sun; on debris as on any ground.
    bare = (~land.ice | land.debris) & ~land.water
    late = land.height / 200 - slope / 25 - 1.5 * direct + fractal(rng, size, 1.2)
    share = min(profile.snow * rng.uniform(0.2, 1.8), 1.0)
    if bare.any():
        surface[bare & (late > np.quantile(late[bare], 1 - share))] = NAMES.index("snow")
    return surface


def _of(surface: npt.NDArray[np.int64], field: str) -> npt.NDArray[np.float64]:
    """Look a property up for each pixel, (H, W) or (H, W, bands)."""
    values: npt.NDArray[np.float64] = np.array([getattr(s, field) for s in SURFACES.values()])
    return values[surface]


def _optical(
    rng: np.random.Generator,
    profile: RegionProfile,
    surface: npt.NDArray[np.int64],
    direct: FloatArray,
) -> npt.NDArray[np.float64]:
    size = len(surface)
    # One field of brightness for all the bare ground, so that debris has the rock's colours.
    brightness = np.exp(0.22 * fractal(rng, size, 1.0) + 0.05 * rng.standard_normal((size, size)))
    dirt = np.exp(-0.25 * np.abs(fractal(rng, size, 1.0)))
    is_ice = surface == NAMES.index("ice")
    is_white = (surface == NAMES.index("snow")) | (surface == NAMES.index("firn"))
    tone = np.where(is_ice, dirt, np.where(is_white, 1 - 0.3 * (1 - dirt), brightness))
    albedo = np.moveaxis(_of(surface, "albedo"), -1, 0) * tone
    sky = np.array([0.22, 0.17, 0.13, 0.09, 0.05, 0.04])[:, None, None]
    reflectance = albedo * ((1 - sky) * direct + sky)
    veil = profile.haze * rng.uniform(0.5, 1.5) * (1 + 0.25 * fractal(rng, size, 2.0))
    path = np.array([1, 0.65, 0.45, 0.2, 0.05, 0.02])[:, None, None] * np.maximum(veil, 0)
    seen = ndimage.gaussian_filter(path + (1 - 2 * path) * reflectance, (0, 0.5, 0.5))
    noise = rng.standard_normal(seen.shape)
    return np.asarray(seen + (0.003 + 0.01 * seen) * noise)


def _backscatter(
    rng: np.random.Generator, surface: npt.NDArray[np.int64], facing: FloatArray, field: str
) -> npt.NDArray[np.float64]:
    """Return linear sigma0, brighter where the ground faces the radar."""
    flat = np.sin(np.radians(RADAR_ELEVATION))
    cosine = np.clip(facing, 0.02, 1)
    area = np.sqrt(1 - flat**2) / np.sqrt(np.maximum(1 - cosine**2, 0.02))
    sigma = 10 ** (_of(surface, field) / 10) * (cosine / flat) ** 1.5 * area
    speckle = rng.gamma(LOOKS, 1 / LOOKS, surface.shape)
    return np.asarray((sigma + 10**-2.8) * speckle)


def _coherence(
    rng: np.random.Generator,
    surface: npt.NDArray[np.int64],
    facing: FloatArray,
    speed: FloatArray,
) -> npt.NDArray[np.float64]:
    """Return coherence, lost by motion, by what covers the ground, and in layover."""
    coherence = _of(surface, "coherence") * (1 - 0.7 * speed)
    coherence *= np.where((facing > 0.97) | (facing < 0.15), 0.45, 1)
    # Slides, rain and wind have been here and there between the two images.
    coherence *= np.exp(-0.5 * np.maximum(fractal(rng, len(speed), 1.0) - 1, 0))
    coherence = ndimage.gaussian_filter(coherence, 0.8)
    noise = ndimage.gaussian_filter(rng.standard_normal(speed.shape), 0.6) * 2
    return np.asarray(np.clip(coherence + 0.09 * (1 - coherence**2) * noise, 0, 0.999))


def _thermal(
    rng: np.random.Generator,
    surface: npt.NDArray[np.int64],
    height: FloatArray,
    direct: FloatArray,
) -> npt.NDArray[np.float64]:
    """Return the temperature of the surface in K; melting keeps snow and ice at 273 K."""
    rock = 279 + rng.uniform(-4, 4) - 0.0065 * height + 9 * (direct - 0.5)
    temperature = rock + _of(surface, "warmth")
    frozen = np.isin(surface, [NAMES.index(name) for name in ("snow", "firn", "ice")])
    temperature = np.where(frozen, np.minimum(temperature, 273), temperature)
    # Thermal sensors have larger pixels than the others.
    blurred = ndimage.gaussian_filter(temperature, 1.5)
    return np.asarray(blurred + 0.4 * rng.standard_normal(height.shape))
