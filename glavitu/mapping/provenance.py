"""Where a map comes from: what decides its pixels, told in ``run.json`` and in tags."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import rasterio
import torch
from torch import nn

from glavitu._version import __version__
from glavitu.confidence.calibration import confidence_tag, describe_inference
from glavitu.files import checksum, is_local, sampled_checksum
from glavitu.mapping.devices import precision_on
from glavitu.mapping.scene_model import SceneModel
from glavitu.rasters.names import files_behind, without_secrets

#: Key of the digest of everything that decides a map's pixels.
FINGERPRINT = "fingerprint"

#: What tells versions of a file on a web server apart.
VERSION_HEADERS = ("Content-Length", "Last-Modified", "ETag")

#: Seconds to wait for a web server.
PATIENCE = 20

#: Rasters that are named in a message.
MOST_NAMED = 3


def provenance(
    model: SceneModel, inputs: Mapping[str, Sequence[str]], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Describe all that decides a map's pixels.

    Args:
        model: The model, on its device.
        inputs: All files that are read by the name of their feature group.
        options: Options of the map by their names, plain values.

    Returns:
        Plain values for JSON; ``fingerprint`` is the SHA-256 of all others.
    """
    facts = {
        "glavitu": __version__,
        "checkpoints": [
            {"name": path.name, "sha256": checksum(path)} for path in _checkpoints(model)
        ],
        "weights_sha256": _weights_digest(model),
        "inference": _inference(model),
        "confidence": confidence_tag(model.calibration),
        "calibration": None if model.calibration is None else model.calibration.to_dict(),
        "device": model.device.type,
        "precision": precision_on(model.device),
        "options": dict(options),
        "inputs": described(inputs),
    }
    facts = json.loads(json.dumps(facts, default=str))
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return {FINGERPRINT: digest, **facts}


def described(inputs: Mapping[str, Iterable[str]]) -> list[dict[str, Any]]:
    """Tell rasters from others of the same names: by size, time, and a sum of their bytes.

    Args:
        inputs: All files that are read by the name of their feature group.
    """
    return [{"group": group, **_input(name)} for group in inputs for name in inputs[group]]


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Say in what the run of a map differs from another run.

    Args:
        one: What is found, of ``run.json``.
        other: What is wanted, of :func:`provenance`.

    Returns:
        Such as ``overlap (0.5 there, 0.25 now)``; of rasters which ones differ, of checkpoints and
        calibrations that they do, since they are long.
    """
    options, wanted = one.get("options", {}), other["options"]
    found = [
        f"{name} ({options.get(name)} there, {wanted.get(name)} now)"
        for name in [*wanted, *(set(options) - set(wanted))]
        if options.get(name) != wanted.get(name)
    ]
    found += [
        f"{key} ({one.get(key)} there, {other[key]} now)"
        for key in ("glavitu", "inference", "device", "precision")
        if one.get(key) != other[key]
    ]
    if any(one.get(key) != other[key] for key in ("checkpoints", "weights_sha256")):
        found.append("the checkpoint")
    if one.get("calibration") != other["calibration"]:
        found.append("the calibration")
    return found + _other_rasters(one.get("inputs", []), other["inputs"])


def _other_rasters(
    there: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Say which rasters are not the same."""
    before, after = ({item["path"]: item for item in items} for items in (there, now))
    found = []
    for path in {**before, **after}:
        if path not in after:
            found.append(f"{path} (read there, not now)")
        elif path not in before:
            found.append(f"{path} (read now, not there)")
        elif before[path] != after[path]:
            found.append(f"{path} (written again since)")
    if not found and list(there) != list(now):
        found.append("the order of the rasters")
    more = len(found) - MOST_NAMED
    return found if more <= 0 else [*found[:MOST_NAMED], f"{more} more rasters"]


def raster_tags(run: Mapping[str, Any]) -> dict[str, str]:
    """Tags of a map's rasters.

    Args:
        run: Of :func:`provenance`.
    """
    checkpoints = run["checkpoints"]
    return {
        "glavitu_version": run["glavitu"],
        "checkpoint": ", ".join(checkpoint["name"] for checkpoint in checkpoints),
        "checkpoint_sha256": ", ".join(checkpoint["sha256"] for checkpoint in checkpoints),
        "weights_sha256": run["weights_sha256"],
        "options": json.dumps(run["options"] | {"inference": run["inference"]}),
        "inputs": json.dumps(run["inputs"]),
        "confidence": run["confidence"],
    }


def _input(name: str) -> dict[str, Any]:
    """Tell what is known of a raster: of one that is no file here, of the files that hold it."""
    if is_local(name):
        found = _file(name)
        parts = _parts(name)
        return found | ({"files": [_file(file) for file in parts]} if parts else {})
    files = [
        _file(file) if is_local(file) else {"path": without_secrets(file), **_served(file)}
        for file in files_behind(name)
    ]
    return {"path": without_secrets(name), "files": files}


def _parts(path: str) -> list[str]:
    """List what a raster reads beside its own file, such as the sources of a virtual one."""
    with rasterio.open(path) as dataset:
        files: list[str] = dataset.files
    found = []
    for file in files:
        # Statistics and overviews come and go without a change.
        if file != path and os.path.isfile(file) and not file.endswith((".aux.xml", ".ovr")):
            found += [file, *(_parts(file) if file.endswith(".vrt") else [])]
    return sorted(set(found) - {path})


def _file(path: str) -> dict[str, Any]:
    stat = os.stat(path)
    return {
        "path": str(Path(path).resolve()),
        "bytes": stat.st_size,
        "mtime_ns": stat.st_mtime_ns,
        **({"sampled_sha256": sampled_checksum(path)} if os.path.isfile(path) else {}),
    }


def _served(name: str) -> dict[str, str]:
    """Ask a web server of the version of a file; what it does not tell is left out."""
    address = name.removeprefix("/vsicurl/")
    if not address.startswith(("http://", "https://")):
        return {}
    try:
        with urlopen(Request(address, method="HEAD"), timeout=PATIENCE) as answer:
            told = {header.lower(): answer.headers.get(header) for header in VERSION_HEADERS}
    except (OSError, ValueError, HTTPException):
        return {}
    return {header: value for header, value in told.items() if value}


def _checkpoints(model: Any) -> list[Path]:
    # Those of an ensemble are known to the task from its option.
    own = getattr(model, "checkpoints", ())
    members = getattr(getattr(model, "inference", None), "checkpoints", ())
    return list(dict.fromkeys(map(Path, [*own, *members])))


def _inference(model: Any) -> str:
    inference = getattr(model, "inference", None)
    return "" if inference is None else describe_inference(inference)


def _weights_digest(model: Any) -> str:
    digest = hashlib.sha256(repr([model.num_classes, model.image_size, model.location]).encode())
    digest.update(repr([group.to_dict() for group in model.features]).encode())
    if isinstance(model, nn.Module):
        for name, tensor in model.state_dict().items():
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            values = tensor.detach().cpu().contiguous().reshape(-1)
            digest.update(values.view(torch.uint8).numpy().data)
    return digest.hexdigest()
