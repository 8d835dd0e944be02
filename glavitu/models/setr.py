"""The transformer branch: SETR with progressive upsampling (Zheng et al. 2021)."""

import torch
from torch import Tensor, nn

from glavitu.models.blocks import NORM_EPSILON, NORM_MOMENTUM

PATCH = 16


def initialise_transformer(module: nn.Module) -> None:
    """Give patch embedding and attention the Glorot uniform kernels that they have in Keras.

    Its fans differ from PyTorch's: the embedding is a dense layer over flattened patches, and of
    attention's kernels, (in, heads, size) and (heads, size, out), all but the last two axes count
    as the extent of a convolution. Use with :meth:`torch.nn.Module.apply`, after
    :func:`glavitu.models.blocks.initialise`.
    """
    if isinstance(module, SETR):
        out, channels, height, width = module.embedding.weight.shape
        _glorot(module.embedding, channels * height * width, out)
    elif isinstance(module, Attention):
        width, heads = module.query.in_features, module.heads
        for layer in (module.query, module.key, module.value):
            _glorot(layer, width * heads, width * (width // heads))
        _glorot(module.output, width, width * heads)


def _glorot(layer: nn.Conv2d | nn.Linear, fan_in: int, fan_out: int) -> None:
    bound = (6 / (fan_in + fan_out)) ** 0.5
    nn.init.uniform_(layer.weight, -bound, bound)


class PositionalEmbedding(nn.Module):
    """A learned vector for each position of a square grid, interpolated for other grids.

    Args:
        grid: Side of the grid the embedding is learned on.
        width: Length of the vectors.
    """

    def __init__(self, grid: int, width: int) -> None:
        super().__init__()
        self.grid = grid
        self.embedding = nn.Parameter(torch.empty(grid * grid, width))
        nn.init.normal_(self.embedding, std=0.05)

    def forward(self, height: int, width: int) -> Tensor:
        """Return the embedding of a grid, (height * width, C), rows first."""
        if (height, width) == (self.grid, self.grid):
            return self.embedding
        grid = self.embedding.reshape(1, self.grid, self.grid, -1).permute(0, 3, 1, 2)
        resized = nn.functional.interpolate(grid, (height, width), mode="bicubic")
        return resized.flatten(2).squeeze(0).T


class Attention(nn.Module):
    """Multi-head self-attention with biases (Vaswani et al. 2017). Maps (B, N, C) to the same.

    Args:
        width: Channels C.
        heads: Number of heads, which divides the channels.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Attend."""
        query, key, value = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        attended = nn.functional.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.output(attended.transpose(1, 2).flatten(2))
        return out


class TransformerBlock(nn.Module):
    """x + attention(norm(x)), then y + MLP(norm(y)). Maps (B, N, C) to the same.

    Args:
        width: Channels C.
        heads: Number of attention heads.
        dropout: Rate of dropping in the MLP in training.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.attention = Attention(width, heads)
        self.mlp_norm = nn.LayerNorm(width, eps=NORM_EPSILON)
        # The published MLP ends with a second GELU.
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(4 * width, width),
            nn.GELU(),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Apply both residual steps."""
        x = x + self.attention(self.attention_norm(x))
        out: Tensor = x + self.mlp(self.mlp_norm(x))
        return out


class SETR(nn.Module):
    """Patches of 16x16 pixels as tokens, transformer blocks, and upsampling back to pixels.

    Maps (B, width, H, W) to the same, H and W multiples of 16.

    Args:
        width: Channels.
        depth: Number of transformer blocks.
        heads: Attention heads of each block.
        dropout: Rate of dropping in the MLPs in training.
        image_size: Side in pixels of the images the positional embedding is learned on.
    """

    def __init__(
        self,
        width: int = 64,
        depth: int = 12,
        heads: int = 4,
        dropout: float = 0.0,
        image_size: int = 384,
    ) -> None:
        super().__init__()
        self.embedding = nn.Conv2d(width, width, PATCH, stride=PATCH)
        self.position = PositionalEmbedding(image_size // PATCH, width)
        self.blocks = nn.Sequential(
            *(TransformerBlock(width, heads, dropout) for _ in range(depth))
        )
        steps: list[nn.Module] = []
        for step in range(4):
            steps += [
                nn.Conv2d(width, width, 3, padding=1),
                nn.BatchNorm2d(width, eps=NORM_EPSILON, momentum=NORM_MOMENTUM),
            ]
            if step < 3:
                steps.append(nn.Upsample(scale_factor=2, mode="bilinear"))
        steps += [nn.Conv2d(width, width, 1), nn.Upsample(scale_factor=2, mode="bilinear")]
        self.upsampling = nn.Sequential(*steps)

    def forward(self, x: Tensor) -> Tensor:
        """Encode and upsample."""
        tokens = self.embedding(x)
        height, width = tokens.shape[-2:]
        sequence = tokens.flatten(2).transpose(1, 2) + self.position(height, width)
        sequence = self.blocks(sequence)
        out: Tensor = self.upsampling(sequence.transpose(1, 2).unflatten(2, (height, width)))
        return out
