"""Where a model predicts, and what makes it quick there."""

import copy
import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from glavitu.errors import InputError
from glavitu.mapping.scene_model import SceneModel
from glavitu.models.compiling import can_compile
from glavitu.models.folding import fold_batch_norms

#: Windows of the published model from which on a scene repays the minute in which it is compiled:
#: on two cores each then takes 0.1 to 0.2 s less (docs/performance.md), on a GPU milliseconds.
COMPILED_WINDOWS = {"cpu": 500, "cuda": 10_000}
#: Pixels of such a window, times the parameters of the model: its work, roughly.
PUBLISHED_WORK = 384**2 * 10_000_000


def choose_device(name: str = "auto") -> torch.device:
    """Find a device by its name.

    Args:
        name: ``'cpu'``, ``'cuda'``, ``'cuda:N'`` or ``'mps'``; ``'auto'`` takes a CUDA GPU, else
            Apple's, else the CPU.

    Raises:
        InputError: If there is no such device here.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    there = ["cuda"] * bool(gpus) + [f"cuda:{index}" for index in range(gpus)]
    there += ["mps"] * torch.backends.mps.is_available() + ["cpu"]
    if name == "auto":
        return torch.device(there[0])
    if name not in there:
        raise InputError(
            f"device {name!r} is not available; here there are {', '.join(there)}, and auto, which "
            f"takes {there[0]}"
        )
    return torch.device(name)


def device_name(device: torch.device) -> str:
    """Name a device for people, as ``NVIDIA A100`` or ``cpu``."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def precision_on(device: torch.device) -> str:
    """Say in which precision models predict on a device: bfloat16 on CUDA, else float32."""
    return "bfloat16" if device.type == "cuda" else "float32"


class Predictor:
    """A model made quick for the device that it is on; the model itself stays as it is.

    Its batch norms are folded and its weights lie channels last; for large scenes it is compiled
    where the machine can. On a CUDA GPU it predicts in bfloat16.

    Args:
        model: The model, in eval mode.
        batch_size: Most windows predicted at once.
        windows: Number of windows of the scene.

    Attributes:
        device: Where the probabilities are.
        classes: Number of classes.
        compiled: Whether the model is compiled, which happens when it first predicts; where that
            fails it goes on uncompiled, and a warning says so.
    """

    def __init__(self, model: SceneModel, batch_size: int, windows: int) -> None:
        self.device = model.device
        self.batch_size = batch_size
        self.classes = model.num_classes
        self.compiled = _is_worth_compiling(model, windows)
        self._model = model
        self._uncompiled: SceneModel | None = None
        if not isinstance(model, nn.Module) or self.device.type not in COMPILED_WINDOWS:
            return
        self._model = copy.deepcopy(model)
        for member in _members(self._model):
            fold_batch_norms(member)
            # Convolutions that lie so need no reordering at each call.
            member.to(memory_format=torch.channels_last)
        if self.compiled:
            self._uncompiled = self._model
            self._model = copy.deepcopy(self._model)
            for member in _members(self._model):
                member.compile()

    def __call__(self, images: Tensor, location: Tensor | None) -> Tensor:
        """Predict windows.

        Args:
            images: (B, C, S, S) on the CPU, B at most the batch size.
            location: (B, L) where the model wants one.

        Returns:
            Probabilities, float32 (B, classes, S, S), on the model's device.
        """
        count = len(images)
        images = images.to(self.device)
        location = None if location is None else location.to(self.device)
        if self.compiled:  # another number of windows would compile the model once more
            images = _filled(images, self.batch_size)
            location = None if location is None else _filled(location, self.batch_size)
        narrow = self.device.type == "cuda"
        with torch.autocast("cuda", torch.bfloat16) if narrow else nullcontext():
            try:
                predicted = self._model.predict_probabilities(images, location)
            except RuntimeError as error:
                if self._uncompiled is None:
                    raise
                reason = (str(error).strip() or repr(error)).splitlines()[0]
                rank_zero_warn(f"the model could not be compiled and runs as it is ({reason})")
                self._model, self.compiled = self._uncompiled, False
                predicted = self._model.predict_probabilities(images, location)
        self._uncompiled = None  # what works once is kept
        return predicted[:count].float()


def _members(model: Any) -> Sequence[nn.Module]:
    members: Sequence[nn.Module] = getattr(model, "members", (model,))
    return members


def _is_worth_compiling(model: SceneModel, windows: int) -> bool:
    # Layers that drop are hooked anew for each batch, which compiled models do not notice.
    drops = bool(getattr(getattr(model, "inference", None), "dropout_runs", 0))
    kind = model.device.type
    if not isinstance(model, nn.Module):
        return False
    work = model.image_size**2 * sum(parameter.numel() for parameter in model.parameters())
    return (
        windows * work >= COMPILED_WINDOWS.get(kind, math.inf) * PUBLISHED_WORK
        and not drops
        and can_compile(kind)
    )


def _filled(values: Tensor, count: int) -> Tensor:
    return torch.cat([values, values[-1:].expand(count - len(values), *values.shape[1:])])
