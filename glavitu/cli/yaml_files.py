"""Configurations in YAML, looked through before anything is made of them.

YAML may name a value and use it again, so that a few hundred bytes stand for more than fits into
memory, or for themselves; and of a key that comes twice a reader takes the last without a word.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from glavitu.errors import InputError
from glavitu.files.strangers import check_regular

#: More bytes, values, with what aliases stand for, and levels than any configuration has.
BYTES, VALUES, DEPTH = 16 * 2**20, 100_000, 60


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a configuration.

    Args:
        path: The file.

    Raises:
        InputError: If it is missing, is not UTF-8 or not YAML, holds itself or too much, names a
            key twice, or is no mapping.
    """
    check_regular(path)
    try:
        if path.stat().st_size > BYTES:
            raise InputError(
                f"{path}: is too large for a configuration ({path.stat().st_size:,} B)"
            )
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 ({error}); save it as such") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, source: str) -> dict[str, Any]:
    """Parse a configuration; arguments and errors as for :func:`read_yaml`.

    Args:
        text: The YAML.
        source: What to call it in messages.
    """
    try:
        _look_through(text, source)
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{source}: is no YAML ({error}); correct it") from error
    except (ValueError, TypeError, RecursionError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{source}: has a value that is none ({error}); correct it") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(
            f"{source}: is a {type(values).__name__}, but a configuration is a mapping, such as "
            "data: {root: my_data}"
        )
    for place, value in _texts(values):
        if "\0" in value:
            raise InputError(f"{source}: {place} holds a NUL; remove it")
    return values


def bound_values() -> None:
    """Let jsonargparse look through YAML that it reads itself: options, and files they name."""
    from jsonargparse import get_loader, set_loader

    load = get_loader("yaml")
    if load is _load_bounded:
        return
    _loads.append(load)
    set_loader("yaml", _load_bounded, exceptions=(yaml.YAMLError,))


#: What jsonargparse loads YAML with, once it is replaced.
_loads: list[Callable[[str], Any]] = []


def _load_bounded(text: str) -> Any:
    if len(text) > BYTES:
        raise InputError(f"{text[:40]!r}...: is too large for an option ({len(text):,} characters)")
    _look_through(text, f"the value {text[:40]!r}")
    return _loads[0](text)


def _look_through(text: str, source: str) -> None:
    """Count what a text stands for, without making it."""
    sizes: dict[str, int] = {}
    total, documents = 0, 0
    # Of each collection that is open: its anchor, what was counted before it, and of a mapping its
    # keys and whether the next value is one.
    stack: list[tuple[str | None, int, set[str] | None]] = []
    keys_next: list[bool] = []

    def value() -> bool:
        """Tell whether what comes is a key, and expect the other next."""
        if not keys_next or stack[-1][2] is None:
            return False
        keys_next[-1] = not keys_next[-1]
        return not keys_next[-1]

    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = f"{source}, line {event.start_mark.line + 1 if event.start_mark else 1}"
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise InputError(f"{line}: a second document begins; leave one in the file")
        elif isinstance(event, yaml.AliasEvent):
            value()
            if any(anchor == event.anchor for anchor, _, _ in stack):
                raise InputError(f"{line}: *{event.anchor} stands for what it is a part of")
            total += sizes.get(event.anchor or "", 1)
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if value():
                keys = stack[-1][2]
                if keys is not None and event.value in keys and event.value != "<<":
                    raise InputError(f"{line}: the key {event.value!r:.60} comes twice; leave one")
                if keys is not None:
                    keys.add(event.value)
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            if value():
                raise InputError(f"{line}: a key is a list or a mapping, but should be a word")
            total += 1
            stack.append((event.anchor, total, set() if _is_mapping(event) else None))
            keys_next.append(True)
            if len(stack) > DEPTH:
                raise InputError(f"{line}: is nested more than {DEPTH} deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before, _ = stack.pop()
            keys_next.pop()
            if anchor:
                sizes[anchor] = total - before + 1
        if total > VALUES:
            raise InputError(f"{line}: stands for more than {VALUES:,} values, with its aliases")


def _is_mapping(event: Any) -> bool:
    return isinstance(event, yaml.MappingStartEvent)


def _texts(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, f"{place}.{key}".strip("."))
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, place)
