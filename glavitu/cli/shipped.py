"""The configurations and sweeps that come with glavitu, found by their names from any folder."""

import sys
from pathlib import Path

from glavitu.errors import InputError

FOLDERS = ("configs", "sweeps")


def shipped_files() -> dict[str, Path]:
    """Return the path of each file by its name, such as ``configs/tracks/insar.yaml``."""
    package = Path(__file__).parents[1]
    # A wheel has the folders inside the package, a checkout beside it.
    root = package if (package / "configs").is_dir() else package.parent
    paths = (path for folder in FOLDERS for path in sorted((root / folder).rglob("*.yaml")))
    return {path.relative_to(root).as_posix(): path for path in paths}


def find_config(given: str, quiet: bool = False) -> str:
    """Return the path of a configuration: a file of one's own, or one that comes with glavitu.

    Args:
        given: What `--config` was given. A file that exists comes first, then the name of a shipped
            one; YAML in place of a path, an address and ``-`` (standard input) are returned as is.
        quiet: Whether to say nothing where a shipped file is taken.

    Raises:
        InputError: If there is no such file, neither here nor with glavitu.
    """
    # Everything that is no path of a file has a colon, and may be too long to ask for.
    if given == "-" or ":" in given or Path(given).exists():
        return given
    configs = {k: path for k, path in shipped_files().items() if k.startswith("configs/")}
    path = configs.get(Path(given).as_posix())
    if path is None:
        raise InputError(
            f"--config {given}: there is no such file, neither in this folder nor among those that "
            f"come with glavitu: {', '.join(configs)}"
        )
    if not quiet:
        # Not among the output, which --print_config makes a file.
        print(f"--config {given}: taking {path}, which comes with glavitu", file=sys.stderr)
    return str(path)
