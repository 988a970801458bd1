"""Worlds on several cores at once: they know nothing of each other, so each core plays its own, one after the other."""

import gc
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from multiprocessing.connection import wait
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


def in_order(do: Callable[[A], R], asked: Iterable[A], processes: int) -> Generator[R, None, None]:
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
    """In a group of its own: Ctrl-C, and what a supervisor sends to a whole group, are for whoever asked, who then asks
    no more. What was imported stays, and is not looked at for garbage."""
    os.setpgrp()
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    engine_library.install()
    gc.freeze()


def _leave_with_parent() -> None:
    """Nobody else ends a process whose parent was killed: it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
