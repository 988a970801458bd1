"""Backups that only their recipient can read, by `age` (age-encryption.org): its public key is a setting, its identity
is kept offline. The program is run as PostgreSQL's own tools are; nothing here is cryptography of ours."""

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

from agent.cli.client import CommandFailed
from agent.cli.programs import run_program
from storage.recovery.restoring import with_its_log

PROGRAM = "age"
_MARKS = (b"age-encryption.org/v1", b"-----BEGIN AGE ENCRYPTED FILE-----")
NO_AGE = "age is not installed here: install it (Debian: `apt-get install age`)"


def is_encrypted(file: Path) -> bool:
    """Whether it begins as a file of age's does."""
    with file.open("rb") as opened:
        return opened.read(64).startswith(_MARKS)


async def encrypt(recipient: str, source: IO[bytes] | int, target: IO[bytes]) -> None:
    """All that comes from `source`, for the recipient alone. Raises CommandFailed."""
    await run_program(PROGRAM, "--encrypt", "--recipient", recipient, source=source, target=target)


@asynccontextmanager
async def opened(file: Path, identity: Path | None, folder: Path) -> AsyncIterator[Path]:
    """A readable copy of the backup, in `folder` and gone at the end; the file itself where it is neither encrypted nor
    has a log beside it.

    Raises CommandFailed without the right identity: nothing was touched. Raises StoreUnavailable.
    """
    if not is_encrypted(file):
        with with_its_log(file, folder) as plain:
            yield plain
        return
    if identity is None:
        raise CommandFailed(f"{file} is encrypted: say --identity FILE, the key of AGENT_BACKUP_RECIPIENT")
    require_age()
    with tempfile.TemporaryDirectory(dir=folder, prefix=".restore-") as place:
        plain = Path(place) / "backup"
        await run_program(PROGRAM, "--decrypt", "--identity", str(identity), "--output", str(plain), str(file))
        yield plain


def require_age() -> None:
    """Raises CommandFailed."""
    if shutil.which(PROGRAM) is None:
        raise CommandFailed(NO_AGE)
