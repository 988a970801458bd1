"""What the daemon logs, as a process of its own would: JSON lines on standard error, and no secret in any of them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from config.confidential import confidential_parts, masking
from config.settings import load_settings
from tests.config.environment import CANARY, ENTITY_SECRET, VALID

TELLING = """
import json, logging, sys
import structlog
from config.logs import configure_logging
from config.settings import load_settings

env = json.loads(sys.argv[1])
settings = load_settings(env)
configure_logging("INFO", settings.confidential, as_json=sys.argv[2] == "json")
log, foreign = structlog.get_logger("agent"), logging.getLogger("somebody.else")


class Telling:
    def __repr__(self):
        return f"<holds {SECRET}>"


for SECRET in [*settings.confidential, *env.values()]:
    log.info("plain " + SECRET, key=SECRET, number=7)
    log.info("nested", deep={"list": [SECRET, {"again": SECRET}], SECRET: "as a key"}, pair=(SECRET, 1))
    log.info("objects", thing=Telling(), raw=SECRET.encode(), error=ValueError(SECRET))
    foreign.warning("foreign %s %r", SECRET, {"k": SECRET})
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as inner:
            raise RuntimeError("at " + SECRET) from inner
    except RuntimeError:
        log.exception("failed")
        foreign.exception("failed too")
log.debug("not shown")
logging.getLogger("aiohttp.access").info("not shown")
log.info("the end", purchase="pi_3Example", amount=2_350_000)
"""


@pytest.fixture(params=["json", "console"])
def printed(request: pytest.FixtureRequest) -> str:
    process = subprocess.run(
        [sys.executable, "-c", TELLING, json.dumps(VALID), request.param],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == 0, process.stderr.replace(CANARY, "?")
    assert process.stdout == ""
    return process.stderr


def test_no_secret_reaches_a_log_line_in_any_disguise(printed: str) -> None:
    assert printed.count("***") > 100
    assert ENTITY_SECRET not in printed
    for line in printed.splitlines():
        assert CANARY not in line, line[:300]
    assert "not shown" not in printed
    assert "the end" in printed


def test_peers_defect_18_not_even_the_beginning_of_a_key_is_logged(printed: str) -> None:
    for secret in load_settings(VALID).confidential:
        assert secret[:30] not in printed or len(secret) < 8


def test_lines_are_json_with_time_level_and_ids() -> None:
    process = subprocess.run(
        [sys.executable, "-c", TELLING, json.dumps(VALID), "json"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = [json.loads(line) for line in process.stderr.splitlines()]
    assert all(line["timestamp"].endswith("Z") and line["level"] and line["logger"] for line in lines)
    assert lines[-1]["event"] == "the end"
    assert (lines[-1]["purchase"], lines[-1]["amount"]) == ("pi_3Example", 2_350_000)
    assert any("RuntimeError" in line.get("exception", "") for line in lines)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        ("sk_test_abc", ["sk_test_abc"]),
        ("sqlite:///data/agent.db", []),
        ("postgresql://agent:p%40ss@db.example/agent", ["p%40ss", "p@ss"]),
        ("cloudinary://123:secret@shop", ["secret"]),
        ("https://api.devnet.solana.com", []),
        ("https://rpc.example/?api-key=abc", ["abc"]),
        ("https://rpc.example/v2/0123456789abcdef/", ["0123456789abcdef"]),
        ("https://key-as-user@rpc.example", ["key-as-user"]),
        ("http://[", ["http://["]),
    ],
)
def test_of_an_address_only_its_keys_are_hidden(text: str, parts: list[str]) -> None:
    assert confidential_parts(text) == parts


def test_masking_hides_the_longest_secret_first_and_tears_no_short_word() -> None:
    pattern = masking(["secret-1", "secret-1-and-more", "as", 'with"quote'])
    assert pattern is not None
    assert pattern.sub("***", "was secret-1-and-more, secret-1") == "was ***, ***"
    assert pattern.sub("***", json.dumps({"k": 'with"quote'})) == '{"k": "***"}'
    assert masking(["short"]) is None
