"""The commands as an operator runs them: processes of their own, in a sandbox world, with the daemon down and up."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil
import pytest

from agent.cli.sandbox_week import command_line
from sandbox.world import World, WorldOptions, running_world

ROOT = Path(__file__).parents[2]
START_SECONDS = 90.0
SMALL_RSA_BITS = 2048


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    out: str
    err: str


@asynccontextmanager
async def daemon(world: World) -> AsyncIterator[int]:
    """`python main.py run`, ready, and ended by SIGTERM; its process id."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "main.py", "run"),
        cwd=ROOT,
        env=environment(world),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(START_SECONDS), aiohttp.ClientSession() as session:
            while not await ready(session, world):
                assert process.returncode is None, "the daemon ended at its start"
                await asyncio.sleep(0.05)
        yield process.pid
        process.terminate()
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ready(session: aiohttp.ClientSession, world: World) -> bool:
    try:
        async with session.get(f"{world.admin_url}/readyz") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


def environment(world: World) -> dict[str, str]:
    return {"PATH": os.defpath, **world.environment}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    options = WorldOptions(tmp_path, port_base=0, rsa_bits=SMALL_RSA_BITS)
    async with running_world(options) as opened:
        yield opened


async def command(world: World, *arguments: str, **changed: str) -> Ended:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "main.py", *arguments),
        cwd=ROOT,
        env=environment(world) | changed,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    return await ended(process)


async def in_a_shell(line: str) -> Ended:
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", line),
        cwd=ROOT,
        env={"PATH": os.defpath},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    return await ended(process)


async def ended(process: asyncio.subprocess.Process) -> Ended:
    async with asyncio.timeout(START_SECONDS):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


@pytest.mark.timeout(360)  # fourteen processes, six of them at once
async def test_commands_work_alone_before_a_daemon_ran_with_it_and_after_it(world: World) -> None:
    upgraded = await command(world, "db", "upgrade", "--json")
    assert (upgraded.code, json.loads(upgraded.out)["before"]) == (0, None)
    made = await command(world, "token", "create", "--name", "Ada", "--role", "operator", "--json")
    ada = json.loads(made.out)["secret"]

    async with daemon(world) as pid:
        sockets = psutil.Process(pid).net_connections()
        assert {one.laddr.ip for one in sockets if one.status == "LISTEN"} == {"127.0.0.1"}
        listed, shown, verified, status, locked, paid = await asyncio.gather(
            command(world, "token", "list", "--json", AGENT_ADMIN_TOKEN=ada),
            command(world, "distribute_usdc_batch", "--dry-run"),
            command(world, "verify", "--json"),
            command(world, "status", "--json"),
            command(world, "db", "upgrade"),
            command(world, "distribute_usdc_batch", "--auto-confirm", "--wait", "--json"),
        )
        assert {row["name"] for row in json.loads(listed.out)["items"]} >= {"Ada", "settings"}
        assert (shown.code, shown.err) == (0, "")
        assert shown.out.startswith("Total purchases: 0\nTotal USDC to distribute: 0.00\nNumber of creators: 0\n")
        assert (verified.code, json.loads(verified.out)["outcome"]) == (0, "holds")
        assert status.code == 0 and json.loads(status.out)["start_gate_open"] in (True, False)
        assert locked.code == 1 and "another process" in locked.err
        assert (paid.code, json.loads(paid.out)["outcome"]) == (0, "nothing_to_pay")

    alone = await command(world, "distribute_usdc_batch", "--dry-run")
    assert (alone.code, alone.err) == (0, "")
    assert alone.out.splitlines()[-2:] == shown.out.splitlines()[-2:]
    assert "no daemon runs" in (await in_a_shell(command_line(world))).out, "what the sandbox tells people to type"
    by_hand = await command(world, "index", "backfill", "--all")
    assert (by_hand.code, by_hand.out.count("0 booked that were missing")) == (0, 1)
    standing = await command(world, "index", "status")
    assert standing.code == 0 and "SOL wallet" in standing.out and standing.out.count(": well, 0 slots behind") == 2
    assert "rules hold over" in (await command(world, "verify")).out
    unread = await command(world, "distribute_usdc_batch", "--dry-run", SOLANA_RPC_URLS="http://127.0.0.1:9")
    assert unread.code == 1 and unread.out == "" and "can't be read" in unread.err
