"""Writes the tables of docs/reliability.md from what the trials found.

python -m benchmarks.reliability.page
python -m benchmarks.reliability.page --check
"""

from typing import Any

from benchmarks import ROOT, pages
from benchmarks.pages import markdown
from benchmarks.speed import measuring

PAGE = ROOT / "docs" / "reliability.md"


def _tried(what: str) -> str:
    told = measuring.load(what)
    if not told:
        return "Not measured yet."
    figures: dict[str, Any] = told["figures"]
    rows = [
        [f"`{name}`", str(found["trials"]), str(len(found["wrong"]))]
        for name, found in figures.items()
        if isinstance(found, dict)
    ]
    total = [str(sum(int(row[column]) for row in rows)) for column in (1, 2)]
    table = markdown(["command", "trials", "something wrong"], [*rows, ["all", *total]])
    return f"{table}\n\n{_stamp(told)}"


def _stamp(told: dict[str, Any]) -> str:
    here, (stamp, *_) = told["machine"], told["measured"].values()
    return (
        f"Of commit {stamp['commit']}, {stamp['date']}, Python {here['python']}, "
        f"{here['cores']} cores of {here['device']}."
    )


def kills() -> str:
    return _tried("kills")


def races() -> str:
    return _tried("races")


def full_disks() -> str:
    return _tried("full_disks")


def fuzz() -> str:
    told = measuring.load("fuzz")
    if not told:
        return "Not measured yet."
    keys = ("inputs", "right", "errors", "tracebacks", "hangs", "memory")
    head = ["family", "inputs", "right result", "one-line error", "traceback", "hang", "over 3 GiB"]
    rows = [
        [name, *(str(found.get(key, "")) for key in keys)]
        for name, found in told["figures"].items()
        if isinstance(found, dict)
    ]
    return f"{markdown(head, rows)}\n\n{_stamp(told)}"


TABLES: pages.Tables = {table.__name__: table for table in (kills, races, full_disks, fuzz)}

if __name__ == "__main__":
    pages.main(PAGE, TABLES, "benchmarks.reliability.page")
