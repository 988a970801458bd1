"""Logging: one JSON line an event on standard error, with the ids in force and never a secret."""

import logging
import sys
from collections.abc import Iterable
from typing import Any

import structlog

from config.confidential import MASK, masking


def configure_logging(level: str, secrets: Iterable[str], *, as_json: bool = True) -> None:
    """Set up structlog and the standard library's logging. Any of `secrets` that appears in a line is masked
    there: in the finished line, so that no object's repr or traceback slips past."""
    hidden = masking(secrets)

    def mask(_: Any, __: str, line: Any) -> str:
        return hidden.sub(MASK, line) if hidden else str(line)

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    render: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render, mask],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("aiohttp.access", "alembic", "apscheduler", "stripe"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
