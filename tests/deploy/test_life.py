"""The process as systemd and Docker see it: ready, alive, gone within ten seconds, and nothing acknowledged is lost."""

import asyncio
import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest
from sqlalchemy import URL

from agent.cli.children import running_daemon
from agent.daemon import CUT_OFF
from config.settings import SECRET_NAMES
from ports.system import SystemClock
from sandbox.handover import DATABASE_FILE
from sandbox.stripe_service.webhooks import signature_header
from sandbox.world import World
from tests.cli.test_processes import ROOT, environment, ready, world
from tests.databases import PostgresServer
from tests.deploy.monitors import free_port
from tests.deploy.test_key_split import VALID, intake

__all__ = ["world"]
STOP_SECONDS = 10.0
SENDERS = 16


@pytest.fixture
def notices(tmp_path: Path) -> Iterator[socket.socket]:
    """The service manager's end of the channel."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.setblocking(False)
        yield channel


def heard(channel: socket.socket) -> list[str]:
    found = []
    try:
        while True:
            found.append(channel.recv(4096).decode())
    except BlockingIOError:
        return found


async def test_a_stop_under_load_is_over_in_ten_seconds_and_what_was_acknowledged_is_kept(
    world: World, notices: socket.socket, tmp_path: Path
) -> None:
    """Secrets come as systemd's credentials; the load is signed events from many senders until nobody answers, and a
    request that never ends."""
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    plain = dict(environment(world))
    for name in SECRET_NAMES & set(plain):
        (credentials / name).write_text(plain.pop(name), encoding="utf-8")
    plain |= {"CREDENTIALS_DIRECTORY": str(credentials), "NOTIFY_SOCKET": str(tmp_path / "notify")}
    process = await asyncio.create_subprocess_exec(*(sys.executable, "main.py", "run"), cwd=ROOT, env=plain)
    acknowledged: list[str] = []
    try:
        async with aiohttp.ClientSession() as session:
            async with asyncio.timeout(60):
                while not await ready(session, world):
                    assert process.returncode is None
                    await asyncio.sleep(0.05)
            senders = [asyncio.create_task(flood(session, world, number, acknowledged)) for number in range(SENDERS)]
            async with asyncio.timeout(60):
                while len(acknowledged) < 200:
                    await asyncio.sleep(0.01)
            half_a_request = await half_open(world)
            process.terminate()
            async with asyncio.timeout(STOP_SECONDS):
                assert await process.wait() == 0
            await asyncio.gather(*senders)
            half_a_request.close()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    told = heard(notices)
    assert told[0] == "READY=1" and "WATCHDOG=1" in told and told[-1] == "STOPPING=1"
    with closing(sqlite3.connect(world.options.data_dir / DATABASE_FILE)) as connection:
        stored = {row[0] for row in connection.execute("SELECT event_id FROM stripe_events")}
    assert set(acknowledged) <= stored


async def test_the_intake_tells_systemd_that_it_is_ready_alive_and_stopping(
    postgres_server: PostgresServer, postgres_url: URL, notices: socket.socket, tmp_path: Path
) -> None:
    url, base = await postgres_server.restricted(postgres_url, intake=True), f"http://127.0.0.1:{free_port()}"
    settings = {
        "PATH": os.defpath,
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
        **VALID,
        "DATABASE_URL": url.render_as_string(hide_password=False),
        "AGENT_LISTEN": base.removeprefix("http://"),
        "AGENT_INTAKE_METRICS_LISTEN": "",
    }
    async with intake(settings, base):
        pass
    told = heard(notices)
    assert told[0] == "READY=1" and "WATCHDOG=1" in told and told[-1] == "STOPPING=1"


async def test_behind_a_named_proxy_the_audit_log_of_a_daemon_says_who_called(world: World, tmp_path: Path) -> None:
    settings = world.environment | {"AGENT_TRUSTED_PROXIES": "127.0.0.1"}
    headers = {"Authorization": f"Bearer {world.identity.admin_token}", "X-Forwarded-For": "6.6.6.6, 198.51.100.1"}
    async with running_daemon(settings, f"{world.agent_url}/readyz", tmp_path / "daemon.log"):
        async with aiohttp.ClientSession(world.admin_url, headers=headers) as session:
            async with session.post("/admin/api/invites", json={}) as answer:
                assert answer.status == 201
            async with session.get("/admin/api/audit") as answer:
                (act,) = (await answer.json())["items"]
    assert (act["action"], act["remote"]) == ("invite", "198.51.100.1")


def test_a_stop_that_hangs_is_cut_off() -> None:
    """Here in a thread that the interpreter would wait for."""
    hanging = "import threading, time; from agent.daemon import leave_for_good; "
    hanging += "threading.Thread(target=time.sleep, args=(60,)).start(); leave_for_good(0.2)"
    ended = subprocess.run([sys.executable, "-c", hanging], cwd=ROOT, timeout=30, check=False)
    assert ended.returncode == CUT_OFF


async def half_open(world: World) -> asyncio.StreamWriter:
    """A request that never ends; it must not keep the daemon from ending."""
    _, writer = await asyncio.open_connection("127.0.0.1", world.ports.agent)
    writer.write(b"POST /api/auth/login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    return writer


async def flood(session: aiohttp.ClientSession, world: World, sender: int, acknowledged: list[str]) -> None:
    """Event after event until the connection is refused."""
    number = 0
    while True:
        number += 1
        event_id = f"evt_{sender}_{number}"
        event = {"id": event_id, "type": "customer.created", "livemode": False, "data": {"object": {}}}
        raw = json.dumps(event).encode()
        now = int(SystemClock().now().timestamp())
        headers = {"Stripe-Signature": signature_header([world.identity.stripe_webhook_secret], now, raw)}
        try:
            async with session.post(f"{world.agent_url}/api/checkout/webhook/", data=raw, headers=headers) as answer:
                if answer.status == 200:
                    acknowledged.append(event_id)
        except aiohttp.ClientError:
            return
