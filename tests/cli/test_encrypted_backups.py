"""Backups that only their recipient's key opens, by the real `age`; a restore touches nothing before it fits."""

from pathlib import Path

import pytest

from agent.cli import safekeeping
from agent.cli.client import CommandFailed
from agent.cli.safekeeping import Wish
from agent.cli.terminal import StandardTerminal
from config.settings import SettingsError, load_settings
from storage.recovery import restoring
from tests.config.environment import VALID
from tests.programs import needs, run

SILENT = StandardTerminal(quiet=True)


def key(file: Path) -> str:
    """Makes one; its public half."""
    run(["age-keygen", "-o", file])
    return run(["age-keygen", "-y", file]).strip()


@pytest.fixture
def operator(sqlite_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An operator whose backups are encrypted, beside a stopped daemon; the file with the right key."""
    right = tmp_path / "right.key"
    settings = VALID | {
        "DATABASE_URL": f"sqlite:///{sqlite_path}",
        "AGENT_ADMIN_URL": "http://127.0.0.1:9",
        "AGENT_BACKUP_RECIPIENT": key(right),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return right


@needs("age", "age-keygen")
async def test_an_encrypted_backup_holds_no_readable_row_and_comes_back_with_its_key_only(
    operator: Path, sqlite_path: Path, tmp_path: Path
) -> None:
    kept, wrong = tmp_path / "kept.db.age", tmp_path / "wrong.key"
    key(wrong)
    assert await safekeeping.back_up(kept, as_json=True) == 0
    sealed = kept.read_bytes()
    assert sealed.startswith(b"age-encryption.org/v1") and b"SQLite format 3" not in sealed
    assert b"CREATE TABLE" in sqlite_path.read_bytes() and b"CREATE TABLE" not in sealed
    assert kept.stat().st_mode & 0o777 == 0o600
    before = sorted((path.name, path.read_bytes()) for path in tmp_path.iterdir())
    torn = tmp_path / "torn.age"
    for file, identity, why in (
        (kept, None, "--identity"),
        (kept, wrong, "no identity matched"),
        (torn, operator, "age: "),
    ):
        torn.write_bytes(sealed[:-20])
        with pytest.raises(CommandFailed, match=why):
            await safekeeping.put_back(file, SILENT, Wish(yes=True, as_json=True, identity=identity))
        torn.unlink()
        assert sorted((path.name, path.read_bytes()) for path in tmp_path.iterdir()) == before
    assert await safekeeping.put_back(kept, SILENT, Wish(yes=True, as_json=True, identity=operator)) == 0
    assert restoring.content(sqlite_path).purchases == 0
    left = {path.name for path in tmp_path.iterdir()} - {name for name, _ in before}
    assert all(name.startswith("agent.db") for name in left), "something readable was left behind"


@needs("age-keygen")
async def test_without_age_no_backup_is_written_in_the_clear(
    operator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandFailed, match="apt-get install age"):
        await safekeeping.back_up(tmp_path / "kept", as_json=True)
    assert not (tmp_path / "kept").exists()


def test_a_recipient_that_is_no_public_key_stops_the_start() -> None:
    for wrong in ("AGE-SECRET-KEY-1" + "Q" * 58, "age1tooshort", "ssh-ed25519 AAAA"):
        with pytest.raises(SettingsError, match="AGENT_BACKUP_RECIPIENT: the public key") as refused:
            load_settings({**VALID, "AGENT_BACKUP_RECIPIENT": wrong})
        assert wrong not in str(refused.value)
