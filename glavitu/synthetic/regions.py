"""What makes the regions of the synthetic world differ."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RegionProfile:
    """Climate, terrain and light of a region.

    Args:
        epsg: Code of the UTM zone, one of its own for each region.
        longitude: Centre of the tiles, degrees east.
        latitude: Centre of the tiles, degrees north.
        equilibrium_line: Elevation in m above which ice gains mass over the year.
        accumulation: Share of the land above the equilibrium line.
        steepness: Gradient of a stream that drains one hectare; larger is more alpine.
        debris: Share of the glaciers' area covered by debris.
        snow: Share of the bare ground under seasonal snow; debris counts as bare ground.
        vegetation: Elevation in m, above the equilibrium line, up to which plants grow.
        water: Share of the tile covered by lakes. Where land would lie below 0 m there is sea.
        haze: Path radiance in the blue band, reflectance.
        sun: Elevation of the sun in degrees.
    """

    epsg: int
    longitude: float
    latitude: float
    equilibrium_line: float
    accumulation: float
    steepness: float
    debris: float
    snow: float
    vegetation: float
    water: float
    haze: float
    sun: float


#: Profiles by region code. Equilibrium lines follow the places; the shares are set so that each
#: region asks something different of a model.
PROFILES: dict[str, RegionProfile] = {
    "ALP": RegionProfile(32632, 8.0, 46.5, 2950, 0.24, 1.5, 0.12, 0.08, -450, 0.01, 0.04, 50),
    "AN": RegionProfile(32721, -58.4, -62.1, 200, 0.45, 0.8, 0.02, 0.10, -9999, 0.05, 0.02, 35),
    "AWA": RegionProfile(32607, -140.5, 60.5, 1300, 0.26, 1.3, 0.15, 0.10, -450, 0.02, 0.04, 42),
    "CA": RegionProfile(32638, 43.0, 43.1, 3350, 0.24, 1.6, 0.22, 0.08, -500, 0.0, 0.04, 50),
    "GR": RegionProfile(32622, -51.5, 70.0, 900, 0.36, 1.0, 0.04, 0.08, -550, 0.03, 0.02, 35),
    "HMA": RegionProfile(32645, 86.9, 28.0, 5700, 0.26, 1.8, 0.45, 0.06, -900, 0.01, 0.03, 50),
    "LL": RegionProfile(32718, -77.5, -9.0, 5050, 0.18, 1.5, 0.06, 0.03, -350, 0.01, 0.03, 60),
    "NZ": RegionProfile(32759, 170.2, -43.6, 1750, 0.24, 1.6, 0.22, 0.18, -200, 0.02, 0.06, 48),
    "SA": RegionProfile(32719, -69.5, -54.6, 900, 0.26, 1.4, 0.10, 0.14, -250, 0.04, 0.05, 42),
    "SC": RegionProfile(32633, 14.5, 66.7, 1300, 0.24, 1.1, 0.02, 0.06, -300, 0.03, 0.03, 42),
    "SVAL": RegionProfile(32635, 25.0, 79.5, 400, 0.32, 0.9, 0.06, 0.08, -9999, 0.03, 0.02, 32),
}
