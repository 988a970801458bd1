"""The contract checks, played whole against the sandbox's services, which speak the same wire; a test is the person."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from solders.pubkey import Pubkey

from agent.cli.client import CommandFailed
from agent.cli.contracting import NOT_PASSED, Wishes, run
from agent.contract.check import Check, Finding, Result, Verdict
from agent.contract.report import DEFAULT_FILE, build_report, require_contract_report
from agent.contract.run import CHECKS
from agent.identity import StartRefused
from config.settings import Settings, load_settings
from sandbox.faults import Fault, Rule
from sandbox.service import Request
from sandbox.world import STRIPE_EVENTS, World, WorldOptions, running_world
from tests.config.environment import LIVE

SMALL_RSA_BITS = 2048
FAST_SLOTS_MS = 20
FUNDS = 5_000_000
"""5 USDC."""


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    options = WorldOptions(
        tmp_path / "world", port_base=0, rsa_bits=SMALL_RSA_BITS, slot_ms=FAST_SLOTS_MS, circle_limits="real"
    )
    async with running_world(options) as world:
        for name, value in world.environment.items():
            monkeypatch.setenv(name, value)
        yield world


async def nobody(_: str) -> bool:
    return False


async def a_buyer(wish: str) -> bool:
    """Does what the terminal asks for: opens the page, presses Pay."""
    found = re.search(r"http://\S+/c/pay/[^\s#?]+", wish)
    assert found is not None, wish
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{found[0]}/pay", data={"method": "card"}, allow_redirects=False) as answer,
    ):
        return answer.status < 400


async def _subscribe(world: World, events: list[str]) -> None:
    """As an operator would in Stripe's dashboard."""
    url = f"{world.access['stripe_api']}/v1/webhook_endpoints"
    headers = {"authorization": f"Bearer {world.access['stripe_secret_key']}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.get(url) as answer:
            (endpoint,) = (await answer.json())["data"]
        form = aiohttp.FormData([("enabled_events[]", event) for event in events])
        async with session.post(f"{url}/{endpoint['id']}", data=form) as answer:
            assert answer.status == 200


def _verdicts(report: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["verdict"] for check in report["checks"]}


async def test_every_check_runs_to_its_end_and_the_report_holds_the_answers(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.node.mint_usdc(Pubkey.from_string(world.platform.address), FUNDS)
    path = tmp_path / "reports" / "contract.json"
    code = await run(Wishes(path, (), show=False, as_json=True), a_buyer)
    out = capsys.readouterr().out
    report = json.loads(path.read_text())
    assert (code, json.loads(out), report["passed"]) == (0, report, True)
    verdicts = _verdicts(report)
    assert list(verdicts) == [check.name for check in CHECKS]
    skipped = {name for name, verdict in verdicts.items() if verdict != "pass"}
    assert skipped == {"circle.notifications", "circle.moves_nft", "circle_mint.account", "circle_mint.transfer"}
    assert path.stat().st_mode & 0o077 == 0
    answers = report["answers"]
    assert answers["fee_cents"] == 39
    assert answers["same_key_other_body"] == "refused: HTTP 403, code 156020"
    assert answers["insufficient"] == "HTTP 400, code 155258"
    assert (answers["uuid_v5_accepted"], answers["cosignature_kept"], answers["tx_hash_changed"]) == (
        False,
        True,
        False,
    )
    assert (answers["rate_limited"], answers["message_signature"]) == (True, "hex")
    assert "COMPLETE" in answers["states"] and answers["fee_payer_is_wallet"] is True
    with pytest.raises(StartRefused, match=r"was not made against https://api\.stripe\.com"):
        require_contract_report(_live(path))

    # What was skipped for want of a person's hand passes once it was done; the NFT is found again, not minted twice.
    world.node.airdrop(Pubkey.from_string(answers["holder_address"]), 10_000_000)
    endpoint = f"{world.environment['PUBLIC_BASE_URL']}/api/circle/webhook/"
    world.circle.custody.notifier.subscribe(endpoint, ["transactions.*", "challenges.*"])
    await run(Wishes(None, ("circle.notifications", "circle.moves_nft"), show=False, as_json=True), nobody)
    again = json.loads(capsys.readouterr().out)
    assert set(_verdicts(again).values()) == {"pass"}
    assert [one["found"] for one in again["checks"] if one["name"] == "chain.nft"] == [
        "there from an earlier run, reads back as planned"
    ]
    assert not Path(DEFAULT_FILE).exists(), "a choice of checks stores no report"


async def test_what_differs_is_named_with_the_way_to_mend_it_and_stops_live_only_where_it_must(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    switches = world.circle.custody.switches
    switches.sign_v1, switches.replay_returns_original, switches.insufficient_async = False, True, True
    names = ("stripe.fee", "circle.idempotency", "circle.insufficient", "circle.transfer", "circle.sign_v1")
    code = await run(Wishes(None, names, show=False, as_json=True), nobody)
    report = json.loads(capsys.readouterr().out)
    assert (code, report["passed"]) == (NOT_PASSED, False)
    verdicts = _verdicts(report)
    assert (verdicts["stripe.payment"], verdicts["stripe.fee"]) == ("skip", "skip")
    assert (verdicts["circle.transfer"], verdicts["circle.sign_v1"]) == ("skip", "fail")
    assert report["answers"]["same_key_other_body"] == "the old object"
    assert report["answers"]["insufficient"].startswith("FAILED")
    mends = {check["name"]: check["mend"] for check in report["checks"]}
    assert world.platform.address in mends["circle.transfer"]
    assert "v0" in mends["circle.sign_v1"]

    await _subscribe(world, [kind for kind in STRIPE_EVENTS if kind != "refund.failed"])
    await run(Wishes(None, ("stripe.webhook_endpoint",), show=False, as_json=True), nobody)
    (check,) = json.loads(capsys.readouterr().out)["checks"]
    assert (check["verdict"], check["found"]) == ("fail", "it is not told of refund.failed")

    await run(Wishes(None, ("circle.sign_v1",), show=False, as_json=False), nobody)
    shown = capsys.readouterr().out
    assert "no report is stored" in shown
    assert "✗ circle.sign_v1" in shown and "1 fail" in shown


async def test_circle_mint_is_asked_what_its_documents_leave_open_where_it_converts(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENT_CONVERSION", "circle_mint")
    for name in ("AGENT_CAP_CONVERSION", "AGENT_CAP_CONVERSION_DAY"):
        monkeypatch.setenv(name, "1000000")
    wishes = Wishes(None, ("circle_mint",), show=False, as_json=True)
    assert await run(wishes, nobody) == 0
    first = json.loads(capsys.readouterr().out)
    assert (_verdicts(first)["circle_mint.account"], _verdicts(first)["circle_mint.transfer"]) == ("pass", "skip")
    world.mint.handle(Request("POST", "/_sandbox/wire", body=b'{"usd": "5.00"}'))
    world.fronts[3].poke()
    async with asyncio.timeout(30):
        while not world.mint.books.available:
            await asyncio.sleep(0.05)
    assert await run(wishes, nobody) == 0
    second = json.loads(capsys.readouterr().out)
    assert _verdicts(second)["circle_mint.transfer"] == "pass"
    assert "code 409" in second["answers"]["mint_same_key_other_body"]
    assert len(world.mint.books.transfers) == 1


async def test_a_wrong_call_that_is_answered_401_keeps_no_later_check_back(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """The daemon would ask for nothing more than its key: here it was refused for another reason, on purpose."""
    body = b'{"code": 401, "message": "Malformed authorization."}'
    world.circle.faults.add(
        Rule("POST /v1/w3s/developer/walletSets", Fault.STATUS, times=2, skip=2, status=401, body=body)
    )
    names = ("circle.idempotency", "circle.key_v5", "circle.wallet", "circle.insufficient")
    assert await run(Wishes(None, names, show=False, as_json=True), nobody) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(_verdicts(report).values()) == {"pass"}
    answers = report["answers"]
    assert (answers["same_key_other_body"], answers["uuid_v5_code"]) == ("refused: HTTP 401, code 401", 401)
    assert answers["insufficient"] == "HTTP 400, code 155258"


async def test_no_secret_shows_when_every_key_is_wrong(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STRIPE_SECRET_KEY", "sk_test_0123456789abcdef0123456789abcdef")
    monkeypatch.setenv("CIRCLE_W3S_API_KEY", "TEST_API_KEY:00000000000000000000:11111111111111111111")
    code = await run(Wishes(None, ("stripe.key", "circle.key"), show=False, as_json=True), nobody)
    out = capsys.readouterr().out
    assert code == NOT_PASSED
    assert set(_verdicts(json.loads(out)).values()) == {"fail"}
    assert [secret for secret in load_settings().confidential if secret in out] == []


async def test_live_keys_are_refused_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in LIVE.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(CommandFailed, match="never run with live keys"):
        await run(Wishes(tmp_path / "report.json", (), show=False, as_json=False), nobody)
    assert not (tmp_path / "report.json").exists()


async def test_an_unknown_name_is_refused_and_the_list_asks_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandFailed, match="there is no check nothing"):
        await run(Wishes(None, ("nothing",), show=False, as_json=False), nobody)
    assert await run(Wishes(None, ("stripe.payment",), show=True, as_json=False), nobody) == 0
    assert "(needed, asks you)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("verdict", "needed", "starts"),
    [(Verdict.PASS, True, True), (Verdict.FAIL, False, True), (Verdict.FAIL, True, False), (Verdict.SKIP, True, False)],
)
def test_live_starts_only_with_a_report_of_the_real_services_in_which_all_that_is_needed_passed(
    tmp_path: Path, verdict: Verdict, needed: bool, starts: bool
) -> None:
    async def nothing(_: object) -> Finding:
        return Finding("")

    path = tmp_path / "report.json"
    result = Result(Check("a.check", "?", nothing, needed=needed), verdict, "found")
    path.write_text(json.dumps(build_report(_live(path), [result], datetime(2026, 11, 26, tzinfo=UTC))))
    if starts:
        require_contract_report(_live(path))
    else:
        with pytest.raises(StartRefused, match="AGENT_CONTRACT_REPORT"):
            require_contract_report(_live(path))


def _live(report: Path) -> Settings:
    return load_settings({**LIVE, "AGENT_CONTRACT_REPORT": str(report)})
