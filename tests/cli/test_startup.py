"""What a command loads before it does anything: an operator at night waits for it each time."""

import subprocess
import sys

import pytest

from tests.programs import ROOT

ASKS_THE_DAEMON = (
    "agent.cli.operations agent.cli.money_acts agent.cli.people_acts agent.cli.work_acts agent.cli.verification"
    " agent.cli.tracing agent.cli.reconciling agent.cli.converting_acts agent.cli.user_import agent.cli.distribution"
)
WORKS_ALONE = "agent.cli.alone agent.cli.desk"


@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [
        ("agent.cli", "pydantic aiohttp rich sqlalchemy"),
        (ASKS_THE_DAEMON, "sqlalchemy alembic solders stripe structlog cryptography"),
        (WORKS_ALONE, "stripe prometheus_client agent.assembly"),
    ],
)
def test_a_command_loads_no_more_than_it_needs(modules: str, unwanted: str) -> None:
    found = (
        "import main, importlib, sys\n"
        f"for name in {modules.split()!r}: importlib.import_module(name)\n"
        f"print(*[name for name in {unwanted.split()!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", found], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def main(*arguments: str, without_packages: bool = False) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *(["-S"] if without_packages else []), "main.py", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_python_without_our_packages_is_told_how_to_get_them() -> None:
    ended = main("status", without_packages=True)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: this Python has no pysqlite3; run `make venv`")


def test_help_breaks_its_lines_where_the_terminal_ends_and_not_where_the_source_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    told = main("distribute_usdc_batch", "--help").stdout
    assert "2 no terminal to ask and no --auto-confirm, 3 not covered by" in told
    assert "all that is payable now. Exit codes" not in told, "a paragraph stays one"


@pytest.mark.parametrize("command", [["sandbox"], ["batch", "show"]])
def test_help_shows_no_value_for_a_flag(command: list[str]) -> None:
    """`--json <bool>` made people type `--json true`."""
    told = main(*command, "--help").stdout
    assert "--json" in told and "--help" in told
    assert "bool" not in told
