"""From a scene to glacier outlines: reading, predicting window by window, vectorising."""

import lazy_loader

# What is light must not wait for what is not: the command line reads the options alone.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
