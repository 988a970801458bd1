"""Whoever moves while his mint is about to be begun has his NFT where he has moved to."""

from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any, TypeVar

import pytest
from solders.keypair import Keypair
from sqlalchemy import URL, Connection, update

from agent.steps.mint import MintStep, MintTerms
from chain.nft import Token2022Nft
from domain.errors import Retryable
from ports.system import SystemClock
from ports.virtual import SeededIds
from storage import work
from storage.engines.postgres import PostgresStore
from storage.mints import minting
from storage.people import users, wallets
from storage.queues import Queue
from storage.store import Store
from storage.tables import jobs
from storage.tables import users as user_rows
from tests.sales import PLATFORM, START, Sales
from tests.storage.replicas import at_once

T = TypeVar("T")
NOW = START + timedelta(days=1)
LEFT, MOVED_TO = (str(Keypair.from_seed(bytes([number] * 32)).pubkey()) for number in (1, 2))


class Meanwhile:
    """A store to which somebody else comes just before the first write."""

    def __init__(self, store: Store, act: Callable[[Connection], None]) -> None:
        self._store, self._acts = store, [act]

    async def read(self, fn: Callable[[Connection], T]) -> T:
        return await self._store.read(fn)

    async def write(self, fn: Callable[[Connection], T]) -> T:
        while self._acts:
            await self._store.write(self._acts.pop())
        return await self._store.write(fn)


class Away:
    """A chain that can't be asked."""

    async def lamports(self, address: str) -> int:
        raise Retryable("no endpoint answers")


def sold(conn: Connection) -> tuple[int, int]:
    """A paid sale whose buyer has an external address; their ids."""
    shop = Sales("account")
    buyer = shop.user(conn, "buyer", wallet=False)
    came = update(user_rows).where(user_rows.c.id == buyer)
    conn.execute(came.values(wallet_provider="external", wallet_address=LEFT, wallet_state="none"))
    return shop.paid(conn, shop.content(conn, shop.user(conn, "ada")), buyer), buyer


def changes_address(conn: Connection, buyer: int) -> None:
    users.change_external_address(conn, buyer, MOVED_TO, NOW)


def gets_wallet(conn: Connection, buyer: int) -> None:
    users.ask_for_wallet(conn, buyer, NOW)
    wallets.ready(conn, buyer, "wallet", MOVED_TO, NOW)


@pytest.mark.parametrize("moves", [changes_address, gets_wallet])
async def test_an_address_that_changes_after_the_sale_was_looked_at_is_the_one_that_the_intent_freezes(
    moves: Callable[[Connection, int], None], store: Store
) -> None:
    sale, buyer = await store.write(sold)
    queue = Queue(jobs, frozenset({"mint"}))
    (claim,) = await store.write(lambda conn: work.claim(conn, queue, 1, "one", NOW, timedelta(seconds=30)))
    chain: Any = Away()
    meanwhile: Any = Meanwhile(store, lambda conn: moves(conn, buyer))
    terms = MintTerms("wallet", PLATFORM, "account", b"secret", "RBLK", "https://x", 0, 0, 8, lambda: timedelta(0))
    step = MintStep(
        meanwhile, SystemClock(), SeededIds(Random(1)), chain, chain, chain, Token2022Nft(), terms, lambda: None
    )
    with pytest.raises(Retryable, match="no endpoint answers"):
        await step.run(claim)
    case = await store.read(lambda conn: minting.load(conn, sale))
    assert case.live.buyer_address == MOVED_TO


@pytest.mark.parametrize("moves", [changes_address, gets_wallet])
async def test_whoever_moves_while_an_intent_is_written_has_moved_after_it(
    moves: Callable[[Connection, int], None], postgres_store: PostgresStore, postgres_url: URL
) -> None:
    _, buyer = await postgres_store.write(sold)
    frozen: list[str] = []
    await at_once(
        postgres_url,
        lambda conn: moves(conn, buyer),
        lambda conn: frozen.append(minting.buyer_address(conn, buyer)),
    )
    assert frozen == [MOVED_TO]
