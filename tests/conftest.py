"""What all tests share. The SQLite library is exchanged first, before anything imports the standard one."""

from storage import engine_library

engine_library.install()

from pathlib import Path  # noqa: E402

import pytest  # noqa: E402

from tests.programs import NOT_INSTALLED  # noqa: E402

pytest_plugins = ["tests.databases"]

TESTS = Path(__file__).parent
WAITING_ROOMS = ("e2e", "soak", "deploy", "cli")
"""Where tests wait for processes of their own."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits most comes first: the rest fills the cores beside it, and nothing long is left for the end."""
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    room = item.path.relative_to(TESTS).parts[0]
    return WAITING_ROOMS.index(room) if room in WAITING_ROOMS else len(WAITING_ROOMS)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each program that is missing here."""
    reasons = {str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", [])}
    for reason in sorted(reason for reason in reasons if NOT_INSTALLED in reason):
        terminalreporter.write_line(reason.removeprefix("Skipped: "))
