"""What a module logs, as the log has it, whatever set up logging in this process before; what daemons have logged."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
import structlog
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs
from structlog.typing import EventDict


@contextmanager
def logged(module: ModuleType) -> Iterator[list[EventDict]]:
    """The lines as they come. A command that ran in this process may have set up logging for itself, and loggers keep
    what they found: the module gets a new one."""
    before = structlog.get_config()
    structlog.reset_defaults()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "log", structlog.get_logger(module.__name__))
        try:
            with capture_logs(processors=[merge_contextvars]) as lines:
                yield lines
        finally:
            structlog.configure(**before)


def step_defects(folder: Path) -> list[str]:
    """The lines of the logs below a folder that tell of a step which failed by an error that no class of ours names."""
    return [
        f"{log.name}: {line}"
        for log in sorted(folder.rglob("*.log"))
        for line in log.read_text(errors="replace").splitlines()
        if '"event": "step failed"' in line
    ]
