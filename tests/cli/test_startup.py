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
