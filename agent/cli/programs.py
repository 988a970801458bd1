"""Other people's programs that a command runs: to their end, or ended with it."""

import asyncio
from collections.abc import Mapping
from typing import IO

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
