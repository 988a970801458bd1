"""Numbers of editions, in rows: an NFT that is on chain already keeps the number it bears."""

from datetime import timedelta

import pytest
from sqlalchemy import URL, Connection, select

from domain.evidence import MintOutflow
from domain.nft_texts import edition_in, nft_name
from domain.split import SplitRule
from domain.states import MintState
from storage.engines.postgres import PostgresStore
from storage.mints import mint_settlement, minting
from storage.mints.minting import MintIntent
from storage.payouts.upkeep import Payer
from storage.sales import purchases
from storage.store import Store
from storage.tables import contents, mint_attempts, state_history
from tests.sales import PLATFORM, START, Sales
from tests.storage.replicas import at_once
from tests.storage.test_mint_settlement import ACCOUNT
from tests.verified import first_findings

NOW = START + timedelta(hours=1)
TITLE = "Still life"


class Numbered:
    """Sales of one content, each with its number and an intended mint of that name."""

    def __init__(self, conn: Connection, sales: int) -> None:
        self.conn, self.shop = conn, Sales(ACCOUNT)
        ada, self.buyer = self.shop.user(conn, "ada"), self.shop.user(conn, "buyer")
        self.content = self.shop.content(conn, ada)
        self.sales = [self.sell() for _ in range(sales)]

    def sell(self) -> int:
        sale = self.shop.paid(self.conn, self.content, self.buyer)
        self.intend(sale)
        return sale

    def intend(self, sale: int) -> None:
        name = nft_name(TITLE, purchases.edition_number(self.conn, sale))
        intent = MintIntent("wallet", PLATFORM, PLATFORM, f"s{sale}", f"mint{sale}", name, "RB", "ipfs://b")
        minting.intend(self.conn, sale, self.shop.uuid(), intent, NOW)

    def made_as(self, sale: int, number: int) -> None:
        """The chain shows the sale's NFT, by a transaction that nothing here knows of."""
        attempt = minting.load(self.conn, sale).attempt
        assert attempt is not None
        name, buyer = nft_name(TITLE, number), attempt.buyer_address
        minting.as_made(self.conn, attempt.id, self.shop.uuid(), name, number, buyer, "maker", NOW)

    def numbers(self) -> list[int | None]:
        return [purchases.required(self.conn, sale).edition_number for sale in self.sales]

    def plans(self, sale: int) -> list[tuple[str, str]]:
        """State and name of each attempt at the sale's mint."""
        asked = select(mint_attempts.c.state, mint_attempts.c.name).where(mint_attempts.c.purchase_id == sale)
        return [(row.state, row.name) for row in self.conn.execute(asked.order_by(mint_attempts.c.id))]

    def remarks(self, sale: int) -> list[str]:
        """What the sale's history says of its numbers."""
        mine = (state_history.c.machine == "purchase") & (state_history.c.subject == str(sale))
        same = state_history.c.before == state_history.c.after
        return list(self.conn.scalars(select(state_history.c.reason).where(mine, same).order_by(state_history.c.id)))


async def test_a_number_that_nobody_has_is_taken_and_not_given_again(store: Store) -> None:
    def story(conn: Connection) -> None:
        shop = Numbered(conn, 1)
        shop.made_as(shop.sales[0], 5)
        assert shop.numbers() == [5]
        assert shop.plans(shop.sales[0]) == [(MintState.DEAD, "Still life #1"), (MintState.INTENDED, "Still life #5")]
        assert shop.remarks(shop.sales[0]) == ["its NFT, made by maker, bears number 5"]
        assert conn.scalar(select(contents.c.editions_numbered)) == 5
        assert purchases.edition_number(conn, shop.sell()) == 6
        assert first_findings(conn) == {}

    await store.write(story)


async def test_who_has_the_number_and_no_nft_under_way_takes_the_other_ones_and_is_planned_anew(store: Store) -> None:
    def story(conn: Connection) -> None:
        shop = Numbered(conn, 2)
        first, second = shop.sales
        planned = minting.load(conn, second).attempt
        assert planned is not None
        shop.made_as(first, 2)
        assert shop.numbers() == [2, 1]
        assert shop.plans(second) == [(MintState.DEAD, "Still life #2")]
        assert shop.remarks(second) == [f"number 2 is on the NFT of purchase {first}; it has 1"]
        minting.signed(conn, planned.id, b"wire", "signature", 150, NOW)  # its step was just having it signed
        assert shop.plans(second) == [(MintState.DEAD, "Still life #2")]
        shop.intend(second)
        assert shop.plans(second)[-1] == (MintState.INTENDED, "Still life #1")
        assert first_findings(conn) == {}

    await store.write(story)


@pytest.mark.parametrize("minted", [False, True], ids=["signed", "minted"])
async def test_who_may_bear_the_number_on_his_own_nft_keeps_it_and_the_other_one_has_none(
    minted: bool, store: Store
) -> None:
    def story(conn: Connection) -> None:
        shop = Numbered(conn, 2)
        first, second = shop.sales
        planned = minting.load(conn, second).attempt
        assert planned is not None
        minting.signed(conn, planned.id, b"wire", "signature", 150, NOW)
        if minted:
            minting.dead(conn, planned.id, {"why": "a test"}, NOW)
            shop.shop.minted(conn, second)
        shop.made_as(first, 2)
        assert shop.numbers() == [None, 2]
        assert shop.plans(first)[-1] == (MintState.INTENDED, "Still life #2")
        assert first_findings(conn) == {}

    await store.write(story)


async def test_an_adopted_mint_that_paid_too_gives_its_sale_the_number_in_its_name(store: Store) -> None:
    def story(conn: Connection) -> None:
        shop = Numbered(conn, 2)
        sale = shop.sales[0]
        fee = purchases.Fee("txn_1", "ch_1", 300, 39, 261, START)
        purchases.record_fee(conn, sale, fee, SplitRule(), START)
        due = purchases.required(conn, sale).creator_amount
        outflow = MintOutflow("maker", "mint1", "s1", PLATFORM, "Still life #2", "RB", "ipfs://b", (("ada", due),))
        assert mint_settlement.adopt(conn, sale, outflow, Payer("wallet", PLATFORM), shop.shop.uuid, NOW)
        assert shop.numbers() == [2, 1]

    await store.write(story)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("Still life #7", 7),
        ("Still life #07", None),
        ("Still life #0", None),
        ("Still life #", None),
        ("Still life #1e3", None),
        ("Another life #7", None),
        ("Still life", None),
        ("", None),
    ],
)
def test_a_number_is_read_from_a_name_of_that_title_only(name: str, number: int | None) -> None:
    assert edition_in(name, TITLE) == number


async def test_a_mint_that_is_signed_at_the_moment_in_which_its_number_turns_out_to_be_another_ones_stays_signed(
    postgres_store: PostgresStore, postgres_url: URL
) -> None:
    """It was called never signed, and what it was to pay was due once more, while its bytes were being sent."""
    story = await postgres_store.write(lambda conn: Numbered(conn, 2))
    first, second = story.sales

    def is_signed(conn: Connection) -> None:
        attempt = minting.load(conn, second).attempt
        assert attempt is not None
        minting.signed(conn, attempt.id, b"wire", "signature", 150, NOW)

    def is_found(conn: Connection) -> None:
        story.conn = conn
        story.made_as(first, 2)

    await at_once(postgres_url, is_signed, is_found)

    def found(conn: Connection) -> list[str]:
        story.conn = conn
        return [state for state, _ in story.plans(second)]

    assert await postgres_store.read(found) == [MintState.SIGNED]
