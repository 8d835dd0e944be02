"""`python -m glavitu` is `glavitu`."""

import sys

from glavitu.cli import main

if __name__ == "__main__":
    sys.exit(main())
