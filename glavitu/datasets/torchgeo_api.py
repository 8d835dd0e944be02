"""What glavitu relies on of TorchGeo: imported here alone, and tried once before it is used.

A release that changes one of these things is refused here, in the main process, with the versions
and the remedy; otherwise it would fail in the midst of a training, in a worker's traceback.
"""

import inspect
from importlib.metadata import version

import torch

from glavitu._version import __version__
from glavitu.errors import InputError

#: The releases that the tests run with, from the oldest to the newest, and what comes after them.
KNOWN = ("0.8", "0.10")
NEXT = "0.11"


def unknown_torchgeo(what: object) -> InputError:
    """Return the error of a TorchGeo that is not as we know it.

    Args:
        what: What of it has changed, in words or as the error that it raised.
    """
    return InputError(
        f"torchgeo {version('torchgeo')} is not as glavitu {__version__} knows it from "
        f"{' to '.join(KNOWN)}: {what}. Install one of these: "
        f"pip install 'torchgeo>={KNOWN[0]},<{NEXT}'"
    )


try:
    from torchgeo.datasets import (
        GeoDataset,
        IntersectionDataset,
        RasterDataset,
        UnionDataset,
        concat_samples,
        merge_samples,
        stack_samples,
    )
except ImportError as error:
    raise unknown_torchgeo(error) from error

__all__ = [
    "GeoDataset",
    "IntersectionDataset",
    "RasterDataset",
    "UnionDataset",
    "check_torchgeo",
    "concat_samples",
    "merge_samples",
    "stack_samples",
    "unknown_torchgeo",
]


def check_torchgeo() -> None:
    """Try what is relied on, on a sample of two pixels.

    Raises:
        InputError: If something of it has changed.
    """
    abstract = GeoDataset.__abstractmethods__ | RasterDataset.__abstractmethods__
    if abstract - {"__getitem__"}:
        raise unknown_torchgeo(f"datasets must have {', '.join(sorted(abstract))}")
    for kind in (IntersectionDataset, UnionDataset):
        if "collate_fn" not in inspect.signature(kind).parameters:
            raise unknown_torchgeo(f"{kind.__name__} takes no collate_fn")
    for name in ("mint", "maxt"):
        if not hasattr(RasterDataset, name):
            raise unknown_torchgeo(f"RasterDataset has no {name}")
    sample = {"image": torch.ones(2, 1, 1), "region": torch.tensor(0), "bounds": torch.ones(9)}
    try:
        batch = stack_samples([sample, sample])
        joined = concat_samples([{"image": sample["image"]}] * 2)
    except Exception as error:
        raise unknown_torchgeo(f"{type(error).__name__}: {error}") from error
    shapes = {key: tuple(getattr(value, "shape", ())) for key, value in batch.items()}
    if shapes != {"image": (2, 2, 1, 1), "region": (2,), "bounds": (2, 9)}:
        raise unknown_torchgeo(f"stack_samples gives the shapes {shapes}")
    if tuple(joined["image"].shape) != (4, 1, 1):
        raise unknown_torchgeo("concat_samples does not put images above each other")


check_torchgeo()
