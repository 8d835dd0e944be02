"""What files say, whatever their bytes: two files of the same contents are the same result."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyogrio
import rasterio
import torch
import yaml
from PIL import Image

#: What tells when, where, how long and after how many windows of an earlier call, and sums of files
#: whose bytes tell it.
OF_TIME = {"date", "checkpoint", "seconds", "windows", "sums", "current_score"}

#: State of Lightning's that holds paths and times.
NOT_COMPARED = {"callbacks", "loops", "hparams_name"}


def contents(folder: Path) -> dict[str, str]:
    """Read every file that has its name below a folder; hidden ones have none yet.

    Returns:
        A digest of what each says, by its path. Of one that cannot be read it is why.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(part.startswith(".") for part in parts):
            found["/".join(parts)] = _read(path)
    return found


def leftovers(folder: Path) -> list[str]:
    """List hidden files and folders that a command which ended should have removed."""
    kinds = (".partial-*", ".glavitu-*")
    return [str(path.relative_to(folder)) for kind in kinds for path in folder.rglob(kind)]


def unreadable(found: dict[str, str]) -> list[str]:
    """List what could not be read of :func:`contents`."""
    return [f"{name}: {said}" for name, said in found.items() if said.startswith("unreadable")]


def _read(path: Path) -> str:
    reader = READERS.get(path.suffix)
    try:
        if not path.stat().st_size:
            raise ValueError("it is empty")
        said = path.read_bytes() if reader is None else reader(path)
    except Exception as error:  # whatever is wrong with it
        return f"unreadable ({type(error).__name__}: {error})"
    return hashlib.sha256(said).hexdigest()


def _raster(path: Path) -> bytes:
    with rasterio.open(path) as file:
        facts = [file.crs.to_wkt(), file.transform, file.descriptions, file.scales, file.offsets]
        return repr([*facts, sorted(file.tags().items())]).encode() + file.read().tobytes()


def _vector(path: Path) -> bytes:
    frame = pyogrio.read_dataframe(path)
    return (frame.to_wkb().to_csv() + str(frame.crs)).encode()


def _json(path: Path) -> bytes:
    return json.dumps(_lasting(json.loads(path.read_text())), sort_keys=True).encode()


def _yaml(path: Path) -> bytes:
    values = yaml.safe_load(path.read_text())
    if not isinstance(values, dict):
        raise ValueError("it has no keys")
    return path.read_bytes()


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lasting(one) for key, one in value.items() if key not in OF_TIME}
    return [_lasting(one) for one in value] if isinstance(value, list) else value


def _picture(path: Path) -> bytes:
    with Image.open(path) as picture:
        return np.asarray(picture).tobytes()


def _checkpoint(path: Path) -> bytes:
    values = torch.load(path, map_location="cpu", weights_only=True)
    lines: list[str] = []

    def add(name: str, value: Any) -> None:
        if isinstance(value, torch.Tensor):
            lines.append(
                f"{name} {hashlib.sha256(value.contiguous().numpy().tobytes()).digest()!r}"
            )
        elif isinstance(value, dict):
            for key in value:
                if key not in OF_TIME | NOT_COMPARED:
                    add(f"{name}.{key}", value[key])
        elif isinstance(value, list | tuple):
            for number, one in enumerate(value):
                add(f"{name}.{number}", one)
        else:
            lines.append(f"{name} {value!r}")

    add("", values)
    return "\n".join(lines).encode()


def _hdf5(path: Path) -> bytes:
    digest = hashlib.sha256()
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: digest.update(
                name.encode() + (item[()].tobytes() if isinstance(item, h5py.Dataset) else b"")
            )
        )
    return digest.digest()


def _page(path: Path) -> bytes:
    text = path.read_text()
    if not text.rstrip().endswith("</html>"):
        raise ValueError("it is cut off")
    return re.sub(r"\d\d \w+ \d{4}, \d\d:\d\d", "", text).encode()


def _table(path: Path) -> bytes:
    text = path.read_text()
    widths = {len(line.split(",")) for line in text.splitlines()}
    if not text.endswith("\n") or (path.name == "metrics.csv" and len(widths) != 1):
        raise ValueError("it is cut off")
    return text.encode()


READERS: dict[str, Callable[[Path], bytes]] = {
    ".tif": _raster,
    ".gpkg": _vector,
    ".json": _json,
    ".yaml": _yaml,
    ".png": _picture,
    ".ckpt": _checkpoint,
    ".hdf5": _hdf5,
    ".html": _page,
    ".csv": _table,
}
