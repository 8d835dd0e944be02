"""Probabilities and strengths of the training augmentation."""

from dataclasses import dataclass

from glavitu.errors import InputError


@dataclass(frozen=True)
class Augmentation:
    """Probabilities and strengths of the training augmentation (defaults: as published).

    The values are those of Maslov et al. (2025), doi 10.1038/s41467-024-54956-x. A probability of 0
    leaves an operation out.

    Args:
        vertical_flip: Probability of a vertical flip.
        horizontal_flip: Probability of a horizontal flip.
        rotation: Probability of a rotation by 90, 180 or 270 degrees, each as likely.
        crop: Probability of a crop that is scaled back to the window with nearest neighbour.
        crop_scale: Smallest side of the crop as a share of the window's, above 0 and up to 1.
        contrast: Probability, per feature group, of a contrast change x^g.
        contrast_strength: s of g = U(1 - s, 1 + s), drawn per channel; from 0 to below 1.
        occlusion: Probability, per feature group, of a rectangle of zeros in all its channels.
        occlusion_size: Largest side of the rectangle as a share of the window's, up to 1.
        shift: Probability, per feature group, of a value added to each channel.
        shift_std: Standard deviation of that value, in scaled units.
        noise: Probability, per feature group, of noise added to each pixel.
        noise_std: Standard deviation of the noise, in scaled units.
        unknown_region: Probability that a region vector becomes that of an unknown region.

    Raises:
        InputError: If a value is out of its range.
    """

    vertical_flip: float = 0.5
    horizontal_flip: float = 0.5
    rotation: float = 0.75
    crop: float = 0.5
    crop_scale: float = 0.8
    contrast: float = 0.5
    contrast_strength: float = 0.2
    occlusion: float = 0.5
    occlusion_size: float = 0.5
    shift: float = 0.5
    shift_std: float = 0.025
    noise: float = 0.5
    noise_std: float = 0.005
    unknown_region: float = 0.1

    def __post_init__(self) -> None:
        """Check the ranges."""
        for key, value in vars(self).items():
            if key.endswith("_std"):
                fits, expected = 0 <= value < float("inf"), "0 or more"
            elif key == "crop_scale":
                fits, expected = 0 < value <= 1, "above 0 and at most 1"
            elif key == "contrast_strength":
                fits, expected = 0 <= value < 1, "at least 0 and below 1"
            else:
                fits, expected = 0 <= value <= 1, "between 0 and 1"
            if not fits:
                raise InputError(f"data.augmentation.{key} is {value}, but must be {expected}")
