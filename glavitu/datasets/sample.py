"""What a sample and a batch of samples hold."""

from typing import TypedDict

from torch import Tensor


class Sample(TypedDict, total=False):
    """A window of a tile: tensors alone, in TorchGeo's keys and shapes; a batch has B before them.

    Attributes:
        image: float32 (C, H, W), scaled to [0, 1]; 0 beyond the tile.
        mask: int64 (H, W), 1 = glacier, 0 = not, 255 = unknown; where the tile has labels.
        region: int64 (), index of the region, 11 = unknown.
        location: float32 (L,), where the model wants one.
        tile: int64 (), the tile's number in its dataset, which knows what else there is to know.
        bounds: float32 (9,), start, stop and step of x, y and time.
        transform: float32 (9,), the affine transform row by row.
        prediction: int64 (H, W), where a plot is to show one.
    """

    image: Tensor
    mask: Tensor
    region: Tensor
    location: Tensor
    tile: Tensor
    bounds: Tensor
    transform: Tensor
    prediction: Tensor
