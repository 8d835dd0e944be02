"""Slope from elevation."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
PixelSize = float | npt.NDArray[np.float64]


def slope_degrees(
    elevation: FloatArray, pixel_width: PixelSize, pixel_height: PixelSize
) -> FloatArray:
    """Slope by Horn's method (Horn 1981, doi 10.1109/PROC.1981.11918).

    Args:
        elevation: (H, W) in metres; NaN where missing.
        pixel_width: Width of a pixel in metres; one number, or (H, 1) where it changes from row to
            row, as it does on a grid of degrees.
        pixel_height: Height of a pixel in metres, likewise.

    Returns:
        (H, W) slope in degrees, 0 to 90; NaN where the pixel or a neighbour is missing. At the
        border the surface is continued linearly.
    """
    z = np.asarray(elevation, dtype=np.float64)
    if min(z.shape) > 1:
        z = np.pad(z, 1, mode="reflect", reflect_type="odd")
    else:
        z = np.pad(z, 1, mode="edge")
    north, middle, south = z[:-2], z[1:-1], z[2:]

    def east_minus_west(row: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return row[:, 2:] - row[:, :-2]

    def smooth(row: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return row[:, :-2] + 2 * row[:, 1:-1] + row[:, 2:]

    gradient_x = (east_minus_west(north) + 2 * east_minus_west(middle) + east_minus_west(south)) / (
        8 * pixel_width
    )
    gradient_y = (smooth(south) - smooth(north)) / (8 * pixel_height)
    slope: FloatArray = np.degrees(np.arctan(np.hypot(gradient_x, gradient_y))).astype(np.float32)
    # Horn's weights leave the pixel itself out, but where nothing was measured nothing is known.
    slope[np.isnan(elevation)] = np.nan
    return slope
