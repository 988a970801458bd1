"""The process before the internet, on a real PostgreSQL: it stores Stripe's events, and has no key that moves money."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from sqlalchemy import URL, select, text
from sqlalchemy.exc import ProgrammingError

from config.intake_access import MUST_NOT_HAVE, load_intake_access
from config.settings import SettingsError
from ports.system import SystemClock
from storage.engines.postgres import PostgresStore
from storage.tables import stripe_events
from tests.databases import PostgresServer
from tests.deploy.monitors import free_port
from tests.programs import ROOT
from tests.web.shop import SECRET, event, signed_by

VALID = {
    "STRIPE_WEBHOOK_SECRET": SECRET,
    "DATABASE_URL": "postgresql://intake:secret@db.example/agent",
    "CIRCLE_W3S_PRODUCTION": "false",
}
START_SECONDS = 90.0


@asynccontextmanager
async def intake(environment: Mapping[str, str], base: str) -> AsyncIterator[int]:
    """`python main.py intake`, ready, ended by SIGTERM; its process id."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "main.py", "intake"), cwd=ROOT, env=environment, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(START_SECONDS), aiohttp.ClientSession() as session:
            while await status(session, "GET", f"{base}/readyz") != 200:
                assert process.returncode is None, "the intake ended at its start"
                await asyncio.sleep(0.05)
        yield process.pid
        process.terminate()
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def status(session: aiohttp.ClientSession, method: str, url: str, body: bytes = b"", signature: str = "") -> int:
    try:
        async with session.request(method, url, data=body, headers={"Stripe-Signature": signature}) as answer:
            return answer.status
    except aiohttp.ClientError:
        return 0


async def test_the_process_before_the_internet_stores_what_stripe_signed_and_holds_no_key(
    postgres_server: PostgresServer, postgres_url: URL
) -> None:
    url, base = await postgres_server.restricted(postgres_url, intake=True), f"http://127.0.0.1:{free_port()}"
    environment = {
        "PATH": os.defpath,
        **VALID,
        "DATABASE_URL": url.render_as_string(hide_password=False),
        "AGENT_LISTEN": base.removeprefix("http://"),
        "AGENT_INTAKE_METRICS_LISTEN": "",
    }
    raw, now = event(), SystemClock().now()
    async with intake(environment, base) as pid, aiohttp.ClientSession() as session:
        webhook = f"{base}/api/checkout/webhook/"
        assert await status(session, "POST", webhook, raw, signed_by(SECRET, raw, now)) == 200
        assert await status(session, "POST", webhook, raw, signed_by("whsec_other", raw, now)) == 400
        for path in ("/api/content/", "/api/circle/webhook/", "/admin/api/status", "/metrics", "/console/"):
            assert await status(session, "GET", f"{base}{path}") == 404, path
        held = Path(f"/proc/{pid}/environ").read_bytes().decode()
        assert not [name for name in MUST_NOT_HAVE if name in held]
    daemon = PostgresStore(postgres_url)
    await daemon.start()
    (row,) = await daemon.read(lambda conn: conn.execute(select(stripe_events.c.body, stripe_events.c.state)).all())
    await daemon.stop()
    assert row == (raw, "due")
    await can_do_nothing_else(url)


async def can_do_nothing_else(url: URL) -> None:
    store = PostgresStore(url)
    await store.start()
    for statement in (
        "SELECT password_hash FROM users",
        "UPDATE stripe_events SET state = 'done'",
        "DELETE FROM stripe_events",
        "INSERT INTO jobs (kind, subject) VALUES ('transfer', '1')",
    ):
        with pytest.raises(ProgrammingError) as refused:
            await store.write(lambda conn, statement=statement: conn.execute(text(statement)))  # type: ignore[misc]
        assert refused.value.orig.sqlstate == "42501", statement  # type: ignore[union-attr]
    await store.stop()


@pytest.mark.parametrize("name", MUST_NOT_HAVE)
def test_with_a_key_at_hand_that_moves_money_the_intake_does_not_start(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("canary", encoding="utf-8")
    for given in ({name: "canary"}, {f"{name}_FILE": str(tmp_path / name)}, {"CREDENTIALS_DIRECTORY": str(tmp_path)}):
        with pytest.raises(SettingsError, match=f"{name}: the intake must not have this key"):
            load_intake_access(VALID | given)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"DATABASE_URL": "sqlite:///data/agent.db"}, "DATABASE_URL: the intake shares a PostgreSQL"),
        ({"DATABASE_URL": ""}, "DATABASE_URL: is not set"),
        ({"STRIPE_WEBHOOK_SECRET": "sk_test_1"}, "STRIPE_WEBHOOK_SECRET: one or more"),
        ({"AGENT_LISTEN": "8080"}, "AGENT_LISTEN: an address"),
        ({"AGENT_LISTEN": "127.0.0.1:99999"}, "AGENT_LISTEN: an address"),
        ({"AGENT_INTAKE_METRICS_LISTEN": "8082"}, "AGENT_INTAKE_METRICS_LISTEN: a loopback address"),
        ({"AGENT_INTAKE_METRICS_LISTEN": "0.0.0.0:8082"}, "AGENT_INTAKE_METRICS_LISTEN: a loopback address"),
        ({"AGENT_INTAKE_METRICS_LISTEN": "127.0.0.1:99999"}, "AGENT_INTAKE_METRICS_LISTEN: a loopback address"),
        (
            {"AGENT_INTAKE_METRICS_LISTEN": "0.0.0.0:99999", "AGENT_ALLOW_PUBLIC_ADMIN": "true"},
            "AGENT_INTAKE_METRICS_LISTEN: a loopback address",
        ),
        (
            {"AGENT_INTAKE_METRICS_LISTEN": "0.0.0.0:8082", "AGENT_ALLOW_PUBLIC_ADMIN": "yes"},
            "AGENT_ALLOW_PUBLIC_ADMIN: is true or false",
        ),
        ({"CIRCLE_W3S_PRODUCTION": "yes"}, "CIRCLE_W3S_PRODUCTION: is true or false"),
    ],
)
def test_a_wrong_setting_of_the_intake_is_named_with_its_remedy(changed: dict[str, str], why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        load_intake_access(VALID | changed)
