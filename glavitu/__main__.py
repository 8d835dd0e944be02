"""`python -m glavitu` is `glavitu`."""

import sys

from glavitu import cli
from glavitu.cli.quiet import warn_plainly


def main() -> int:
    """Run a command of the command line, as a process of its own, and return its exit status."""
    warn_plainly()
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
