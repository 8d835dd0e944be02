"""Folders of tiles: where they are, and what they are called."""

from collections.abc import Iterable
from pathlib import Path

from glavitu.errors import InputError


def check_folder(root: Path) -> None:
    """Check that a folder of tiles is there.

    Raises:
        InputError: If it is not.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; give the folder that holds the tiles")


def finished(root: Path, folders: Iterable[Path]) -> set[Path]:
    """Leave out hidden folders below a root, which are unfinished ones.

    Args:
        root: The folder that was searched.
        folders: Folders below it, or itself.
    """
    return {
        folder
        for folder in folders
        if not any(part.startswith(".") for part in folder.relative_to(root).parts)
    }


def tile_name(root: Path, folder: Path) -> str:
    """Return what the tile in a folder is called: its path below the root, joined by ``_``.

    Args:
        root: The folder that was searched.
        folder: The tile's.
    """
    return "_".join(folder.relative_to(root).parts) or folder.resolve().name
