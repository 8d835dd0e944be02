"""Commands in children of a process that has loaded everything, so that a start costs little."""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from glavitu.errors import InputError

Work = Callable[[], int | None]

#: A command that runs longer than this hangs.
MOST_SECONDS = 300


@dataclass
class Ended:
    """How a child ended.

    Attributes:
        status: Its exit status, or minus the signal that ended it.
        said: What it wrote to the terminal.
        seconds: How long it ran.
    """

    status: int
    said: str
    seconds: float

    @property
    def traceback(self) -> bool:
        """Whether it showed a traceback."""
        return "Traceback (most recent call last)" in self.said


class Child:
    """Work in a process of its own.

    Args:
        work: What to do; what it returns is the exit status.
        folder: The current folder of it.
        file_bytes: Let no file grow larger, where given.
    """

    def __init__(self, work: Work, folder: Path, file_bytes: int | None = None) -> None:
        self._log = folder.with_name(f".{folder.name}-{time.monotonic_ns()}.log")
        self._start = time.monotonic()
        self.pid = os.fork()
        if self.pid == 0:
            _do(work, folder, self._log, file_bytes)
        with contextlib.suppress(OSError):  # the child does so too, whoever comes first
            os.setpgid(self.pid, self.pid)

    def kill(self) -> None:
        """Kill it and its children."""
        os.killpg(self.pid, signal.SIGKILL)

    def wait(self, seconds: float = MOST_SECONDS) -> Ended | None:
        """Wait for its end; None where it does not come."""
        while (passed := time.monotonic() - self._start) < seconds:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                said = self._log.read_text(errors="replace") if self._log.exists() else ""
                self._log.unlink(missing_ok=True)
                return Ended(os.waitstatus_to_exitcode(status), said, passed)
            time.sleep(0.002)
        return None

    def ended(self) -> Ended:
        """Wait for its end, and kill it where it hangs."""
        found = self.wait()
        if found is None:
            self.kill()
            found = self.wait(2 * MOST_SECONDS)
            assert found is not None
            found.said += "\nit hung"
        return found


def _do(work: Work, folder: Path, log: Path, file_bytes: int | None) -> None:
    status = 70
    try:
        os.setpgid(0, 0)
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(handle, stream)
        sys.stdout, sys.stderr = (os.fdopen(n, "w", closefd=False) for n in (1, 2))
        os.chdir(folder)
        torch.set_num_threads(1)
        if file_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, resource.RLIM_INFINITY))
        status = work() or 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except (InputError, OSError) as error:  # as the command line says it
        print(f"error: {error}", file=sys.stderr)
        status = 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Callable[[], None]]:
    """Mount a disk of some bytes on a folder; yield what makes it large.

    Raises:
        PermissionError: If this user may not mount.
    """
    folder.mkdir()
    size = max(4096, size)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        raise PermissionError("this user may not mount")

    def enlarge() -> None:
        larger = ["mount", "-o", "remount,size=1g", str(folder)]
        subprocess.run(larger, check=True, capture_output=True)

    try:
        yield enlarge
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, capture_output=True)
