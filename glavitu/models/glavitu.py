"""GlaViTU: a vision transformer and a U-Net over fused features."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, overload

from torch import Tensor, nn

from glavitu.errors import InputError, check_number
from glavitu.features import FeatureLike, resolve_features
from glavitu.models.blocks import initialise
from glavitu.models.fusion import Fusion
from glavitu.models.resunet import ResUNet
from glavitu.models.setr import PATCH, SETR, initialise_transformer


class GlaViTU(nn.Module):
    """Glacier-VisionTransformer-U-Net (Maslov et al. 2025, doi 10.1038/s41467-024-54956-x).

    The defaults are the published model: 10,032,068 parameters with batch-norm statistics.

    Args:
        features: Feature groups in the order of the image's channels: names of known groups,
            groups, or dictionaries that describe one.
        num_classes: Number of classes; class 1 is the glacier.
        location_size: Length of the location vector: 12 for region encoding, 4 for coordinate
            encoding, None for a model without one.
        width: Channels of the fused map and of the transformer.
        depth: Number of transformer blocks.
        heads: Attention heads; they divide the width.
        dropout: Dropout rate in training. The paper's training uses 0.
        image_size: Side in pixels of the images the positional embedding is learned on, a multiple
            of 16. For other sizes the embedding is interpolated.
        deep_supervision_weight: Weight of the loss of the head on the transformer branch, at
            least 0.

    Raises:
        InputError: If a feature group is unknown, the heads do not divide the width, or the image
            size is not a multiple of 16.
    """

    #: Modules whose shape depends on the number of classes.
    class_heads = ("output", "deep_supervision")

    def __init__(
        self,
        features: Sequence[FeatureLike] = ("optical", "dem"),
        num_classes: int = 2,
        location_size: int | None = None,
        width: int = 64,
        depth: int = 12,
        heads: int = 4,
        dropout: float = 0.0,
        image_size: int = 384,
        deep_supervision_weight: float = 0.5,
    ) -> None:
        super().__init__()
        check_number("image_size", image_size, PATCH, whole=True)
        check_size(image_size, image_size)
        for key, count in (("width", width), ("depth", depth), ("heads", heads)):
            check_number(key, count, 1, whole=True)
        if width % heads:
            raise InputError(f"width {width} is not divisible by {heads} heads; choose another")
        check_number("num_classes (glacier is class 1)", num_classes, 2, whole=True)
        check_number("dropout", dropout, 0, below=1)
        check_number("deep_supervision", deep_supervision_weight, 0)
        self.features = resolve_features(features)
        self.num_classes = num_classes
        self.location_size = location_size
        self.deep_supervision_weight = deep_supervision_weight
        # Modules are registered in the order in which the published files store them.
        self.fusion = Fusion(self.features, width, location_size, dropout)
        self.setr = SETR(width, depth, heads, dropout, image_size)
        self.resunet = ResUNet(width, dropout)
        self.deep_supervision = nn.Conv2d(width, num_classes, 1)
        self.output = nn.Conv2d(width, num_classes, 1)
        self.apply(initialise)
        self.setr.apply(initialise_transformer)

    @overload
    def forward(
        self,
        image: Tensor,
        location: Tensor | None = None,
        deep_supervision: Literal[False] = False,
    ) -> Tensor: ...

    @overload
    def forward(
        self, image: Tensor, location: Tensor | None, deep_supervision: Literal[True]
    ) -> tuple[Tensor, Tensor]: ...

    def forward(
        self, image: Tensor, location: Tensor | None = None, deep_supervision: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Compute the class logits.

        Args:
            image: (B, C, H, W), all feature groups stacked in order and scaled to [0, 1]; H and W
                are multiples of 16.
            location: (B, location_size) where the model was built with one.
            deep_supervision: Also return the logits of the head on the transformer branch, which
                training weighs into the loss.

        Returns:
            Logits (B, num_classes, H, W), or both heads' logits as a pair.

        Raises:
            InputError: If H or W is not a multiple of 16, or image or location do not fit the
                model.
        """
        check_size(*image.shape[-2:])
        fused = self.fusion(image, location)
        encoded = self.setr(fused) + fused
        logits: Tensor = self.output(encoded + self.resunet(encoded))
        if deep_supervision:
            return logits, self.deep_supervision(encoded)
        return logits

    def training_loss(
        self,
        loss: Callable[[Tensor, Tensor], Tensor],
        image: Tensor,
        mask: Tensor,
        location: Tensor | None = None,
    ) -> Tensor:
        """Compute the loss that training lowers: of the output and, weighed, of the other head.

        Args:
            loss: Of logits (B, num_classes, H, W) and class indices (B, H, W).
            image: (B, C, H, W).
            mask: int64 (B, H, W), class indices.
            location: (B, location_size) where the model was built with one.

        Returns:
            Scalar float32.
        """
        logits, deep = self(image, location, True)
        return loss(logits, mask) + self.deep_supervision_weight * loss(deep, mask)

    @classmethod
    def from_keras(cls, path: str | Path, features: Sequence[FeatureLike]) -> "GlaViTU":
        """Build the published model from a Keras weight file.

        Args:
            path: HDF5 file written by Keras' ``save_weights``.
            features: Feature groups in the order in which the model was trained.

        Returns:
            The model in eval mode. Location size and number of classes are read from the file.

        Raises:
            InputError: If the file cannot be read or does not fit; the message names the first
                weight that differs.
        """
        from glavitu.models.keras import load_keras  # h5py only where it is needed

        return load_keras(path, lambda classes, location: cls(features, classes, location))


def check_size(height: int, width: int) -> None:
    """Raise an InputError unless both sizes are positive multiples of 16 pixels."""
    if height % PATCH or width % PATCH or min(height, width) < PATCH:
        raise InputError(
            f"an image of {height} x {width} pixels does not divide into patches of {PATCH}; pad "
            f"or crop it so that height and width are multiples of {PATCH}"
        )
