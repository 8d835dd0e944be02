"""Other threads, for what is done while the model predicts."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

_T = TypeVar("_T")
_R = TypeVar("_R")


def background_thread(name: str) -> ThreadPoolExecutor:
    """Start a thread whose operations on tensors take one core, as those on arrays do.

    More than that would slow the model down: where OpenMP has more threads than there are cores,
    those of the model fall asleep between its operations.
    """
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(1, name, initializer=torch.set_num_threads, initargs=(1,))
    pool.submit(torch.get_num_threads).result()
    # It holds for the thread that says so, and for all that begin after that.
    torch.set_num_threads(threads)
    return pool


def prefetch(
    pool: ThreadPoolExecutor, function: Callable[[_T], _R], arguments: Iterable[_T]
) -> Iterator[_R]:
    """Call a function in another thread, one call ahead of what is asked for."""
    pending: deque[Future[_R]] = deque()
    for argument in arguments:
        pending.append(pool.submit(function, argument))
        if len(pending) > 1:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
