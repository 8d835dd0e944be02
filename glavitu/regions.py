"""The 11 regions of the benchmark, and the location vectors made from regions and coordinates."""

import math

import torch
from torch import Tensor

from glavitu.errors import InputError

#: Codes and names, in the order of the region vector (Maslov et al. 2025).
REGIONS: dict[str, str] = {
    "ALP": "European Alps",
    "AN": "Antarctica",
    "AWA": "Alaska and Western America",
    "CA": "Caucasus",
    "GR": "Greenland",
    "HMA": "High-Mountain Asia",
    "LL": "low latitudes",
    "NZ": "New Zealand",
    "SA": "Southern Andes",
    "SC": "Scandinavia",
    "SVAL": "Svalbard",
}
REGION_CODES: tuple[str, ...] = tuple(REGIONS)

#: Index of an unknown region, the last entry of the region vector.
UNKNOWN = len(REGION_CODES)

#: Length of the vectors by the kind of location encoding.
LOCATION_SIZES: dict[str, int] = {"region": UNKNOWN + 1, "coordinates": 4}


def region_index(code: str | None) -> int:
    """Return the index of a region code, 11 for None or ``'unknown'``.

    Args:
        code: One of :data:`REGION_CODES`, ``'unknown'`` or None.

    Raises:
        InputError: If the code is not one of them.
    """
    if code is None or code == "unknown":
        return UNKNOWN
    if code not in REGIONS:
        raise InputError(
            f"unknown region {code!r}; choose from {', '.join(REGION_CODES)} or 'unknown'"
        )
    return REGION_CODES.index(code)


def region_name(index: int) -> str:
    """Return the code of a region index, ``'unknown'`` for 11."""
    return "unknown" if index == UNKNOWN else REGION_CODES[index]


def region_vector(index: int) -> Tensor:
    """Return the one-hot region vector, float32 (12,)."""
    return torch.nn.functional.one_hot(torch.tensor(index), UNKNOWN + 1).to(torch.float32)


def coordinate_vector(longitude: float, latitude: float) -> Tensor:
    """Return (sin lat, cos lat, sin lon, cos lon), float32 (4,).

    Args:
        longitude: Degrees east.
        latitude: Degrees north.
    """
    lat, lon = math.radians(latitude), math.radians(longitude)
    values = [math.sin(lat), math.cos(lat), math.sin(lon), math.cos(lon)]
    return torch.tensor(values, dtype=torch.float32)
