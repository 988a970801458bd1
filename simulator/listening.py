"""What the daemons log while a world runs: heard instead of printed."""

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

import structlog


@contextlib.contextmanager
def listening(found: Callable[[str], None], tells: Callable[[str], bool]) -> Iterator[None]:
    """Let `found` hear what the daemons log as a step's defect, an error that no class of ours names, and (I14) each
    line of which `tells` says that it tells a secret. Nothing is printed."""

    def hear(_: Any, method: str, event: Any) -> Any:
        if event.get("event") == "step failed":
            why = sys.exc_info()[1]
            found(f"a step failed by an error that nobody expected: {event.get('job')}: {why!r}")
        if tells(repr(event)):
            found(f"I14: the log line '{event.get('event')}' tells a secret")
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, hear],
        wrapper_class=structlog.make_filtering_bound_logger(40),
        cache_logger_on_first_use=False,
    )
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        structlog.configure(**before)
