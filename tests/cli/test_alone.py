"""Which commands work with no daemon, exactly: these take the database's lock, the others say what they need."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent.cli import app
from tests.config.environment import VALID

NEEDS = "the daemon is not running at http://127.0.0.1:9"
INSTEAD = "the platform wallet is not known yet"
"""What reads the chain goes as far as the database, which tells that no daemon ever ran on it."""
Invoke = Callable[..., Any]


@pytest.fixture
def invoke(sqlite_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """A command of an installation whose daemon is down."""
    for name, value in VALID.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DATABASE_URL", str(sqlite_path))
    monkeypatch.setenv("AGENT_ADMIN_URL", "http://127.0.0.1:9")
    return lambda *words: CliRunner().invoke(app, [*words, "--json"])


@pytest.mark.parametrize(
    "words",
    [
        "distribute_usdc_batch --auto-confirm",
        "reconcile",
        "retry mint 1",
        "retry distribution --all",
        "batch list",
        "batch show 1",
        f"batch approve 1 --digest {0:064x}",
        "batch pause 1 --reason why",
        "batch resume 1",
        "sends pause --reason why",
        "sends resume",
        "treasury",
        "events list stripe",
        "events replay stripe 1",
        "conversion announce --usd 10.00",
        "conversion wire",
    ],
)
def test_what_changes_or_asks_elsewhere_says_that_it_needs_the_daemon(invoke: Invoke, words: str) -> None:
    ended = invoke(*words.split())
    assert ended.exit_code == 1, ended.output
    assert NEEDS in ended.stderr and "python main.py run" in ended.stderr and NEEDS in ended.stdout


@pytest.mark.parametrize("words", ["status", "verify", "trace 1", "index status", "distribute_usdc_batch --dry-run"])
def test_what_only_looks_opens_the_database_itself(invoke: Invoke, words: str) -> None:
    ended = invoke(*words.split())
    assert ended.exit_code == 1 and INSTEAD in ended.stderr, ended.output


def test_tokens_invites_people_the_schema_and_backups_need_no_daemon(
    invoke: Invoke, tmp_path: Path, sqlite_path: Path
) -> None:
    people = tmp_path / "people.csv"
    people.write_text("email,wallet_address\nada@example.com,9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin\n")
    for words in (
        ["token", "create", "--name", "Ada", "--role", "viewer"],
        ["token", "list"],
        ["token", "revoke", "1"],
        ["invite", "create"],
        ["invite", "list"],
        ["users", "import", str(people), "--dry-run"],
        ["db", "upgrade"],
        ["backup", str(tmp_path / "kept.db")],
    ):
        ended = invoke(*words)
        assert ended.exit_code == 0, (words, ended.output)
    shutil.rmtree(tmp_path, ignore_errors=True)
