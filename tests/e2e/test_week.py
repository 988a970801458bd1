"""The whole week with real processes and real sockets, on both databases; under kill -9: tests/soak."""

import json
import random
import socket
from pathlib import Path

import pytest
from sqlalchemy import URL

from agent.cli.children import run_command

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
