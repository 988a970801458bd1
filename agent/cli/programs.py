"""Other people's programs that a command runs: to their end, or ended with it."""

import asyncio
import os
from collections.abc import Mapping
from typing import IO

from sqlalchemy import URL

from agent.cli.client import CommandFailed

_TELLING = (": error: ", ": detail: ", ": hint: ")
"""What age and PostgreSQL's tools begin the lines with that say why; others tell what they were about."""


async def run_program(
    *command: str,
    source: IO[bytes] | int = asyncio.subprocess.DEVNULL,
    target: IO[bytes] | int | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Raises CommandFailed with its complaint unless it ends with 0. It does not outlive whoever waits for it."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=source, stdout=target, stderr=asyncio.subprocess.PIPE, env=environment
    )
    try:
        _, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise CommandFailed(f"{command[0]}: {_why(complaint) or process.returncode}")


def _why(complaint: bytes) -> str:
    said = complaint.decode("utf-8", "replace").strip().splitlines()
    telling = [line.partition(mark)[2] for line in said for mark in _TELLING if mark in line]
    return "; ".join(telling[:3]) or (said[-1] if said else "")


def told_to_postgresql(url: URL) -> tuple[str, dict[str, str]]:
    """A database as PostgreSQL's own programs are told of it: an argument and an environment. The password goes by the
    second: everybody on the machine can read the first."""
    query = {("sslmode" if key == "ssl" else key): value for key, value in url.query.items()}
    password = query.pop("password", url.password)
    told = {"host": url.host, "port": url.port, "user": url.username, "dbname": url.database, **query}
    connection = " ".join(f"{key}={_quoted(value)}" for key, value in told.items() if value)
    surroundings = dict(os.environ)  # noqa: TID251 (handed on to a child, not read)
    if password:
        surroundings["PGPASSWORD"] = str(password)
    return f"--dbname={connection}", surroundings


def _quoted(value: object) -> str:
    text = ",".join(value) if isinstance(value, tuple) else str(value)
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
