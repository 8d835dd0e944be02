"""Baselines: architectures of segmentation-models-pytorch behind GlaViTU's fusion."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from glavitu.errors import InputError, check_number
from glavitu.features import FeatureLike, resolve_features
from glavitu.models.blocks import initialise
from glavitu.models.fusion import Fusion
from glavitu.models.glavitu import check_size

#: All encoders of segmentation-models-pytorch divide their input by at most this.
STRIDE = 32


class FusedSegmenter(nn.Module):
    """Any segmentation-models-pytorch model over the fused features.

    The paper's baseline is ``architecture='deeplabv3plus', encoder='tu-resnest101e'``
    (DeepLabV3+ with a ResNeSt-101 encoder). The encoder starts untrained.

    Args:
        features: Feature groups in the order of the image's channels.
        num_classes: Number of classes; class 1 is the glacier.
        location_size: Length of the location vector, None for a model without one.
        architecture: Name as :func:`segmentation_models_pytorch.create_model` takes it.
        encoder: Name of an encoder of segmentation-models-pytorch; ``tu-`` names one of timm.
        width: Channels of the fused map.
        dropout: Dropout rate of the fusion in training.
        encoder_weights: Safetensors file with a state dict of the encoder, None for an untrained
            one. The encoder reads the fused map, so its first convolution has ``width`` inputs.

    Raises:
        InputError: If a feature group, the architecture or the encoder is unknown, or the weights
            do not fit.
    """

    #: Modules whose shape depends on the number of classes.
    class_heads = ("segmenter.segmentation_head",)

    def __init__(
        self,
        features: Sequence[FeatureLike] = ("optical", "dem"),
        num_classes: int = 2,
        location_size: int | None = None,
        architecture: str = "unet",
        encoder: str = "resnet34",
        width: int = 64,
        dropout: float = 0.0,
        encoder_weights: str | Path | None = None,
    ) -> None:
        super().__init__()
        import segmentation_models_pytorch as smp  # a second, which most runs do not need

        check_number("width", width, 1, whole=True)
        check_number("num_classes (glacier is class 1)", num_classes, 2, whole=True)
        check_number("dropout", dropout, 0, below=1)
        self.features = resolve_features(features)
        self.num_classes = num_classes
        self.location_size = location_size
        self.fusion = Fusion(self.features, width, location_size, dropout)
        self.fusion.apply(initialise)
        try:
            self.segmenter = smp.create_model(
                architecture, encoder, encoder_weights=None, in_channels=width, classes=num_classes
            )
        except (KeyError, RuntimeError, ValueError) as error:
            raise InputError(
                f"segmentation-models-pytorch cannot build architecture {architecture!r} with "
                f"encoder {encoder!r}: {error}"
            ) from error
        if encoder_weights is not None:
            _load_encoder(self.segmenter.encoder, Path(encoder_weights))

    def forward(self, image: Tensor, location: Tensor | None = None) -> Tensor:
        """Compute the class logits.

        Args:
            image: (B, C, H, W), scaled to [0, 1]; H and W are multiples of 16.
            location: (B, location_size) where the model was built with one.

        Returns:
            Logits (B, num_classes, H, W).

        Raises:
            InputError: If the sizes are not multiples of 16, or image or location do not fit.
        """
        height, width = image.shape[-2:]
        check_size(height, width)
        fused = self.fusion(image, location)
        fused = nn.functional.pad(fused, (0, -width % STRIDE, 0, -height % STRIDE))
        logits: Tensor = self.segmenter(fused)
        return logits[..., :height, :width]


def _load_encoder(encoder: nn.Module, path: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        encoder.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise InputError(
            f"{path}: encoder weights could not be loaded; expected a safetensors file with the "
            f"encoder's state dict: {error}"
        ) from error
