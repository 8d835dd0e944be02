"""GeoJSON that says where its coordinate system is to be fetched, as its first version allowed."""

import json
import re
from pathlib import Path
from typing import Any

from glavitu.errors import InputError

#: What a file has that may name an address; a letter may be written as its number.
_SUSPECT = re.compile(rb"['\"](link|url)['\"]|\\u00[0-9a-f]{2}", re.IGNORECASE)


def check_links(path: Path) -> None:
    """Check that GDAL has nothing to fetch for a file of JSON.

    Args:
        path: A file that begins as JSON does.

    Raises:
        InputError: If its coordinate reference system is a link.
    """
    content = path.read_bytes()
    if not _SUSPECT.search(content):
        return
    text = content.decode("utf-8-sig", errors="replace")
    try:
        json.loads(text, object_pairs_hook=lambda pairs: _check(pairs, path))
    except InputError:
        raise
    except (ValueError, RecursionError):
        try:  # a feature a line
            for line in text.splitlines():
                if line.strip("\x1e \t"):
                    json.loads(
                        line.strip("\x1e \t"), object_pairs_hook=lambda pairs: _check(pairs, path)
                    )
        except InputError:
            raise
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: is damaged as JSON ({error}); write it again") from error


def _check(pairs: list[tuple[str, Any]], path: Path) -> dict[str, Any]:
    """Check one object, of which a key may come twice."""
    for key, value in pairs:
        if key.lower() == "crs" and isinstance(value, dict):
            kind = str(value.get("type", "")).lower()
            if kind in ("link", "url"):
                raise InputError(
                    f"{path}: its coordinate reference system is a {kind}, which would be fetched; "
                    "write it as a name, or the file in longitude and latitude without one"
                )
    return dict(pairs)
