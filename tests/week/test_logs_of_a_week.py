"""What the daemon logs while everything happens: one JSON object a line, with the ids in force, and never a secret."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.programs import ROOT

PLAYING = """
import sys
from pathlib import Path
from storage.engines import engine_library

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


def play(folder: Path) -> tuple[list[str], list[str]]:
    """Log lines and secrets of a small week in a process of its own."""
    command = [sys.executable, "-c", PLAYING, str(folder)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stderr.splitlines(), ended.stdout.splitlines()


def test_every_line_is_one_json_object_that_names_its_job_and_no_secret_is_in_any_or_in_the_database(
    tmp_path: Path,
) -> None:
    lines, told = play(tmp_path)
    shown: list[dict[str, Any]] = [json.loads(line) for line in lines]
    assert len(shown) > 5
    assert all({"event", "level", "timestamp"} <= set(line) for line in shown)
    assert "batch" in {line["job"].partition(":")[0] for line in shown if "job" in line}
    secrets = [secret for secret in told if len(secret) >= 8]
    assert len(secrets) > 8
    assert [secret for secret in secrets if any(secret in line for line in lines)] == [], "nothing was masked here"
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("agent.db*"))
    assert [secret for secret in secrets if secret.encode() in kept] == []
