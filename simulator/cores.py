"""Worlds on several cores at once: they know nothing of each other, so each core plays its own, one after the other."""

import gc
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from typing import TypeVar

from storage.engines import engine_library

A = TypeVar("A")
R = TypeVar("R")

AHEAD = 4
"""For each core so many are asked for: a long one keeps nobody else waiting, and little is played in vain when whoever
listens has heard enough."""


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))


def in_order(do: Callable[[A], R], asked: Iterable[A], processes: int) -> Iterator[R]:
    """What `do`, a function of a module, answers to each, in the order in which it was asked, by so many processes; in
    this one if one is enough. `asked` is read little by little. What `do` raises is raised here."""
    if processes <= 1:
        yield from map(do, asked)
        return
    remaining = iter(asked)
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _settle_in)
    try:
        under_way: deque[Future[R]] = deque(pool.submit(do, one) for one in islice(remaining, processes * AHEAD))
        while under_way:
            yield under_way.popleft().result()
            under_way.extend(pool.submit(do, one) for one in islice(remaining, 1))
    finally:
        pool.shutdown(cancel_futures=True)


def _settle_in() -> None:
    """Ctrl-C is for whoever asked, who then asks no more; what was imported stays, and is not looked at for garbage."""
    engine_library.install()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()
