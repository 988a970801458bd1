"""The lines that people read and scripts parse."""

from datetime import UTC, datetime
from typing import Any

import pytest

from agent.cli import index_commands, texts
from agent.web.admin.batch_bodies import BatchRow, CreatorPart, LeftOut, Preview
from agent.web.admin.treasury_bodies import Balance, Treasury
from agent.web.admin.work_bodies import Status, WorkItem, WorkPage
from agent.web.index_bodies import IndexStatus
from agent.web.payout_way import PayoutWay

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def preview(**changes: Any) -> Preview:
    values: dict[str, Any] = {
        "total_purchases": 9,
        "total_usdc": "30.85",
        "number_of_creators": 2,
        "creators": [
            CreatorPart(creator_id=1, name="Ada", amount="28.50", purchases=8),
            CreatorPart(creator_id=2, name="Benjamin", amount="2.349999", purchases=1),
        ],
        "left_out": [],
        "wallet_usdc": "500.00",
        "wallet_sol": "2.50",
        "free_usdc": "469.15",
        "to_convert": "0.00",
    }
    return Preview(**{**values, **changes})


def batch(**changes: Any) -> BatchRow:
    values: dict[str, Any] = {
        "id": 3,
        "uuid": "0b6cbb5c-6f43-4f0f-8d5e-0d5a7f8f3b11",
        "key": "offcycle:0b6cbb5c",
        "status": "planned",
        "paused": False,
        "cutoff_at": NOW,
        "grouping": "purchase",
        "rail": "circle",
        "payout_count": 3,
        "planned_amount": "7.05",
        "approved_by": ["settings"],
        "digest": None,
        "pause_reason": None,
        "settled_at": None,
        "created_at": NOW,
        "payouts": {"pending_distribution": 1, "distributed": 1, "failed": 1},
        "unpaid": "7.05",
        "uncovered": "2.35",
        "need": "7.05",
        "short": "2.35",
    }
    return BatchRow(**{**values, **changes})


def test_the_report_has_the_lines_of_the_contract_in_their_order() -> None:
    assert texts.preview_lines(preview()) == [
        "Total purchases: 9",
        "Total USDC to distribute: 30.85",
        "Number of creators: 2",
        "",
        "BREAKDOWN BY CREATOR:",
        "  Ada          $28.50 USDC  (8 purchases)",
        "  Benjamin  $2.349999 USDC  (1 purchase)",
        "",
        "Platform wallet: 500.00 USDC, 2.50 SOL",
        "Still to convert: 0.00 USDC",
    ]


def test_who_is_left_out_is_told_with_the_reason() -> None:
    left = [LeftOut(creator_id=3, name="Cy", amount="2.35", purchases=1, reason="has no wallet yet")]
    lines = texts.preview_lines(preview(creators=[], left_out=left, total_purchases=0))
    assert "BREAKDOWN BY CREATOR:" not in lines
    assert "  Cy  $2.35 USDC  (1 purchase)  has no wallet yet" in lines


@pytest.mark.parametrize(
    "name",
    ["\x1b[31mred\x1b[0m", "two\nlines\r", "\u202eevil", "[bold]markup[/bold]", "tab\there", "\ud83d", "x" * 5_000],
)
def test_a_name_can_not_move_the_cursor_or_fake_a_line(name: str) -> None:
    [line] = [line for line in texts.preview_lines(preview(creators=[part(name)])) if "$1.00" in line]
    assert line.isprintable()
    assert len(line) < 300


def part(name: str) -> CreatorPart:
    return CreatorPart.model_construct(creator_id=1, name=name, amount="1.00", purchases=1)


def test_markup_in_a_name_is_printed_as_it_is() -> None:
    assert texts.plain("[bold]Ada[/bold]") == "[bold]Ada[/bold]"
    assert texts.plain("Åsa Öberg 天") == "Åsa Öberg 天"


def test_a_shortage_says_need_have_and_short_in_usdc() -> None:
    assert texts.shortage_line(batch()).startswith("InsufficientBalanceError: need 7.05, have 4.70, short 2.35 USDC")


def test_a_batch_is_one_line() -> None:
    line = texts.batch_line(batch(paused=True))
    assert line == "Batch 3 (offcycle:0b6cbb5c): planned, paused, 7.05 USDC in 3 payouts, 1 of 3 paid, 1 failed"


def test_status_tells_the_gate_the_balances_the_books_and_what_waits_for_a_person() -> None:
    status = Status(
        live=False,
        now=NOW,
        sends_paused=None,
        unexplained_outflow=False,
        orders_held=None,
        refused_keys=[],
        payouts=PayoutWay("realtime", "solana", "creator", atomic_settlement=True).body(),
        counts={"purchases": {"completed": 47}, "jobs": {"due": 2, "parked": 1}},
        treasury=Treasury(
            readings=[Balance(name="treasury_usdc", amount="112.50", slot=9, read_at=NOW)], to_convert="1.00"
        ),
        ledger_imbalance=0,
    )
    item = WorkItem(
        source="jobs",
        id=1,
        kind="mint",
        subject="7",
        state="parked",
        attempts=8,
        age_seconds=5,
        due_at=NOW,
        error_code="155219",
        error="Circle\x1b[2J refused",
    )
    lines = texts.status_lines(status, False, [batch()], WorkPage(items=[item], next="jobs:1"))
    assert lines[0] == "Test mode, start gate closed: nothing is sent yet"
    assert lines[1] == "Platform wallet: 112.50 USDC (read 0 s ago)"
    stopped = status.model_copy(
        update={
            "sends_paused": "a doubt\x1b[2J",
            "unexplained_outflow": True,
            "orders_held": "503",
            "refused_keys": ["Circle"],
        }
    )
    assert texts.status_lines(stopped, True, [], WorkPage(items=[], next=None))[1:5] == [
        "ALL SENDS ARE PAUSED: a doubt [2J",
        "NOTHING IS SENT: an outflow of the platform wallet is not explained",
        "CIRCLE TAKES NO ORDERS, one asks for all others: 503",
        "CIRCLE REFUSES OUR KEY: what needs it waits",
    ]
    assert "Platform wallet: 112.50 USDC (read 0 s ago)" in lines
    assert "Purchases: 47 completed" in lines and "Payouts: none" in lines
    assert "Ledger: balanced" in lines
    way = "in real time, with the mint where the rules hold, over the solana rail: many creators in one transaction"
    assert f"Creators are paid {way}" in lines
    assert lines[-2:] == ["Parked for a person: 1 and more", "  mint 7, 8 attempts: 155219: Circle [2J refused"]


@pytest.mark.parametrize(
    ("signatures", "told"), [({}, "closed: nothing to follow"), ({"watched": 2}, "closed, signatures are polled")]
)
def test_a_websocket_is_only_open_while_there_is_something_to_follow(signatures: dict[str, int], told: str) -> None:
    status = IndexStatus(
        now=NOW,
        finalized_slot=9,
        slot_ms=400,
        websocket=False,
        trouble=[],
        endpoints=[],
        tracks=[],
        signatures=signatures,
        facts=[],
        nfts=0,
        nfts_transferred=0,
        nfts_oldest_look_due_at=None,
        deposits_unexplained="0.00",
        backfill=None,
    )
    assert index_commands.status_lines(status)[0] == f"Finalized slot 9, 400 ms a slot, WebSocket {told}"
