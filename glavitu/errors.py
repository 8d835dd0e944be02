"""The one exception for input that a user can mend."""

import math
from numbers import Integral, Real
from typing import Any


class InputError(ValueError):
    """Input that cannot be used.

    The message names the file, band or key, what was expected and what to do. The command line
    prints it without a traceback.
    """


def check_number(
    key: str,
    value: Any,
    least: float | None = None,
    *,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    whole: bool = False,
) -> None:
    """Check an option that is a number.

    Args:
        key: Name of the option.
        value: Its value.
        least: Smallest value.
        above: What it must be above.
        most: Largest value.
        below: What it must be below.
        whole: Whether it must be a whole number.

    Raises:
        InputError: If it is no such number, or not finite.
    """
    limits = {"from": least, "above": above, "to": most, "below": below}
    fits = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
    fits = fits and math.isfinite(value)
    fits = fits and (least is None or value >= least) and (above is None or value > above)
    fits = fits and (most is None or value <= most) and (below is None or value < below)
    if not fits:
        words = " ".join(f"{word} {limit}" for word, limit in limits.items() if limit is not None)
        kind = "whole number" if whole else "number"
        raise InputError(f"{key} is {value!r}; give a {kind} {words}".rstrip())
