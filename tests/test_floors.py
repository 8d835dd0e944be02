"""The house has floors: a room imports from lower floors, and no imports go in a circle."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "glavitu"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"

#: Rooms and loose modules from the ground up, as CONTRIBUTING draws them.
FLOORS = (
    ("_version", "arrays", "classes", "errors", "losses", "terminal", "threads"),
    ("files",),
    ("features", "outlines", "pictures", "regions", "windows"),
    ("models", "rasters", "transforms"),
    ("synthetic",),
    ("datasets",),
    ("datamodules", "inventory", "metrics"),
    ("compare", "confidence", "report"),
    ("mapping", "tasks"),
    ("callbacks",),
    ("cli",),
)
#: Rooms that CONTRIBUTING speaks of and that are not built yet.
TO_COME = {"products/", "products/<name>.py", "tests/products/test_<name>.py"}

FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS, 1) for room in rooms}


def modules():
    """Every module of a room, with its dotted name; the public faces stand above the house."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts not in (("__init__",), ("__main__",)):
            yield ".".join(part for part in parts if part != "__init__"), path


def imports(path):
    """What of glavitu a module imports, wherever it does, other than for types alone."""
    tree = ast.parse(path.read_text())
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node not in for_types and node.module:
            name, _, rest = node.module.partition(".")
            if name == "glavitu":
                yield from ([rest] if rest else [alias.name for alias in node.names])


NAMES = dict(modules())


def test_every_room_has_a_floor():
    assert {name.partition(".")[0] for name in NAMES} == set(FLOOR_OF)
    assert len([name for name in NAMES if "." not in name and NAMES[name].stem != "__init__"]) <= 12


@pytest.mark.parametrize("name", NAMES)
def test_imports_go_down(name):
    room = name.partition(".")[0]
    for target in imports(NAMES[name]):
        other = target.partition(".")[0]
        if other in FLOOR_OF and other != room:
            # Loose modules of a floor may share; the test of circles watches over them.
            loose = not (PACKAGE / room).is_dir() and not (PACKAGE / other).is_dir()
            assert FLOOR_OF[other] < FLOOR_OF[room] + loose, f"{name} imports {target}"


def test_no_imports_go_in_a_circle():
    graph = {
        name: {target for target in imports(path) if target in NAMES and target != name}
        for name, path in NAMES.items()
        if path.stem != "__init__"
    }
    done, path = set(), []

    def visit(name):
        assert name not in path, " > ".join([*path[path.index(name) :], name])
        if name in done or name not in graph:
            return
        path.append(name)
        for target in sorted(graph[name]):
            visit(target)
        done.add(path.pop())

    for name in sorted(graph):
        visit(name)


def test_no_room_is_a_hall():
    lines = {name: len(path.read_text().splitlines()) for name, path in NAMES.items()}
    rooms = {room: sum(n for m, n in lines.items() if m.split(".")[0] == room) for room in FLOOR_OF}
    assert max(rooms.values()) < 0.18 * sum(lines.values()), rooms


def test_the_house_is_drawn_as_it_is():
    rows = re.findall(r"^\| (\d+) \| (.+?) \|", CONTRIBUTING.read_text(), flags=re.MULTILINE)
    drawn = {int(floor): tuple(re.findall(r"`(.+?)`", rooms)) for floor, rooms in rows}
    assert drawn == dict(enumerate(FLOORS, 1))


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/developers.md"])
def test_files_that_pages_name_are_there(page):
    text = (ROOT / page).read_text()
    # What is still to be written has a name in angle brackets; a room may still be to come.
    named = set(re.findall(r"`((?:[\w.-]+/)+(?:[\w-]*(?:<name>)?\.pyi?)?)`", text)) - TO_COME
    assert len(named) > 10
    places = (ROOT, PACKAGE, ROOT / "tests")
    for name in named:
        path = name.rpartition("/")[0] if "<" in name else name
        assert any((place / path).exists() for place in places), f"{page} names {name}"
