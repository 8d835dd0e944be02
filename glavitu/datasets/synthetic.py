"""The synthetic world, which is asked for beside the datasets."""

from glavitu.synthetic.world import SyntheticGlaciers

__all__ = ["SyntheticGlaciers"]
