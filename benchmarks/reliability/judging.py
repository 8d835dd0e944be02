"""A command in a child of its own, under limits, and what became of it.

The child is forked from a process that has imported what commands need, so that an input costs
tenths of a second and not the seconds of an import.
"""

import contextlib
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: What an input may take.
SECONDS, GIB = 60.0, 3.0

#: What may become of an input; only the first two are as they should be.
VERDICTS = ("right", "error", "traceback", "hang", "memory", "wrong")

#: Beginnings of lines on stderr that are no error: warnings, logs and progress bars are said there.
ERROR = "glavitu: error: "


@dataclass
class Case:
    """An input, the command that is to take it, and what is known of how it must end.

    Attributes:
        what: What was done to the input, in words.
        arguments: Of ``glavitu``.
        named: What a message must name one of: the file, or the key of a configuration.
        must: ``'right'`` or ``'error'`` where the truth is known, None where either will do.
        check: Says what is wrong with a result, None where nothing is.
    """

    what: str
    arguments: Sequence[str]
    named: Sequence[str] = ()
    must: str | None = None
    check: Callable[[], str | None] = field(default=lambda: None)


@dataclass
class Outcome:
    """What became of a case.

    Attributes:
        verdict: One of :data:`VERDICTS`.
        why: The message, or what is wrong.
        seconds: How long it took.
        gib: Largest resident memory.
    """

    verdict: str
    why: str
    seconds: float
    gib: float


def preload() -> None:
    """Import what commands need, so that children need not."""
    import glavitu.callbacks
    import glavitu.cli.calibrate
    import glavitu.cli.lightning
    import glavitu.compare
    import glavitu.inventory.convert
    import glavitu.inventory.tables
    import glavitu.mapping.mapper
    import glavitu.report
    import glavitu.tasks.import_keras  # noqa: F401
    from glavitu.cli.quiet import warn_plainly

    warn_plainly()


def run(case: Case, folder: Path) -> Outcome:
    """Run a case in a child and judge it.

    Args:
        case: The case.
        folder: Where the child works and its output goes; it is there.
    """
    begun = time.monotonic()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _be_the_child(case.arguments, folder)
    late = large = False
    gib = 0.0
    while True:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if ended:
            break
        gib = max(gib, _resident(child))
        late, large = time.monotonic() - begun > SECONDS, gib > GIB
        if late or large:
            os.kill(child, signal.SIGKILL)
            _, status, usage = os.wait4(child, 0)
            break
        time.sleep(0.02)
    gib = max(gib, usage.ru_maxrss / 2**20)
    verdict, why = _judge(case, folder, os.waitstatus_to_exitcode(status))
    if late or large or gib > GIB:
        verdict = "hang" if late else "memory"
    return Outcome(verdict, why, time.monotonic() - begun, gib)


def _be_the_child(arguments: Sequence[str], folder: Path) -> None:
    status = 70
    try:
        os.setsid()
        os.chdir(folder)
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        # For the machine's sake; what counts is what is used of it.
        own = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (own + 8 * 2**30, resource.RLIM_INFINITY))
        from glavitu import cli

        sys.argv = ["glavitu", *arguments]
        status = cli.main(list(arguments))
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _judge(case: Case, folder: Path, status: int) -> tuple[str, str]:
    said = {name: (folder / name).read_text(errors="replace") for name in ("stdout", "stderr")}
    lines = said["stderr"].replace("\r", "\n").split("\n")
    lines = [line for line in lines if line.strip() and "%|" not in line]  # no progress bars
    if "Traceback (most recent call last)" in said["stderr"] or status < 0 or status >= 70:
        return "traceback", (lines or [f"ended by signal {-status}"])[-1]
    if status == 0:
        wrong = case.check()
        if case.must == "error":
            wrong = wrong or "was taken without a word"
        return ("wrong", wrong) if wrong else ("right", "")
    errors = [number for number, line in enumerate(lines) if line.startswith(ERROR)]
    faults = said["stdout"] if "--check" in case.arguments else ""
    if not errors and not faults:
        return "wrong", f"exit status {status} without an error: {lines[-1:]}"
    after = lines[errors[-1] :] if errors else []
    message = "\n".join(after) or faults
    if case.must == "right":
        return "wrong", f"should be taken, but {message}"
    if len(after) > 1:
        return "wrong", f"the error has {len(after)} lines: {message}"
    # Paths are shown as Python writes what is no text.
    if case.named and not any(name in message for name in case.named):
        return "wrong", f"names none of {list(case.named)}: {message}"
    return "error", message


def _resident(process: int) -> float:
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 2**30
    return 0.0
