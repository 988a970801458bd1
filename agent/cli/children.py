"""The daemon and the batch command as processes of their own, ended by the handle they were started with."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from sandbox.week.player import Finished

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 60.0
PROBE_SECONDS = 0.2
STOP_SECONDS = 20.0
"""Longer than the daemon gives its own running requests and steps."""
LOG_TAIL_LINES = 25
STRAY_NAMES = ("AGENT_CONFIG", "CREDENTIALS_DIRECTORY")
"""Settings from elsewhere that would contradict those given by name."""


class DaemonFailed(Exception):
    """The daemon ended, or never became ready; the text has its last words."""


@asynccontextmanager
async def running_daemon(
    settings: Mapping[str, str], ready_url: str, log: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python main.py run`, ready. Its output goes to `log`. Raises DaemonFailed."""
    with log.open("ab") as output:
        process = await _start(["run"], settings, output.fileno(), output.fileno())
    try:
        await _until_ready(process, ready_url, log)
        yield process
    finally:
        await _end(process)


async def run_command(arguments: Sequence[str], settings: Mapping[str, str]) -> Finished:
    """A command of main.py without a terminal, to its end."""
    process = await _start(arguments, settings, asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT)
    try:
        output, _ = await process.communicate()
    finally:
        await _end(process)
    return Finished(process.returncode or 0, output.decode("utf-8", "replace").rstrip())


async def _start(
    arguments: Sequence[str], settings: Mapping[str, str], stdout: int, stderr: int
) -> asyncio.subprocess.Process:
    """In a session of its own: Ctrl-C reaches the parent, which ends its children in order."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "main.py"),
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        env=_surroundings() | dict(settings),
        start_new_session=True,
    )


def _surroundings() -> dict[str, str]:
    inherited = os.environ  # noqa: TID251 (handed on to a child, not read)
    return {
        name: value
        for name, value in inherited.items()
        if name not in STRAY_NAMES and not name.endswith("_SECRET_FILE")
    }


async def _until_ready(process: asyncio.subprocess.Process, ready_url: str, log: Path) -> None:
    try:
        async with asyncio.timeout(READY_SECONDS), aiohttp.ClientSession() as session:
            while process.returncode is None:
                if await _answers(session, ready_url):
                    return
                await asyncio.sleep(PROBE_SECONDS)
    except TimeoutError:
        raise DaemonFailed(f"the daemon was not ready after {READY_SECONDS:.0f} s:\n{_tail(log)}") from None
    raise DaemonFailed(f"the daemon ended with {process.returncode}:\n{_tail(log)}")


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


def _tail(log: Path) -> str:
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-LOG_TAIL_LINES:])


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
