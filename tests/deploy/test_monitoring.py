"""The operator's night for real: Debian's Prometheus scrapes the daemon in the sandbox, and alerts reach a chat."""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from rich.console import Console
from solders.pubkey import Pubkey

from agent.cli.children import run_command, running_daemon
from sandbox.handover import ACCESS_FILE
from sandbox.week.access import Access
from sandbox.week.plan import plan_week
from sandbox.week.player import Finished, Week
from sandbox.week.stages import Stages
from sandbox.week.wire import Wire
from sandbox.world import World, WorldOptions, running_world
from tests.deploy.monitors import Monitors, watching
from tests.deploy.test_alerts import OURS, RECORDED, rules, series_names
from tests.programs import ROOT, needs

DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
TOKEN = "a-token-for-the-scraper-that-may-only-look"
SOON_SECONDS = 60.0
FAST_SLOTS_MS = 40
COLUMNS = 24


def panels(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["panels"]
    return found


def queries(*dashboards: str) -> Iterator[tuple[str, str]]:
    """Panel and expression, as Grafana would send it."""
    for path in DASHBOARDS:
        if path.stem not in dashboards:
            continue
        for panel in panels(path):
            for target in panel.get("targets", []):
                yield f"{path.stem}: {panel['title']}", target["expr"].replace("$__rate_interval", "1m")


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_lie_in_rows_without_overlap_or_gap_and_say_what_they_show(path: Path) -> None:
    taken: set[tuple[int, int]] = set()
    titles = [panel["title"] for panel in panels(path)]
    assert len(set(titles)) == len(titles)
    for panel in panels(path):
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert cells & taken == set() and place["x"] + place["w"] <= COLUMNS, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["fieldConfig"]["defaults"]["unit"] and panel["targets"], panel["title"]
    assert len(taken) == COLUMNS * (max(y for _, y in taken) + 1), "there is a hole"


def test_dashboards_use_the_provisioned_source_and_metrics_that_exist() -> None:
    recorded = {rule["record"] for rule in rules("recording.rules.yml")}
    for path in DASHBOARDS:
        text = path.read_text(encoding="utf-8")
        assert set(OURS.findall(RECORDED.sub("", text))) - series_names() - {"payment_agent"} == set()
        assert set(RECORDED.findall(text)) <= recorded
        assert all(panel["datasource"]["uid"] == "prometheus" for panel in panels(path) if "targets" in panel)


@needs("prometheus", "prometheus-alertmanager")
async def test_prometheus_scrapes_the_daemon_every_panel_has_data_and_alerts_arrive_once_and_resolve(
    tmp_path: Path,
) -> None:
    options = WorldOptions(tmp_path / "data", port_base=0, seed=3, slot_ms=FAST_SLOTS_MS, rsa_bits=2048)
    async with running_world(options) as world:
        target = world.admin_url.removeprefix("http://")
        async with watching(tmp_path, target, TOKEN) as monitors:
            settings = world.environment | {"AGENT_METRICS_TOKEN": TOKEN}
            async with running_daemon(settings, f"{world.agent_url}/readyz", tmp_path / "daemon.log"):
                await heard(monitors, "PlatformUsdcLow", "FIRING")
                await play(world, monitors.session)
                await asked(world, monitors.session, "backups")
                await asked(world, monitors.session, "reconciliations")
                world.node.mint_usdc(Pubkey.from_string(world.platform.address), 600_000_000)
                await heard(monitors, "PlatformUsdcLow", "FIRING", "RESOLVED")
                await heard(monitors, "BackupOld", "FIRING", "RESOLVED")
                await all_panels_have_data(monitors, "money", "operation")
            await heard(monitors, "DaemonDown", "FIRING", last=True)
            assert monitors.chat.of("PlatformUsdcLow") == ["FIRING", "RESOLVED"]
            assert not any("error expanding" in text for text in monitors.chat.texts)
            assert any("/runbooks/platformusdclow.md" in text for text in monitors.chat.texts)


async def play(world: World, session: aiohttp.ClientSession) -> None:
    """Two sales, minted and paid out."""

    async def distribute(arguments: Sequence[str]) -> Finished:
        return await run_command(["distribute_usdc_batch", *arguments], world.environment)

    access = Access.read(world.options.data_dir / ACCESS_FILE)
    with Stages(Console(quiet=True)) as stages:
        outcome = await Week(access, plan_week(3, 2, 1), Wire(session), stages, distribute).play()
    assert outcome.violations == []


async def asked(world: World, session: aiohttp.ClientSession, what: str) -> None:
    """What a day brings by itself, asked for now."""
    headers = {"Authorization": f"Bearer {world.identity.admin_token}"}
    async with session.post(f"{world.admin_url}/admin/api/{what}", json={}, headers=headers) as answer:
        assert answer.ok, await answer.text()


async def heard(monitors: Monitors, alert: str, *states: str, last: bool = False) -> None:
    """Until the chat has these messages of an alert; with `last` the end of what it has counts."""

    async def is_heard() -> bool:
        found = monitors.chat.of(alert)
        return found[-len(states) :] == list(states) if last else found == list(states)

    await until(f"{alert} {states}", is_heard, lambda: monitors.chat.titles)


async def all_panels_have_data(monitors: Monitors, *dashboards: str) -> None:
    """Numbers, not only series: a quotient without anything below it is none."""
    for panel, expression in queries(*dashboards):

        async def has_data(expression: str = expression) -> bool:
            return any(math.isfinite(value) for _, value in await monitors.query(expression))

        await until(f"data for {panel}: {expression}", has_data, lambda: "")


async def until(what: str, holds: Callable[[], Awaitable[bool]], tell: Callable[[], object]) -> None:
    try:
        async with asyncio.timeout(SOON_SECONDS):
            while not await holds():
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"not in {SOON_SECONDS} s: {what}; {tell()}") from None
