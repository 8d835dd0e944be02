"""Compiled graphs, where the machine can make them."""

import functools
import logging

import torch
from lightning.pytorch.utilities import rank_zero_warn


@functools.cache
def can_compile(device_type: str) -> bool:
    """Try to compile a small graph; warn in one line, and only once, where that fails.

    What is needed differs between systems (a C++ compiler and Python's headers, on a GPU also
    Triton), so that trying says more than looking for them. It takes seconds.

    Args:
        device_type: ``'cpu'`` or ``'cuda'``.
    """
    # PyTorch with CUDA says on machines without a GPU that it finds none.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    try:
        torch.compile(torch.exp)(torch.zeros(8, device=device_type))
    except RuntimeError as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        rank_zero_warn(
            "the model runs uncompiled, which is slower: PyTorch cannot compile here; install a "
            f"C++ compiler such as g++ and Python's header files ({reason})"
        )
        return False
    finally:
        torch.compiler.reset()
    return True
