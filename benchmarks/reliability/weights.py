"""Hostile checkpoints and files of Keras."""

import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from benchmarks.reliability.judging import Case
from benchmarks.reliability.mutations import Rng, any_value, copied, damage, places, replaced
from benchmarks.reliability.originals import Originals


def checkpoint(rng: Rng, originals: Originals, folder: Path) -> Case:
    """Make a checkpoint, for a command that reads it by our own door or by Lightning's."""
    path = copied(originals.checkpoint, folder / "model.ckpt")
    must = None
    if rng.random() < 0.3:
        what = damage(rng, path)
    else:
        stored = torch.load(path, weights_only=True)
        what, stored, must = _other_contents(rng, stored)
        torch.save(stored, path)
        if rng.random() < 0.1:
            what += ", compressed"
            _compress(path)
    commands = ("map", "map", "test", "fit", "calibrate", "validate", "initial")
    command = str(rng.choice(commands))
    quiet = ["--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu"]
    quiet += ["--data.root", str(originals.world)]
    check = None
    if command == "map":
        arguments = ["map", *originals.map, "--output", "map"]
        arguments[2] = str(path)
        if must == "right":
            check = _same_map(originals, folder)
    elif command == "calibrate":
        arguments = ["calibrate", "--checkpoint", str(path), "--data.root", str(originals.world)]
        arguments += ["--device", "cpu", "--output", "out"]
    elif command == "fit":
        arguments = ["fit", "--checkpoint", str(path), *quiet, "--trainer.max_epochs", "2"]
        arguments += ["--data.batch_size", "2", "--data.steps_per_epoch", "2"]
    elif command == "initial":
        arguments = ["fit", "--model.initial_weights", str(path), *quiet]
        arguments += ["--data.batch_size", "2", "--data.steps_per_epoch", "1"]
        arguments += ["--trainer.max_epochs", "1", "--data.patch_size", "32"]
        arguments += ["--model.model_args", '{"width": 2, "depth": 1, "heads": 1}']
    else:
        arguments = [command, "--checkpoint", str(path), *quiet]
    case = Case(what, arguments, [path.name], must if command == "map" else None)
    if check is not None:
        case.check = check
    return case


def _other_contents(rng: Rng, stored: dict[str, Any]) -> tuple[str, dict[str, Any], str | None]:
    """Change what a checkpoint holds."""
    weights = stored["state_dict"]
    name = str(rng.choice(list(weights)))
    kind = int(rng.integers(8))
    if kind == 0:
        return "nothing", stored, "right"
    if kind == 1:
        del weights[name]
        return f"{name} lost", stored, "error"
    if kind == 2:
        tensor = weights[name]
        shapes = [tensor[None], tensor.reshape(-1)[:1], tensor.new_zeros(3, 1), tensor.new_empty(0)]
        weights[name] = shapes[rng.integers(len(shapes))]
        return f"{name} has the shape {tuple(weights[name].shape)}", stored, None
    if kind == 3:
        weights[name] = torch.full_like(weights[name].float(), float(rng.choice([np.nan, np.inf])))
        return f"{name} is {weights[name].flatten()[0]}", stored, "error"
    if kind == 4:
        weights[name] = weights[name].to(torch.float64) * 1
        return f"{name} in double precision", stored, None
    if kind == 5:
        stored["more"] = {"harmless": [1, 2, 3]}
        return "a key more", stored, "right"
    top = [path for path in places({k: v for k, v in stored.items() if k != "state_dict"})]
    top += [("state_dict",), *[("hyper_parameters", key) for key in stored["hyper_parameters"]] * 3]
    place = top[rng.integers(len(top))]
    new = ... if rng.random() < 0.3 else any_value(rng)
    return f"{place} = {new!r:.60}", replaced(stored, place, new), None


def _compress(path: Path) -> None:
    """Write the archive again with compressed members."""
    with zipfile.ZipFile(path) as archive:
        members = {info: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for info, data in members.items():
            archive.writestr(info.filename, data)


def _same_map(originals: Originals, folder: Path) -> Any:
    def check() -> str | None:
        expected = originals.classes(originals.root / "map")
        same = np.array_equal(originals.classes(folder / "map"), expected)
        return None if same else "the map differs"

    return check


def keras(rng: Rng, originals: Originals, folder: Path) -> Case:
    """Make a file of weights as Keras writes them."""
    path = copied(originals.keras, folder / "weights.h5")
    if rng.random() < 0.3:
        what, must = damage(rng, path), None
    else:
        with h5py.File(path, "r+") as file:
            what, must = _other_weights(rng, file, folder)
    features = [["optical", "dem"], ["dem", "optical"], ["optical"]][
        int(rng.choice([0, 0, 0, 1, 2]))
    ]
    if features != ["optical", "dem"]:
        must = "error"
    arguments = ["import-keras", str(path), "--features", *features, "--output", "out.ckpt"]
    return Case(f"{what}, as {features}", arguments, [path.name], must)


def _other_weights(rng: Rng, file: h5py.File, folder: Path) -> tuple[str, str | None]:
    arrays: list[str] = []
    file.visititems(lambda name, item: arrays.append(name) if hasattr(item, "shape") else None)
    name = str(rng.choice(arrays))
    layer = str(rng.choice([key for key in file if len(file[key].attrs["weight_names"])]))
    shape = file[name].shape
    kind = int(rng.integers(13))
    if kind == 0:
        return "nothing", "right"
    if kind == 1:
        del file[layer].attrs["weight_names"]
        return f"attribute of {layer} lost", "error"
    if kind == 2:
        owner = file if rng.random() < 0.5 else file[layer]
        key = "layer_names" if owner == file else "weight_names"
        value = any_value(rng)
        owner.attrs[key] = np.float64(1.0) if value is None or isinstance(value, dict) else value
        return f"{key} of {owner.name} is {value!r}", None
    del file[name]
    if kind == 3:
        return f"{name} lost", "error"
    if kind == 4:
        file.create_group(name)
        return f"{name} is a group", "error"
    if kind == 5:
        file.create_dataset(name, (1 << 20, 1 << 20, 16), "f4", chunks=(1, 1024, 16))
        return f"{name} declares 70 TB", "error"
    if kind == 6:
        file.create_dataset(name, shape, h5py.string_dtype())
        return f"{name} holds texts", "error"
    if kind == 7:
        file[name] = np.full(shape, rng.choice([np.nan, np.inf]), np.float32)
        return f"{name} is no number", "error"
    if kind == 8:
        file[name] = h5py.ExternalLink("/etc/hostname", "/a")
        return f"{name} lies elsewhere", "error"
    if kind == 9:
        file.create_dataset(name, shape, "f4", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])
        return f"{name} is stored elsewhere", "error"
    if kind == 10:
        file.create_dataset(name, shape, h5py.vlen_dtype(np.float32))
        return f"{name} has a length of its own in each place", "error"
    if kind == 11:
        file[name] = np.zeros((*shape[::-1], 2), np.complex64)
        return f"{name} is complex", "error"
    file.create_dataset(name, data=np.ones(shape, np.float64), compression="gzip")
    return f"{name} in double precision", None
