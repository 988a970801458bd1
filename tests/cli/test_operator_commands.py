"""The operator's commands against a real admin port: what they print, as lines and as JSON, and how they end."""

import csv
import json
import stat
from collections.abc import Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair
from sqlalchemy import Connection, update

from agent.cli import money_acts, operations, people_acts, user_import, work_acts
from agent.cli.client import CommandFailed
from storage import tables
from storage.operation.switches import SENDS_PAUSED, why_on
from storage.people import users
from storage.queues import Queue
from storage.work import claim, enqueue, park
from tests.cli.conftest import House
from tests.sales import START
from tests.web.shop import event


@pytest.fixture
def at_home(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """Commands find the house's daemon by their settings."""
    monkeypatch.setenv("AGENT_ADMIN_URL", house.access.url)
    monkeypatch.setenv("AGENT_ADMIN_TOKEN", house.access.token)
    return house


class Ran:
    """Runs commands in this process and keeps what they say."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    async def lines(self, command: Coroutine[Any, Any, int], code: int = 0) -> str:
        assert await command == code
        return self._capsys.readouterr().out

    async def json(self, command: Coroutine[Any, Any, int], code: int = 0) -> Any:
        return json.loads(await self.lines(command, code))


@pytest.fixture
def ran(capsys: pytest.CaptureFixture[str]) -> Ran:
    return Ran(capsys)


async def test_failed_work_is_set_going_again_one_by_one_and_all_at_once(at_home: House, ran: Ran) -> None:
    shop, now = at_home.shop, at_home.shop.clock.now()

    def spoil(conn: Connection) -> list[int]:
        people = [at_home.sales.user(conn, name, wallet=False) for name in ("Ada", "Ben", "Cy")]
        for user_id in people:
            enqueue(conn, "wallet", user_id, now)
        for claimed in claim(conn, Queue(tables.jobs, frozenset({"wallet"})), 100, "w", now, timedelta(minutes=1)):
            park(conn, claimed, "155219", "Circle\x1b[2J refused")
        return people

    ada, ben, cy = await shop.store.write(spoil)
    told = await ran.json(work_acts.retry_many("wallet", [ada, 999], as_json=True), 1)
    assert told["retried"] == [ada] and [one["code"] for one in told["refused"]] == ["user_not_found"]
    said = await ran.lines(work_acts.retry_many("wallet", None, as_json=False))
    assert said == "2 wallets set going again, 0 refused\n"
    assert {row["state"] for row in await shop.all(tables.jobs) if row["subject"] in map(str, (ada, ben, cy))} == {
        "due"
    }


async def test_deliveries_are_listed_and_worked_on_once_more_by_the_sender_s_id(at_home: House, ran: Ran) -> None:
    await at_home.shop.deliver(event(id="evt_1"))
    await at_home.shop.store.write(lambda conn: conn.execute(update(tables.stripe_events).values(state="done")))
    assert "evt_1" in await ran.lines(work_acts.show_events("stripe", "done", None, 5, as_json=False))
    replayed = await ran.json(work_acts.replay("stripe", "evt_1", as_json=True), 0)
    assert (replayed["event_id"], replayed["state"]) == ("evt_1", "due")
    with pytest.raises(CommandFailed, match="no delivery evt_2 of stripe is stored"):
        await work_acts.replay("stripe", "evt_2", as_json=False)
    with pytest.raises(CommandFailed, match="there is no delivery 77"):
        await work_acts.replay("stripe", "77", as_json=False)


async def test_a_batch_is_looked_at_approved_by_its_digest_paused_and_resumed(
    at_home: House, ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sell(conn: Connection) -> None:
        content = at_home.sales.content(conn, at_home.sales.user(conn, "Ada\x1b[31m"))
        at_home.sales.sold(conn, content, at_home.sales.user(conn, "Ben"), START)

    await at_home.shop.store.write(sell)
    await at_home.shop.planner.plan_off_cycle("schedule")
    assert "Batch 1 (offcycle:" in await ran.lines(money_acts.show_batches(5, as_json=False))
    plan = await ran.json(money_acts.show_plan(1, as_json=True))
    assert [item["amount"] for item in plan["items"]] == ["2.35"]
    shown = await ran.lines(money_acts.show_plan(1, as_json=False))
    assert plan["batch"]["digest"] in shown and "Ada" in shown and "\x1b" not in shown
    assert await money_acts.approve(1, None, as_json=False) == money_acts.NOBODY_TO_ASK
    with pytest.raises(CommandFailed, match="another digest"):
        await money_acts.approve(1, "0" * 64, as_json=False)
    approved = await ran.json(money_acts.approve(1, plan["batch"]["digest"], as_json=True))
    assert approved["approved_by"] == ["schedule", "approver"]
    assert (await ran.json(money_acts.pause(1, "a doubt", as_json=True)))["pause_reason"] == "a doubt"
    assert (await ran.json(money_acts.resume(1, as_json=True)))["paused"] is False
    with pytest.raises(CommandFailed, match="there is no batch 9"):
        await money_acts.pause(9, "a doubt", as_json=False)
    await at_home.shop.store.write(lambda conn: conn.execute(update(tables.batches).values(status="settled")))
    with pytest.raises(CommandFailed, match="batch 1 is settled: nothing of it is sent any more"):
        await money_acts.pause(1, "a doubt", as_json=False)
    monkeypatch.setenv("AGENT_ADMIN_TOKEN", "admin-viewer")
    with pytest.raises(CommandFailed, match="this token may not do that"):
        await money_acts.resume(1, as_json=False)


async def test_all_sends_are_stopped_with_a_reason_and_go_on(at_home: House, ran: Ran) -> None:
    assert "All sends are paused: a doubt" in await ran.lines(money_acts.pause_sends("a doubt", as_json=False))
    assert await at_home.shop.store.read(lambda conn: why_on(conn, SENDS_PAUSED)) == "a doubt"
    assert "ALL SENDS ARE PAUSED: a doubt" in await ran.lines(operations.show_status(as_json=False))
    assert await ran.json(money_acts.pause_sends("another", as_json=True)) == {"paused": "another"}
    with pytest.raises(CommandFailed, match="reason"):
        await money_acts.pause_sends("", as_json=False)
    assert "Sends go on." in await ran.lines(money_acts.resume_sends(as_json=False))
    assert await at_home.shop.store.read(lambda conn: why_on(conn, SENDS_PAUSED)) is None
    assert await ran.json(money_acts.resume_sends(as_json=True)) == {"paused": None}


async def test_the_treasury_tells_what_monday_needs_and_what_a_sale_leaves(at_home: House, ran: Ran) -> None:
    def sell(conn: Connection) -> None:
        sales = at_home.sales
        content, buyer = sales.content(conn, sales.user(conn, "Ada")), sales.user(conn, "Ben")
        for _ in range(3):
            sales.sold(conn, content, buyer, START)
        sales.deposit(conn, 2_000_000)

    await at_home.shop.store.write(sell)
    told = await ran.json(money_acts.show_treasury(28, as_json=True))
    outlook, costs = told["outlook"], told["costs"]
    assert outlook["monday"] == "2026-11-30T09:00:00Z" and outlook["convert_by"] == "2026-11-28T09:00:00Z"
    assert (outlook["owed"], outlook["wallet_usdc"], outlook["to_convert_known"]) == ("7.05", "2.00", "5.05")
    assert told["treasury"]["to_convert"] == "5.05", "as `distribute_usdc_batch --dry-run` says"
    assert outlook["lamports_per_sale"] == 5_115_000 and outlook["sales_per_week"] == 1
    assert (costs["sales"], costs["platform"], costs["minted"]) == (3, "0.78", 3)
    assert (costs["network_lamports"], costs["margin"]) == (15_345_000, "-2.22")
    lines = await ran.lines(money_acts.show_treasury(28, as_json=False))
    assert "USDC by Sat 2026-11-28 09:00 UTC" in lines and "15345000 lamports" in lines
    at_home.shop.clock.pass_(days=6)
    assert "USDC since Sat 2026-11-28 09:00 UTC" in await ran.lines(money_acts.show_treasury(28, as_json=False))


async def test_a_token_is_made_listed_and_ended(at_home: House, ran: Ran) -> None:
    made = await ran.json(people_acts.make_token("Ada", "operator", 7, as_json=True))
    listed = await ran.lines(people_acts.show_tokens(as_json=False))
    assert "Ada" in listed and "operator" in listed and made["secret"] not in listed
    ended = await ran.json(people_acts.revoke(made["token"]["id"], as_json=True))
    assert ended["valid"] is False
    assert "revoked" in await ran.lines(people_acts.show_tokens(as_json=False))
    with pytest.raises(CommandFailed, match="there is no such token"):
        await people_acts.revoke(999, as_json=False)
    with pytest.raises(CommandFailed, match="--name: String should match"):
        await people_acts.make_token("../x\n", "viewer", 7, as_json=False)


async def test_invites_are_listed_by_their_notes_and_what_is_left_of_them(at_home: House, ran: Ran) -> None:
    codes = [
        (await ran.json(operations.make_invite(uses, note, as_json=True)))["code"]
        for uses, note in ((3, "for Ada"), (None, "for all"))
    ]
    await at_home.shop.store.write(lambda conn: [users.ensure_invite(conn, f"code-{n}", 1, START) for n in range(100)])
    listed = await ran.json(people_acts.show_invites(as_json=True))
    assert len(listed["items"]) == 103
    assert [(one["note"], one["uses_left"]) for one in listed["items"][-3:-1]] == [("for all", None), ("for Ada", 3)]
    lines = await ran.lines(people_acts.show_invites(as_json=False))
    assert "for Ada" in lines and "unlimited" in lines
    assert not any(code in lines for code in codes)


GOOD = [str(Keypair.from_seed(bytes([number] * 32)).pubkey()) for number in (1, 2, 3)]
MINT = "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU"


def users_file(folder: Path, *extra: str) -> Path:
    lines = [
        "email,username,wallet_provider,wallet_address,web3auth_sub",
        f"ada@example.com,Ada,web3auth,{GOOD[0]},google-oauth2|1",
        f"BEN@example.com,,external,{GOOD[1]},",
        *extra,
    ]
    file = folder / "users.csv"
    file.write_text("\ufeff" + "\r\n".join(lines) + "\r\n", "utf-8")
    return file


async def test_users_from_before_come_over_once_and_can_sign_in(at_home: House, ran: Ran, tmp_path: Path) -> None:
    file, passwords = users_file(tmp_path), tmp_path / "first.csv"
    looked = await ran.lines(user_import.run(user_import.Wishes(file, None, True, False, False)))
    assert looked == "2 users to import, 0 bad lines. Dry run: nothing was changed.\n"
    assert await at_home.shop.rows(tables.users) == 0 and not passwords.exists()
    wishes = user_import.Wishes(file, passwords, False, False, False)
    assert "Imported 2 users" in await ran.lines(user_import.run(wishes))
    assert stat.S_IMODE(passwords.stat().st_mode) == 0o600
    people = {row["email"]: row for row in await at_home.shop.all(tables.users)}
    ada, ben = people["ada@example.com"], people["ben@example.com"]
    assert (ada["wallet_provider"], ada["wallet_address"], ada["web3auth_sub"]) == (
        "web3auth",
        GOOD[0],
        "google-oauth2|1",
    )
    assert (ben["username"], ben["wallet_provider"], ben["wallet_state"]) == ("ben", "external", "none")
    with passwords.open(newline="") as opened:
        for row in csv.DictReader(opened):
            signed_in = await at_home.shop.send(
                "POST", "/api/auth/login/", {"email": row["email"], "password": row["password"]}
            )
            assert signed_in.status == 200
    again = user_import.Wishes(file, tmp_path / "second.csv", False, False, True)
    assert (await ran.json(user_import.run(again)))["counts"] == {"known": 2}
    with pytest.raises(CommandFailed, match="File exists"):
        await user_import.run(wishes)
    assert [row["action"] for row in await at_home.shop.all(tables.audit_log)] == ["bring_over"] * 2


async def test_each_bad_line_is_told_with_its_number_and_stops_all_unless_it_is_skipped(
    at_home: House, ran: Ran, tmp_path: Path
) -> None:
    file = users_file(
        tmp_path,
        f"not-an-address,X,external,{GOOD[2]},",
        f"cy@example.com,Cy,metamask,{GOOD[2]},",
        "dan@example.com,Dan,external,nonsense,",
        f"eve@example.com,Eve,external,{MINT},",
        f"Ada@example.com,Ada,external,{GOOD[2]},",
        "",
        f"fay@example.com,Fay,web3auth,{GOOD[2]},google-oauth2|1",
    )
    wishes = user_import.Wishes(file, tmp_path / "first.csv", False, False, True)
    told = await ran.json(user_import.run(wishes), 1)
    assert told["outcome"] == "looked" and await at_home.shop.rows(tables.users) == 0
    bad = {row["line"]: (row["field"], row["code"]) for row in told["rows"] if row["outcome"] == "refused"}
    assert bad == {
        4: ("email", "email_invalid"),
        5: ("wallet_provider", "provider_unknown"),
        6: ("wallet_address", "invalid_address"),
        7: ("wallet_address", "address_is_program_or_mint"),
        8: ("email", "twice"),
        10: ("web3auth_sub", "twice"),
    }
    skipping = user_import.Wishes(file, tmp_path / "first.csv", False, True, False)
    lines = await ran.lines(user_import.run(skipping), 1)
    assert "Imported 2 users, 6 bad lines" in lines and "line 2 has this email too" in lines
    assert await at_home.shop.rows(tables.users) == 2


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "missing column 'email'"),
        ("email,phone\n", "unknown column 'phone'"),
        ("email,email,wallet_address\n", "double column 'email'"),
        ("email,wallet_address\na@b.example\n", "line 2: 1 cells"),
        ('email,wallet_address\n"a@b.example,x\n', "not valid CSV"),
    ],
)
def test_a_file_of_another_kind_is_refused_before_anything_is_asked(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "users.csv"
    file.write_text(text)
    with pytest.raises(CommandFailed, match=why):
        user_import.read_rows(file)
