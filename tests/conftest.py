"""What all tests share. The SQLite library is exchanged first, before anything imports the standard one."""

from storage import engine_library

engine_library.install()

import pytest  # noqa: E402

from tests.programs import NOT_INSTALLED  # noqa: E402

pytest_plugins = ["tests.databases"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each program that is missing here."""
    reasons = {str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", [])}
    for reason in sorted(reason for reason in reasons if NOT_INSTALLED in reason):
        terminalreporter.write_line(reason.removeprefix("Skipped: "))
