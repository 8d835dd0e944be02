from .glavitu import GlaViTU as GlaViTU
from .segmenter import FusedSegmenter as FusedSegmenter
