"""What must not be of the low precision that the weights may have."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def counting_in_float32() -> Iterator[None]:
    """Make float32 torch's default type for what counts pixels and windows.

    Lightning's ``*-true`` precisions make the weights' type the default in a step. A quotient of
    two whole numbers then is of bfloat16, and a sum of such does not grow beyond 256.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
