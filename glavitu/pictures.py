"""Composites, colours and texts of pictures."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.colors import ListedColormap

from glavitu.classes import UNKNOWN
from glavitu.features import FeatureGroup
from glavitu.terminal import printable

#: Channels shown as red, green and blue, the best first: ice stands out in short-wave infrared.
COMPOSITES = (("swir1", "nir", "red"), ("red", "green", "blue"))

UNKNOWN_COLOUR = "#b4b4b4"

#: Of land and glacier from 0 to 1, in pictures of :func:`shown_mask`.
MASK_COLOURS = ListedColormap(["#f2efe9", "#2b7bba"]).with_extremes(bad=UNKNOWN_COLOUR)


def as_text(name: str) -> str:
    """Return a name as text of a figure, which is no formula and hides from no legend.

    Args:
        name: Such as that of a tile or a sensor, which may come from anybody.
    """
    text = printable(name).replace("$", r"\$")
    # Matplotlib leaves labels that begin with an underscore out of legends.
    return "\u200b" + text if text.startswith("_") else text


def composite(groups: Sequence[FeatureGroup]) -> tuple[FeatureGroup, list[int]]:
    """Choose what to show: a composite where a group has one, else the first channel.

    Args:
        groups: Feature groups at hand.

    Returns:
        A group, and the indices of its three channels, or of its first.
    """
    for names in COMPOSITES:
        for group in groups:
            if set(names) <= set(group.channels):
                return group, composite_of(group.channels)
    return groups[0], [0]


def composite_of(bands: Sequence[str]) -> list[int]:
    """Choose what to show of an image: the indices of three bands, or of the first.

    Args:
        bands: Names of the image's bands.
    """
    for names in COMPOSITES:
        if set(names) <= set(bands):
            return [bands.index(name) for name in names]
    return [0]


def shown_mask(mask: npt.NDArray[Any]) -> np.ma.MaskedArray[Any, Any]:
    """Mask what is unknown in classes, so that it is drawn in :data:`UNKNOWN_COLOUR`.

    Args:
        mask: Classes, 255 where they are unknown.
    """
    return np.ma.masked_equal(mask, UNKNOWN)


def stretched(values: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Stretch each channel between its percentiles 2 and 98.

    Args:
        values: (1 or 3, H, W), NaN where missing.

    Returns:
        RGBA (H, W, 4) in [0, 1], clear where missing.
    """
    present = np.isfinite(values).all(axis=0)
    picture = np.zeros((*present.shape, 4))
    for channel in range(3):
        band = values[channel if len(values) == 3 else 0]
        known = band[np.isfinite(band)]
        low, high = np.percentile(known, (2, 98)) if known.size else (0.0, 1.0)
        picture[..., channel] = np.clip((band - low) / max(high - low, 1e-12), 0, 1)
    picture = np.nan_to_num(picture)
    picture[..., 3] = present
    return picture
