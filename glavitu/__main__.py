"""`python -m glavitu` is `glavitu`."""

import os
import sys
from pathlib import Path

from glavitu import cli
from glavitu.cli.quiet import warn_plainly


def main() -> int:
    """Run a command of the command line, as a process of its own, and return its exit status."""
    warn_plainly()
    if os.path.realpath(os.curdir) != str(Path(__file__).resolve().parents[1]):
        # Workers, and processes beside this one, are not to look in the current folder either.
        os.environ.setdefault("PYTHONSAFEPATH", "1")
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
