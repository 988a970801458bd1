"""What all tests share. The SQLite library is exchanged first, before anything imports the standard one."""

from storage.engines import engine_library

engine_library.install()

import gc  # noqa: E402
from collections.abc import Generator, Iterator  # noqa: E402
from contextlib import suppress  # noqa: E402
from importlib import import_module  # noqa: E402
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

from tests.logged import step_defects  # noqa: E402
from tests.programs import NOT_INSTALLED  # noqa: E402

pytest_plugins = ["tests.databases"]

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
"""How long something takes says nothing: it may run beside two other workers."""

TESTS = Path(__file__).parent
WAITING_ROOMS = ("e2e", "soak", "deploy", "cli")
"""Where tests wait for processes of their own."""


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """What is imported and collected lives as long as the process: it is not searched for garbage, now or later."""
    gc.disable()
    try:
        _begin_elsewhere(session.config)
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def _begin_elsewhere(config: pytest.Config) -> None:
    """In a clean clone nothing is compiled. Each worker of the whole suite imports other files first, so that it finds
    compiled what the others began with, instead of compiling everything itself."""
    if not hasattr(config, "workerinput") or config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return
    number, workers = int(config.workerinput["workerid"].removeprefix("gw")), config.workerinput["workercount"]
    files = sorted(TESTS.rglob("test_*.py"))
    for file in files[len(files) * number // workers :]:
        with suppress(Exception, pytest.skip.Exception):  # collecting it says so
            import_module(".".join(file.relative_to(TESTS.parent).with_suffix("").parts))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits most comes first: the rest fills the cores beside it, and nothing long is left for the end."""
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    room = item.path.relative_to(TESTS).parts[0]
    return WAITING_ROOMS.index(room) if room in WAITING_ROOMS else len(WAITING_ROOMS)


@pytest.fixture(autouse=True)
def _no_daemon_hides_a_defect(request: pytest.FixtureRequest) -> Iterator[None]:
    """A daemon goes on after a step that failed by a defect, and what a test looks at may still come true."""
    folder = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    if folder is not None:
        assert not (found := step_defects(folder)), found[0]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each program that is missing here."""
    reasons = {str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", [])}
    for reason in sorted(reason for reason in reasons if NOT_INSTALLED in reason):
        terminalreporter.write_line(reason.removeprefix("Skipped: "))
