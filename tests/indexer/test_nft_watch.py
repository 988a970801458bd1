"""Who holds an NFT after it was minted."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from solders.account import Account
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from sqlalchemy import Connection, insert, select

from domain.errors import Retryable
from indexer.nft_watch import NftWatch
from indexer.rpc.errors import Disagreement
from sandbox.faults import Fault, Rule
from sandbox.solana_node.token_layouts import TOKEN_2022, associated_token_address
from storage.mints import nft_holdings
from storage.tables import checkouts, contents, purchases, state_history, users
from tests.indexer.world import Indexed
from tests.sandbox.solana.world import SOL, mint_nft, move_nft, nft_address

Quick = Callable[..., Indexed]
EVERY = timedelta(minutes=60)
FRIEND = Keypair.from_seed(bytes([21] * 32))


class Gallery:
    """One NFT minted to bob, in the books as purchase 1, and the watch over it."""

    def __init__(self, indexed: Indexed) -> None:
        self.indexed = indexed
        self.mint = nft_address(indexed.world.alice.pubkey())
        self.bob = indexed.world.bob
        self.watch = NftWatch(indexed.store, indexed.rpc, indexed.clock, every=EVERY)

    async def open(self) -> "Gallery":
        self.indexed.world.send(mint_nft(self.indexed.world, self.bob.pubkey()))
        self.indexed.world.node.airdrop(self.bob.pubkey(), SOL)
        self.indexed.finalize()
        await self.indexed.store.write(self._book)
        return self

    def _book(self, conn: Connection) -> None:
        now = self.indexed.clock.now()
        base = {"id": 1, "uuid": "one", "created_at": now}
        conn.execute(
            insert(users).values(**base, email="b@example.com", username="bob", password_hash="-", wallet_state="ready")
        )
        conn.execute(insert(contents).values(**base, author_id=1, title="Sunrise", price_cents=300))
        conn.execute(
            insert(checkouts).values(
                **base,
                content_id=1,
                buyer_id=1,
                idempotency_key="-",
                params="{}",
                state="completed",
                price_cents=300,
                expires_at=now,
            )
        )
        conn.execute(
            insert(purchases).values(
                **base,
                checkout_id=1,
                content_id=1,
                buyer_id=1,
                gross_amount=300,
                status="completed",
                edition_held=True,
                minted_at=now,
                nft_mint_address=str(self.mint),
            )
        )
        nft_holdings.begin(conn, 1, str(self.mint), str(self.bob.pubkey()), 0, now)

    async def add(self, mints: Sequence[Pubkey]) -> None:
        """More of them for bob, from purchase 2 on, each due a second before the one ahead of it."""
        now, bob = self.indexed.clock.now(), str(self.bob.pubkey())

        def save(conn: Connection) -> None:
            purchase = conn.execute(select(purchases)).mappings().one()
            checkout = conn.execute(select(checkouts)).mappings().one()
            for number, mint in enumerate(mints, start=2):
                row = {"id": number, "uuid": f"{number}"}
                conn.execute(insert(checkouts).values(**{**checkout, **row, "idempotency_key": f"{number}"}))
                unique = {"checkout_id": number, "nft_mint_address": str(mint)}
                conn.execute(insert(purchases).values(**{**purchase, **row, **unique}))
                nft_holdings.begin(conn, number, str(mint), bob, 0, now - timedelta(seconds=number))

        await self.indexed.store.write(save)

    async def look_again(self) -> int:
        self.indexed.finalize()
        await self.indexed.clock.sleep(EVERY.total_seconds())
        return await self.watch.look()

    def move(self, owner: Keypair, to: Pubkey) -> None:
        self.indexed.world.send(move_nft(self.indexed.world, self.mint, owner, to), skipPreflight=True)

    async def history(self) -> list[tuple[str, str, str | None]]:
        query = select(state_history).where(state_history.c.machine == "nft").order_by(state_history.c.id)
        rows = await self.indexed.store.read(lambda conn: conn.execute(query).all())
        return [(row.before, row.after, row.reason) for row in rows]

    async def is_transferred(self) -> bool:
        query = select(purchases.c.nft_transferred)
        return bool(await self.indexed.store.read(lambda conn: conn.scalar(query)))


async def test_an_nft_that_its_buyer_keeps_costs_one_call_and_changes_nothing(quick: Quick) -> None:
    shop = await Gallery(quick("/a", "/b")).open()
    assert await shop.watch.look() == 1
    assert await shop.watch.look() == 0  # not due again yet
    assert await shop.look_again() == 1
    assert shop.indexed.wire.count("getMultipleAccounts") == 2
    assert (await shop.history(), await shop.is_transferred()) == ([], False)


async def test_a_buyer_who_moves_his_nft_on_is_seen_and_so_is_its_return(indexed: Indexed) -> None:
    shop = await Gallery(indexed).open()
    shop.move(shop.bob, FRIEND.pubkey())
    await shop.look_again()
    assert await shop.is_transferred()
    shop.indexed.world.node.airdrop(FRIEND.pubkey(), SOL)
    shop.move(FRIEND, shop.bob.pubkey())
    await shop.look_again()
    assert not await shop.is_transferred()
    found = await indexed.store.read(nft_holdings.counts)
    assert (found.minted, found.transferred) == (1, 0)
    assert await shop.history() == [
        ("owned", "transferred", f"now held by {FRIEND.pubkey()}"),
        ("transferred", "owned", f"now held by {shop.bob.pubkey()}"),
    ]


async def test_a_move_that_is_not_final_is_none_yet(quick: Quick) -> None:
    shop = await Gallery(quick("/a", "/b")).open()
    shop.move(shop.bob, FRIEND.pubkey())
    shop.indexed.world.pass_slots(3)
    await shop.watch.look()
    assert not await shop.is_transferred()
    shop.indexed.world.node.fork(10)
    await shop.look_again()
    assert (await shop.history(), await shop.is_transferred()) == ([], False)


async def test_that_an_nft_is_gone_counts_only_when_two_endpoints_say_so(quick: Quick) -> None:
    shop = await Gallery(quick("/a", "/b")).open()
    account = associated_token_address(shop.bob.pubkey(), shop.mint, TOKEN_2022)
    shop.indexed.world.node.place_account(account, None)
    shop.indexed.finalize()
    shop.indexed.world.node.faults.add(Rule("POST /b", Fault.LOSE_REQUEST, times=1000))
    with pytest.raises(Retryable):
        await shop.watch.look()
    assert (await shop.history(), await shop.is_transferred()) == ([], False)
    shop.indexed.world.node.faults.clear()
    await shop.look_again()
    assert await shop.history() == [("owned", "transferred", "burned")]
    await shop.look_again()
    assert len(await shop.history()) == 1


async def test_an_endpoint_that_hides_the_account_alone_moves_nothing(quick: Quick) -> None:
    shop = await Gallery(quick("/a", "/b")).open()
    seen = await shop.indexed.rpc.get_slot()
    lie: Any = lambda params: {"context": {"slot": seen}, "value": [None] * len(params[0])}  # noqa: E731
    shop.indexed.world.node.endpoints["/a"].lies["getMultipleAccounts"] = lie
    with pytest.raises(Retryable):
        await shop.watch.look()
    assert (await shop.history(), await shop.is_transferred()) == ([], False)


async def test_an_endpoint_that_shows_the_nft_elsewhere_alone_moves_nothing(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    shop = await Gallery(indexed).open()
    shop.move(shop.bob, FRIEND.pubkey())
    indexed.finalize()
    of_friend = str(associated_token_address(FRIEND.pubkey(), shop.mint, TOKEN_2022))
    known = indexed.world.rpc("getMultipleAccounts", [of_friend], {"encoding": "base64"})["value"][0]
    indexed.world.node.airdrop(FRIEND.pubkey(), SOL)
    shop.move(FRIEND, shop.bob.pubkey())
    indexed.finalize()

    seen = await indexed.rpc.get_slot()

    def lie(params: list[Any]) -> Any:
        return {"context": {"slot": seen}, "value": [known if one == of_friend else None for one in params[0]]}

    held = {"address": of_friend, "amount": "1", "decimals": 0, "uiAmount": 1.0, "uiAmountString": "1"}
    indexed.world.node.endpoints["/a"].lies |= {
        "getMultipleAccounts": lie,
        "getTokenLargestAccounts": lambda _: {"context": {"slot": seen}, "value": [held]},
    }
    with pytest.raises(Disagreement):
        await shop.watch.look()
    assert (await shop.history(), await shop.is_transferred()) == ([], False)


async def test_a_token_account_of_another_program_or_owner_is_not_taken_for_the_nft(quick: Quick) -> None:
    shop = await Gallery(quick("/a", "/b")).open()
    account = associated_token_address(shop.bob.pubkey(), shop.mint, TOKEN_2022)
    held = shop.indexed.world.node.account(account)
    assert held is not None
    shop.indexed.world.node.place_account(account, Account(SOL, bytes(held.data), shop.bob.pubkey()))
    shop.indexed.finalize()
    with pytest.raises(Retryable):  # the node lists a holder that is no token account
        await shop.watch.look()
    assert not await shop.is_transferred()


async def test_one_that_can_not_be_found_keeps_none_of_the_others_waiting(quick: Quick) -> None:
    """Not every endpoint tells the largest holders of a mint, and the shelf of everybody stood still."""
    shop = await Gallery(quick("/a", "/b")).open()
    node, bob = shop.indexed.world.node, shop.bob.pubkey()
    other = Keypair.from_seed(bytes([33] * 32)).pubkey()
    held = node.account(associated_token_address(bob, shop.mint, TOKEN_2022))
    assert held is not None
    kept = Account(held.lamports, bytes(other) + bytes(held.data)[32:], TOKEN_2022)
    node.place_account(associated_token_address(bob, other, TOKEN_2022), kept)
    await shop.add([other])
    shop.move(shop.bob, FRIEND.pubkey())
    node.faults.add(Rule("getTokenLargestAccounts", Fault.STATUS, times=1000))
    shop.indexed.finalize()
    with pytest.raises(Retryable):
        await shop.watch.look()
    assert await shop.watch.look() == 0, "neither is due again at once"
    await shop.indexed.clock.sleep(EVERY.total_seconds() / 2)
    with pytest.raises(Retryable):
        await shop.watch.look()
    node.faults.clear()
    await shop.look_again()
    assert await shop.is_transferred()


async def test_many_are_looked_at_a_hundred_a_call_the_longest_due_first(quick: Quick) -> None:
    shop = await Gallery(quick("/a", "/b")).open()
    node, now, bob = shop.indexed.world.node, shop.indexed.clock.now(), shop.bob.pubkey()
    held = node.account(associated_token_address(bob, shop.mint, TOKEN_2022))
    assert held is not None
    mints = [Keypair.from_seed(number.to_bytes(32, "big")).pubkey() for number in range(2, 252)]
    for mint in mints:
        account = Account(held.lamports, bytes(mint) + bytes(held.data)[32:], TOKEN_2022)
        node.place_account(associated_token_address(bob, mint, TOKEN_2022), account)

    await shop.add(mints)
    first = await shop.indexed.store.read(lambda conn: nft_holdings.due(conn, now, 3))
    assert [one.purchase_id for one in first] == [251, 250, 249]
    assert [await shop.watch.look() for _ in range(4)] == [100, 100, 51, 0]
    assert shop.indexed.wire.count("getMultipleAccounts") == 3
    found = await shop.indexed.store.read(nft_holdings.counts)
    assert (found.minted, found.transferred) == (251, 0)
