"""What is done to valid files: to their bytes, and to the values in them."""

import math
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Rng = np.random.Generator

#: Texts that end a program that takes them for something else than text.
TEXTS = (
    *("[/bold]", "[bold", "[link=x]", "\\", "[red]a[/red]\\", "$x", "$a$", "$\\frac{$", "a$b$c$"),
    *("<b>&amp;\"'", "{{ 7 * 7 }}", "{0.__class__}", "%s%n", "a\tb", "a\nb", "a\rb", "\x1b[2J"),
    *("\u202egpj", "\u0301", "\U0001f3d4", "_hidden", "-rf", "--help", " lead", "trail ", "a'b"),
    *('a"b', "a;b", "a,b", "#c", "=1+1", "nan", "null", "0", "CON", "x" * 200, "\ufeffa", "\x7f"),
    *("a:b", "*", "?", "~", "$HOME", "`id`", "..a", "a..", ".hidden", "\u2028", "é" * 100),
)

#: Numbers that no attribute, size or rate can be.
NUMBERS = (
    *(math.nan, math.inf, -math.inf, 0, -1, 1e300, 1e-300, -1e300, 2**31, 2**63 - 1, 2**40, 0.5),
)


def damage(rng: Rng, path: Path) -> str:
    """Do something to a file's bytes, or to what stands in its place.

    Returns:
        What was done, in words.
    """
    ways: list[Callable[[Rng, Path], str]] = [_truncate, _flip, _flip, _zeros, _join, _replace]
    return ways[rng.integers(len(ways))](rng, path)


def _truncate(rng: Rng, path: Path) -> str:
    size = path.stat().st_size
    kept = int(rng.choice([0, 1, 8, size - 1, int(rng.integers(size))]))
    os.truncate(path, kept)
    return f"cut to {kept} of {size} bytes"


def _flip(rng: Rng, path: Path) -> str:
    data = bytearray(path.read_bytes())
    reach = int(rng.choice([64, 1024, len(data)]))
    places = rng.integers(0, min(reach, len(data)), int(rng.choice([1, 4, 64])))
    for place in places:
        data[place] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)
    return f"{len(places)} bits flipped in its first {reach} bytes"


def _zeros(rng: Rng, path: Path) -> str:
    data = bytearray(path.read_bytes())
    first = int(rng.integers(len(data)))
    length = int(rng.choice([16, 512, 65536]))
    data[first : first + length] = bytes(len(data[first : first + length]))
    path.write_bytes(data)
    return f"{length} zeros from byte {first}"


def _join(rng: Rng, path: Path) -> str:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + data)
    return "its first half twice"


def _replace(rng: Rng, path: Path) -> str:
    kind = str(rng.choice(["fifo", "folder", "text", "random", "link to itself", "gone"]))
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("this is no such file\n" * 10)
    elif kind == "random":
        path.write_bytes(rng.bytes(4096))
    elif kind == "link to itself":
        path.symlink_to(path.name)
    return f"replaced: {kind}"


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """List the paths of all values of nested mappings and lists."""
    if path:
        yield path
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    for key, item in items:
        yield from places(item, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return nested mappings and lists with another value at a path; no value where it is ..."""
    if not path:
        return new
    items = dict(value) if isinstance(value, dict) else dict(enumerate(value))
    inner = replaced(items[path[0]], path[1:], new)
    if inner is ...:
        del items[path[0]]
    else:
        items[path[0]] = inner
    return items if isinstance(value, dict) else list(items.values())


def any_value(rng: Rng) -> Any:
    """Draw a value that is seldom what is wanted."""
    texts, numbers = str(rng.choice(TEXTS)), float(rng.choice(NUMBERS))
    choices: list[Any] = [None, True, [], {}, [None], {"a": 1}, texts, numbers, [numbers], "", -1]
    return choices[rng.integers(len(choices))]


def copied(source: Path, target: Path) -> Path:
    """Copy a file or a folder."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)
    return target
