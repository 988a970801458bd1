"""What the daemon logs while everything happens: one JSON object a line, with the ids in force, and never a secret."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.programs import ROOT

pytestmark = pytest.mark.xdist_group("logs of a week")
"""One worker plays the week once for all of them."""

PLAYING = """
import sys
from pathlib import Path
from storage import engine_library

engine_library.install()

from config.logs import configure_logging
from sandbox.service import Response
from tests.week.selling import DUE, Market
from tests.week.test_direct_alerts import CHAT_URL, SECRET_PATH, Chat
from tests.week.test_virtual_week import run_virtually
from tests.week.virtual_world import VirtualWorld

configure_logging("DEBUG", ())  # nothing is masked: a secret must not come so far


async def story():
    folder = Path(sys.argv[1])
    world = VirtualWorld(folder, AGENT_ALERT_WEBHOOK_URL=CHAT_URL + SECRET_PATH)
    world.transport.services[CHAT_URL] = Chat([Response(404, b"no_service")])
    shop = Market(world)
    await shop.open("ada", "eve")
    await shop.sell()
    await world.call("POST", "/api/checkout/webhook/", {"id": "evt_forged"})
    await world.call("POST", "/api/auth/login/", {"email": "buyer@example.com", "password": "a wrong guess of it"})
    await shop.plan()
    await world.stop()
    await world.start()
    shop.fund(2 * DUE)
    await shop.batch_is("settled")
    secrets = world.settings.confidential | {shop.buyer_token, "correct horse battery", "a wrong guess of it"}
    print("\\n".join(sorted(secrets)))
    await shop.close()


run_virtually(story())
"""


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[str], Path]:
    """Log lines, secrets, and the folder with the database of a small week in a process of its own."""
    folder = tmp_path_factory.mktemp("week")
    command = [sys.executable, "-c", PLAYING, str(folder)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stderr.splitlines(), ended.stdout.splitlines(), folder


def test_every_line_is_one_json_object_with_its_time_its_level_and_the_job_it_belongs_to(
    played: tuple[list[str], list[str], Path],
) -> None:
    lines: list[dict[str, Any]] = [json.loads(line) for line in played[0]]
    assert len(lines) > 5
    assert all({"event", "level", "timestamp"} <= set(line) for line in lines)
    assert "batch" in {line["job"].partition(":")[0] for line in lines if "job" in line}


def test_no_secret_is_in_any_line_even_without_the_mask(played: tuple[list[str], list[str], Path]) -> None:
    lines, secrets, _ = played
    told = [secret for secret in secrets if len(secret) >= 8]
    assert len(told) > 8
    assert [secret for secret in told if any(secret in line for line in lines)] == []


def test_no_secret_is_in_the_database(played: tuple[list[str], list[str], Path]) -> None:
    _, secrets, folder = played
    kept = b"".join(path.read_bytes() for path in folder.glob("agent.db*"))
    assert [secret for secret in secrets if len(secret) >= 8 and secret.encode() in kept] == []
