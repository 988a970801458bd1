"""How a backup comes to stand at the file that was asked for: whole, on the disk, and encrypted where it has a
recipient. What is not encrypted is never written beside one that is."""

import asyncio
import os
import shutil
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from agent.cli.client import CommandFailed
from agent.cli.encryption import encrypt
from agent.cli.programs import run_program
from ports.executor import ThreadExecutor
from storage.engines.database_file import sync
from storage.engines.whole_file import appearing, give_name
from storage.recovery import backups


async def file_copy(copy: Path, sha256: str | None, file: Path, recipient: str) -> None:
    """A copy that lies elsewhere stands at `file`, and no more where it was. Raises CommandFailed, OSError."""
    try:
        if recipient:
            with appearing(file) as place, copy.open("rb") as source, place.open("wb") as target:
                await encrypt(recipient, source, target)
        elif not _named(copy, file):
            with appearing(file) as place:
                await ThreadExecutor().run(lambda: _carry(copy, sha256, place))
    finally:
        with suppress(FileNotFoundError):
            os.unlink(copy)


def _named(copy: Path, file: Path) -> bool:
    """Whether it could be given that name where it is, on the same disk. Raises FileExistsError, OSError."""
    try:
        give_name(copy, file)
    except FileExistsError:
        raise
    except OSError:
        return False
    sync(file.parent)
    return True


def _carry(copy: Path, sha256: str | None, place: Path) -> None:
    shutil.copyfile(copy, place)
    if backups.digest(place) != sha256:
        raise CommandFailed(f"the copy to {place.parent} is not what was copied: is that disk sound?")


async def file_dump(command: tuple[str, ...], environment: Mapping[str, str], file: Path, recipient: str) -> None:
    """What a program writes to its output stands at `file`. Raises CommandFailed, OSError."""
    with appearing(file) as place, place.open("wb") as target:
        if not recipient:
            await run_program(*command, target=target, environment=environment)
            return
        source, sink = os.pipe()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_then_close(source, encrypt(recipient, source, target)))
                group.create_task(_then_close(sink, run_program(*command, target=sink, environment=environment)))
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None  # the other one was ended for it


async def _then_close(end: int, run: Coroutine[Any, Any, None]) -> None:
    """The program at the other end hears of it."""
    try:
        await run
    finally:
        os.close(end)
