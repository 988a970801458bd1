"""The process before the internet as its operator sees it: scraped, drawn, and told of when it is away."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import URL

from config.intake_access import load_intake_access
from ports.system import SystemClock
from tests.databases import PostgresServer
from tests.deploy.monitors import free_port, watching
from tests.deploy.test_key_split import VALID, intake, status
from tests.deploy.test_monitoring import all_panels_have_data, heard
from tests.programs import needs
from tests.web.shop import SECRET, event, signed_by

WEBHOOK = "/api/checkout/webhook/"
JOB = "payment-agent-intake"
STORED, TWICE, FORGED = 3, 2, 4


@pytest.fixture
async def environment(postgres_server: PostgresServer, postgres_url: URL) -> dict[str, str]:
    url = await postgres_server.restricted(postgres_url, intake=True)
    return {
        "PATH": os.defpath,
        **VALID,
        "DATABASE_URL": url.render_as_string(hide_password=False),
        "AGENT_LISTEN": f"127.0.0.1:{free_port()}",
        "AGENT_INTAKE_METRICS_LISTEN": f"127.0.0.1:{free_port()}",
    }


def base(environment: Mapping[str, str]) -> str:
    return f"http://{environment['AGENT_LISTEN']}"


async def deliver(session: aiohttp.ClientSession, url: str) -> None:
    """Some that are new, the same again, and some that Stripe never signed."""
    for number, secret in [(n, SECRET) for n in range(STORED)] + [(n, SECRET) for n in range(TWICE)]:
        raw = event(id=f"evt_{number}")
        assert await status(session, "POST", url, raw, signed_by(secret, raw, SystemClock().now())) == 200
    for number in range(FORGED):
        assert await status(session, "POST", url, event(id=f"evt_{number}"), "t=1,v1=00") == 400


async def scraped(session: aiohttp.ClientSession, environment: Mapping[str, str]) -> dict[tuple[str, ...], float]:
    """Value by name, without our prefix, and the labels' values in the order of their names."""
    async with session.get(f"http://{environment['AGENT_INTAKE_METRICS_LISTEN']}/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        families = text_string_to_metric_families(await answer.text())
    return {
        (one.name.removeprefix("payment_agent_"), *(one.labels[label] for label in sorted(one.labels))): one.value
        for family in families
        for one in family.samples
    }


async def test_it_tells_what_it_took_how_long_that_took_and_how_late_its_loop_is(environment: dict[str, str]) -> None:
    async with intake(environment, base(environment)), aiohttp.ClientSession() as session:
        assert (await scraped(session, environment))["webhook_deliveries_total", "stored", "stripe"] == 0
        await deliver(session, base(environment) + WEBHOOK)
        async with asyncio.timeout(60):
            while (found := await scraped(session, environment))["event_loop_lag_seconds_count",] < 2:
                await asyncio.sleep(0.1)
        counted = {key[1]: value for key, value in found.items() if key[0] == "webhook_deliveries_total"}
        assert counted == {"stored": STORED, "duplicate": TWICE, "signature_invalid": FORGED, "unavailable": 0}
        assert found["webhook_answer_seconds_count",] == STORED + TWICE + FORGED
        assert found["http_answers_total", "POST", "200"] == STORED + TWICE
        assert found["store_transaction_seconds_count", "write"] == STORED + TWICE
        assert 0 < found["store_transaction_seconds_sum", "write"] <= found["webhook_answer_seconds_sum",]
        assert found["process_resident_memory_bytes",] > 0
        assert not [key for key in found if "gate" in key[0] or "balance" in key[0]], "alerts on the daemon would fire"
        url = f"http://{environment['AGENT_INTAKE_METRICS_LISTEN']}"
        async with session.get(f"{url}/metrics", headers={"Host": "evil.example"}) as answer:
            assert answer.status == 421
        assert await status(session, "POST", f"{url}{WEBHOOK}") == 404


async def test_a_port_for_the_scraper_that_is_taken_keeps_no_webhook_out(environment: dict[str, str]) -> None:
    taken = environment["AGENT_INTAKE_METRICS_LISTEN"]
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", int(taken.rsplit(":", 1)[1]))
    async with server, intake(environment, base(environment)), aiohttp.ClientSession() as session:
        await deliver(session, base(environment) + WEBHOOK)


@needs("prometheus", "prometheus-alertmanager")
async def test_prometheus_scrapes_it_every_panel_of_its_dashboard_has_data_and_its_end_is_told(
    environment: dict[str, str], tmp_path: Path
) -> None:
    async with watching(tmp_path, environment["AGENT_INTAKE_METRICS_LISTEN"], job=JOB) as monitors:
        await heard(monitors, "IntakeDown", "FIRING")
        async with intake(environment, base(environment)):
            await heard(monitors, "IntakeDown", "FIRING", "RESOLVED")
            await deliver(monitors.session, base(environment) + WEBHOOK)
            await all_panels_have_data(monitors, "intake")
        await heard(monitors, "IntakeDown", "FIRING", last=True)
        assert not any("error expanding" in text for text in monitors.chat.texts)


async def test_on_a_network_of_its_own_it_answers_a_scraper_that_calls_it_by_a_name_it_is_told(
    environment: dict[str, str],
) -> None:
    port = environment["AGENT_INTAKE_METRICS_LISTEN"].rsplit(":", 1)[1]
    beyond = {
        "AGENT_INTAKE_METRICS_LISTEN": f"0.0.0.0:{port}",
        "AGENT_ALLOW_PUBLIC_ADMIN": "true",
        "AGENT_ADMIN_HOSTS": f"intake:{port}",
    }
    async with intake(environment | beyond, base(environment)), aiohttp.ClientSession() as session:
        for host, expected in ((f"intake:{port}", 200), ("intake", 421), (f"other:{port}", 421)):
            async with session.get(f"http://127.0.0.1:{port}/metrics", headers={"Host": host}) as answer:
                assert answer.status == expected, host


def test_it_is_scraped_on_loopback_unless_it_is_told_not_to_be() -> None:
    assert load_intake_access(VALID).metrics_listen == "127.0.0.1:8082"
    assert load_intake_access(VALID | {"AGENT_INTAKE_METRICS_LISTEN": ""}).metrics_listen == ""
