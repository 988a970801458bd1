"""Backups that only their recipient can read, by `age` (age-encryption.org): its public key is a setting, its identity
is kept offline. The program is run as PostgreSQL's own tools are; nothing here is cryptography of ours."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agent.cli.client import CommandFailed
from storage.database_file import FILE_MODE
from storage.restoring import with_its_log

PROGRAM = "age"
_MARKS = (b"age-encryption.org/v1", b"-----BEGIN AGE ENCRYPTED FILE-----")
NO_AGE = "age is not installed here: install it (Debian: `apt-get install age`)"


def is_encrypted(file: Path) -> bool:
    """Whether it begins as a file of age's does."""
    with file.open("rb") as opened:
        return opened.read(64).startswith(_MARKS)


@asynccontextmanager
async def sealing(file: Path, recipient: str) -> AsyncIterator[Path]:
    """Where the backup is to be written so that `file` holds it at the end, encrypted where there is a recipient. What
    lies in between is readable by its owner alone, and gone at the end whatever happens. Raises CommandFailed."""
    if not recipient:
        yield file
        return
    require_age()
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".backup-") as folder:
        plain = Path(folder) / file.name
        yield plain
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE))
        try:
            await _age("--encrypt", "--recipient", recipient, "--output", str(file), str(plain))
        except CommandFailed:
            os.unlink(file)
            raise


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
        await _age("--decrypt", "--identity", str(identity), "--output", str(plain), str(file))
        yield plain


def require_age() -> None:
    """Raises CommandFailed."""
    if shutil.which(PROGRAM) is None:
        raise CommandFailed(NO_AGE)


async def _age(*arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        PROGRAM, *arguments, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, complaint = await process.communicate()
    if process.returncode != 0:
        said = complaint.decode("utf-8", "replace").strip().splitlines()
        raise CommandFailed(f"age: {said[0].removeprefix('age: ') if said else process.returncode}")
