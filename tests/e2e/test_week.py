"""The whole week with real processes and real sockets, on both databases, undisturbed and under kill -9."""

import asyncio
import json
import random
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import pytest
from rich.console import Console
from sqlalchemy import URL

from agent.cli.children import run_command, running_daemon
from sandbox.handover import ACCESS_FILE
from sandbox.week.access import Access
from sandbox.week.plan import plan_week
from sandbox.week.player import Finished, Week
from sandbox.week.report import Outcome
from sandbox.week.stages import Stages
from sandbox.week.wire import Wire
from sandbox.world import World, WorldOptions, running_world

FAST_SLOTS_MS = 40
"""Five times as fast as the real chain, so that finality takes 1.3 s."""
KILLS = 6
PORTS = 8


def free_port_base() -> int:
    """The first of a few neighbouring free ports; other tests take theirs from other ranges."""
    rng = random.Random()
    while True:
        base = rng.randrange(22_000, 31_000, PORTS)
        try:
            for port in range(base, base + PORTS):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return base


@pytest.fixture
def url_of(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    """None: the SQLite file in the data dir. On PostgreSQL the daemon has its own role, with the least rights."""
    if request.param == "sqlite":
        return None
    url: URL = request.getfixturevalue("daemon_url")
    return url.render_as_string(hide_password=False)


BOTH = [pytest.param("sqlite"), pytest.param("postgresql", marks=pytest.mark.soak)]
"""The everyday suite runs the command on SQLite; the kills below go over the whole loop on both."""
EVERYDAY = [("sqlite", "purchase"), ("postgresql", "creator")]
SOAK = [("sqlite", "creator"), ("postgresql", "purchase")]


@pytest.mark.parametrize("url_of", BOTH, indirect=True)
async def test_the_sandbox_command_plays_a_week_and_every_check_holds(url_of: str | None, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    data = tmp_path / "data"
    arguments = ["sandbox", "--once", "--purchases", "7", "--creators", "3", "--seed", "5", "--report", str(report)]
    arguments += ["--data-dir", str(data), "--port-base", str(free_port_base())]
    arguments += [] if url_of is None else ["--database-url", url_of]
    finished = await run_command(arguments, {})
    assert finished.exit_code == 0, finished.output
    told = json.loads(report.read_text())
    assert told["violations"] == []
    assert (told["purchases"], told["minted"], told["distributed"]) == (7, 7, 7)
    assert told["on_chain"]["nfts"] == 7
    assert told["on_chain"]["usdc_received"] == told["usdc_distributed"]
    assert told["ledger_sum"] == 0
    assert "Total purchases: 7" in finished.output
    assert "BREAKDOWN BY CREATOR:" in finished.output


@pytest.mark.soak
@pytest.mark.parametrize("rail", ["circle", "solana"])
async def test_a_real_time_week_is_paid_without_its_batch(rail: str, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    arguments = ["sandbox", "--once", "--purchases", "7", "--creators", "3", "--seed", "5", "--report", str(report)]
    arguments += ["--payout-mode", "realtime", "--rail", rail]
    arguments += ["--data-dir", str(tmp_path / "data"), "--port-base", str(free_port_base())]
    finished = await run_command(arguments, {})
    assert finished.exit_code == 0, finished.output
    told = json.loads(report.read_text())
    assert told["violations"] == []
    assert (told["distributed"], told["paid_in_real_time"]) == (7, 7)
    assert "Total purchases: 0" in finished.output


@pytest.mark.parametrize(
    ("url_of", "grouping"),
    [*EVERYDAY, *(pytest.param(*case, marks=pytest.mark.soak) for case in SOAK)],
    indirect=["url_of"],
)
async def test_kill_9_in_the_middle_of_the_week_ends_in_the_same_state(
    url_of: str | None, grouping: str, tmp_path: Path
) -> None:
    options = WorldOptions(
        tmp_path / "data",
        port_base=free_port_base(),
        seed=7,
        grouping=grouping,
        user_wallets="developer" if grouping == "creator" else "user",
        database_url=url_of,
        slot_ms=FAST_SLOTS_MS,
        rsa_bits=2048,
    )
    async with running_world(options) as world, aiohttp.ClientSession() as session:
        mortal = MortalDaemon(world, tmp_path / "daemon.log", random.Random(11))
        killer = asyncio.create_task(mortal.live_and_die(KILLS))
        try:
            outcome = await _play(world, session, purchases=9, creators=3)
        finally:
            killer.cancel()
            await asyncio.gather(killer, return_exceptions=True)
    assert outcome.violations == []
    assert outcome.report["distributed"] == 9
    assert mortal.kills >= 3, "the week was over before the daemon had died"


class MortalDaemon:
    """Starts the daemon, kills it with SIGKILL after a random while, starts it again; lets the last one live."""

    def __init__(self, world: World, log: Path, rng: random.Random) -> None:
        self._world, self._log, self._rng = world, log, rng
        self.kills = 0

    async def live_and_die(self, kills: int) -> None:
        ready = f"{self._world.agent_url}/readyz"
        while True:
            async with running_daemon(self._world.environment, ready, self._log) as process:
                if self.kills == kills:
                    await process.wait()
                    raise AssertionError(f"the daemon ended by itself: {self._log.read_text()[-3000:]}")
                await asyncio.sleep(self._rng.uniform(0.4, 2.5))
                process.send_signal(signal.SIGKILL)
                await process.wait()
                self.kills += 1


async def _play(world: World, session: aiohttp.ClientSession, purchases: int, creators: int) -> Outcome:
    async def distribute(arguments: Sequence[str]) -> Finished:
        """The command, run again by its operator while the daemon is down."""
        while True:
            finished = await run_command(["distribute_usdc_batch", *arguments], world.environment)
            if finished.exit_code != 1 or "not running" not in finished.output:
                return finished
            await asyncio.sleep(0.5)

    access = Access.read(world.options.data_dir / ACCESS_FILE)
    plan = plan_week(world.options.seed, purchases, creators)
    with Stages(Console(quiet=True)) as stages:
        return await Week(access, plan, Wire(session), stages, distribute).play()
