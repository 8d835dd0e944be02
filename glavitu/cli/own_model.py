"""Building a model of one's own that a configuration names."""

from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser
from torch import nn

from glavitu.cli.shipped import find_config
from glavitu.cli.yaml_files import read_yaml
from glavitu.errors import InputError


def read_model(config: str | None) -> nn.Module | None:
    """Build the module that a configuration gives as the model.

    Args:
        config: YAML file with ``model.model`` as ``class_path`` and ``init_args``, such as the
            ``config.yaml`` of a run.

    Returns:
        The module, None where the configuration names an architecture or there is none.

    Raises:
        InputError: If it is no such file, or the class cannot be imported or built.
    """
    if config is None:
        return None
    path = Path(find_config(config))
    try:
        described: Any = read_yaml(path)["model"]["model"]
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{path}: is no configuration with model.model; give config.yaml of the run"
        ) from error
    if not isinstance(described, dict):
        return None
    parser: Any = ArgumentParser(exit_on_error=False)
    parser.add_argument("--model", type=nn.Module)
    # It got another name in 4.49.
    instantiate = getattr(parser, "instantiate", parser.instantiate_classes)
    try:
        module: nn.Module = instantiate(parser.parse_object({"model": described})).model
    except (ArgumentError, TypeError, ValueError, AttributeError, LookupError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: model.model cannot be built; give a class_path that Python finds (a file of "
            f"your own lies in a folder of PYTHONPATH) and the init_args it takes ({reason})"
        ) from error
    return module
