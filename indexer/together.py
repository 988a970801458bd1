"""Several things at once, where the first failure ends the others and a cancellation is never lost."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


async def together(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """All results in order; the first failure ends the others and comes out by itself.

    Not a TaskGroup: one whose task fails in the moment in which it is cancelled raises the failure alone (CPython 3.11
    and 3.12). Whoever takes that for a passing error goes on for ever in a daemon that is being stopped.
    """
    if not work:
        return []
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        failures = [error for task in tasks if not task.cancelled() and (error := task.exception()) is not None]
    if failures:
        raise failures[0]
    return [task.result() for task in tasks]
