"""Files that appear under their names only when they are complete."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def when_complete(path: Path) -> Iterator[Path]:
    """Give a hidden path in the same folder to write to; rename it when all went well.

    Args:
        path: The final path. Its folder is made where it is missing; a file that stands there is
            replaced.

    Yields:
        The path to write to. What lies there after a failure is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{path.name}")
    partial.unlink(missing_ok=True)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
