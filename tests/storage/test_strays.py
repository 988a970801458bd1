"""What Circle lists and no attempt has named yet: the one order under its reference, and nothing beside it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, select, update

from domain.keys import transfer_key
from storage.payouts import transfers
from storage.payouts.planning import PlanTerms
from storage.payouts.taking import take
from storage.reconciliation import mirrors, strays
from storage.reconciliation.mirrors import CircleRow
from storage.store import Store
from storage.tables import transfer_attempts
from storage.tables import transfers as transfer_rows
from storage.treasury import funding
from tests.sales import PLATFORM, START, Sales

ACCOUNT, TOKEN = "platform-usdc", "usdc"
NOW = START + timedelta(days=1)


def _ordered(conn: Connection) -> CircleRow:
    """A payout whose order was sent, and whose answer is lost; as Circle lists it."""
    shop = Sales(ACCOUNT)
    creator, buyer = shop.user(conn, "ada"), shop.user(conn, "buyer")
    shop.sold(conn, shop.content(conn, creator), buyer)
    shop.deposit(conn, 2_350_000)
    take(
        conn,
        "offcycle:1",
        PlanTerms(NOW, NOW, 1, False, timedelta(0), "purchase", "circle"),
        lambda _: None,
        "ada",
        shop.uuids,
    )
    funding.fund(conn, ACCOUNT, NOW)
    row = conn.execute(select(transfer_rows)).one()
    case = transfers.load(conn, row.id, lock=True)
    key = transfer_key(row.key_scope, UUID(row.uuid), 1)
    case = transfers.intend(conn, case, 1, key, "wallet", PLATFORM, {}, NOW)
    transfers.first_send(conn, case.live.id, NOW)
    return CircleRow("c-1", "SENT", row.reference, TOKEN, row.amount, row.destination_address, None, NOW, NOW)


def _strays(conn: Connection, *listed: CircleRow) -> list[str]:
    mirrors.copy_circle(conn, listed)
    return [one.subject for one in strays.of_circle(conn, 0, TOKEN, START).strays]


async def test_an_order_whose_answer_is_lost_explains_what_circle_lists_under_its_reference(store: Store) -> None:
    assert await store.write(lambda conn: _strays(conn, _ordered(conn))) == []


@pytest.mark.parametrize("changed", [{"amount": 2_350_001}, {"destination": "elsewhere"}, {"reference": "another"}])
async def test_what_differs_from_the_order_is_none_of_ours(store: Store, changed: dict[str, Any]) -> None:
    assert await store.write(lambda conn: _strays(conn, replace(_ordered(conn), **changed))) == ["c-1"]


async def test_two_under_one_reference_are_not_both_ours(store: Store) -> None:
    def story(conn: Connection) -> list[str]:
        ordered = _ordered(conn)
        return _strays(conn, ordered, replace(ordered, circle_id="c-2"))

    assert await store.write(story) == ["c-1", "c-2"]


async def test_an_order_that_was_given_an_outflow_by_hand_explains_no_other(store: Store) -> None:
    def story(conn: Connection) -> list[str]:
        ordered = _ordered(conn)
        conn.execute(update(transfer_attempts).values(signature="given by hand"))
        return _strays(conn, ordered)

    assert await store.write(story) == ["c-1"]
