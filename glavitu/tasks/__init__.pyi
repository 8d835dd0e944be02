from .glavitu import GlaViTUTask as GlaViTUTask
