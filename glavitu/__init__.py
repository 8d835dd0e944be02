"""Glacier mapping with GlaViTU. Names load when they are first used."""

import os
import sys

# `python -m glavitu` looks for all modules in the current folder first, where there may be a
# torch.py of anybody's. Only a clone that is not installed needs it, and lies there itself.
_HOME = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
_BY_NAME = sys.argv[:1] == ["-m"] and not sys.flags.safe_path
if _BY_NAME and sys.path and os.path.realpath(sys.path[0]) != _HOME:
    del sys.path[0]

import lazy_loader  # noqa: E402

from glavitu._version import __version__  # noqa: E402

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]
