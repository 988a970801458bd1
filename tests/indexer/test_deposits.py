"""Deposits from the chain and the operator's announcements: each explains the other, in whichever order they come."""

from typing import Any

import pytest
from sqlalchemy import Connection, select

from storage.tables import chain_movements
from storage.tables import conversions as table
from storage.treasury import conversions, deposits, matches
from storage.treasury.conversions import Announced
from tests.indexer.world import Indexed

USDC = 10**6


async def announce(indexed: Indexed, usdc: int) -> int:
    now = indexed.clock.now()

    def save(conn: Connection) -> int:
        number = len(conversions.page(conn, None, 100)) + 1
        return conversions.announce(conn, Announced(f"conversion-{number}", usdc * 100, usdc * USDC, ""), now)

    return await indexed.store.write(save)


async def arrive(indexed: Indexed, *usdc: int) -> None:
    for units in usdc:
        indexed.world.node.mint_usdc(indexed.world.alice.pubkey(), units * USDC)
        indexed.world.pass_slots(1)
    indexed.finalize()
    await indexed.treasury.follow()


async def standing(indexed: Indexed) -> tuple[list[Any], list[Any]]:
    """Conversions as (received, settled?) and deposits as (amount, unexplained), oldest first, in USDC."""

    def load(conn: Connection) -> tuple[list[Any], list[Any]]:
        announced = conn.execute(select(table).order_by(table.c.id))
        arrived = conn.execute(
            select(chain_movements).where(chain_movements.c.kind == "deposit").order_by(chain_movements.c.id)
        )
        return (
            [(row.received // USDC, row.settled_at is not None) for row in announced],
            [(row.amount // USDC, row.unexplained // USDC) for row in arrived],
        )

    return await indexed.store.read(load)


async def test_a_deposit_settles_the_conversion_that_was_announced(indexed: Indexed) -> None:
    await announce(indexed, 250)
    await arrive(indexed, 250)
    assert await standing(indexed) == ([(250, True)], [(250, 0)])
    await indexed.treasury.follow()
    assert await standing(indexed) == ([(250, True)], [(250, 0)])


async def test_a_deposit_that_was_faster_is_explained_when_its_conversion_is_announced(indexed: Indexed) -> None:
    await arrive(indexed, 100, 150)
    assert await standing(indexed) == ([], [(100, 100), (150, 150)])
    await announce(indexed, 250)
    assert await standing(indexed) == ([(250, True)], [(100, 0), (150, 0)])


async def test_parts_several_and_too_much_add_up(indexed: Indexed) -> None:
    for usdc in (100, 200):
        await announce(indexed, usdc)
    await arrive(indexed, 60, 220, 90)
    assert await standing(indexed) == ([(100, True), (200, True)], [(60, 0), (220, 0), (90, 70)])
    assert await indexed.store.read(deposits.unexplained_total) == 70 * USDC
    rows = await indexed.store.read(lambda conn: deposits.page(conn, None, 10))
    shares = await indexed.store.read(lambda conn: matches.of_deposits(conn, [row.id for row in rows]))
    assert sorted(share for given in shares.values() for share in given) == [
        (1, 40 * USDC),
        (1, 60 * USDC),
        (2, 20 * USDC),
        (2, 180 * USDC),
    ]


@pytest.mark.parametrize("units", [1, 10_000])
async def test_a_crumb_of_a_stranger_is_money_that_nothing_explains(indexed: Indexed, units: int) -> None:
    await announce(indexed, 250)
    indexed.world.node.mint_usdc(indexed.world.alice.pubkey(), units)
    indexed.finalize()
    await indexed.treasury.follow()
    assert await indexed.store.read(deposits.unexplained_total) == units
    assert (await standing(indexed))[0] == [(0, False)]
    assert await indexed.sum_of(indexed.usdc_account) == units
