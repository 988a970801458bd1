"""What a mint pays, in rows: promised with its intent, born and distributed with its end, given back by its death."""

from dataclasses import dataclass
from datetime import timedelta

import pytest
from sqlalchemy import Connection, select

from domain.errors import Misuse
from domain.evidence import Evidence, MintOutflow
from domain.ledger import Asset
from domain.realtime import Part
from domain.split import SplitRule
from domain.states import PurchaseStatus, RefundState
from storage.mints import mint_payouts, mint_settlement, minting
from storage.mints.minting import MintIntent
from storage.operation.interventions import OPERATOR_HOLD
from storage.payouts import transfers
from storage.payouts.debts import open_debt
from storage.payouts.upkeep import Payer
from storage.sales import holds, purchases, returns
from storage.sales.purchases import Fee
from storage.sales.returns import RefundSeen
from storage.store import Store
from storage.tables import batches, chain_movements, payouts
from storage.treasury import funding, movements, outflows
from storage.treasury.movement_rows import Movement, MovementKind
from tests.sales import MINT_LAMPORTS, PLATFORM, START, Sales
from tests.verified import first_findings

ACCOUNT = "platform-usdc"
NOW = START + timedelta(hours=1)
PARTS = (1_645_000, 705_000)
MONEY = 5_000_000
SIGNATURE = "both"


@dataclass(frozen=True, slots=True)
class Scene:
    """A priced sale of two, its mint intended, and what it is to pay."""

    conn: Connection
    sale: int
    attempt: int
    parts: list[Part]
    legs: tuple[tuple[str, int], ...]

    def outflow(self) -> Movement:
        return Movement(SIGNATURE, ACCOUNT, Asset.USDC, -sum(PARTS), 9, NOW)

    def evidence(self) -> Evidence:
        return Evidence(SIGNATURE, True, "", 9, NOW, MINT_LAMPORTS, 5_000, self.legs)

    def signed(self, signature: str = SIGNATURE) -> None:
        minting.signed(self.conn, self.attempt, b"wire", signature, 150, NOW)
        minting.sent(self.conn, self.attempt, NOW)

    def landed(self) -> None:
        placed = mint_settlement.place(self.conn, self.sale, self.legs)
        assert placed is not None
        minting.finalized(self.conn, self.attempt, self.evidence(), NOW, placed, ACCOUNT)

    def states(self) -> list[tuple[str, int]]:
        rows = self.conn.execute(select(payouts.c.state, payouts.c.paid_amount).order_by(payouts.c.id))
        return [(row.state, row.paid_amount) for row in rows]


def scene(conn: Connection, *, intended: bool = True) -> Scene:
    shop = Sales(ACCOUNT)
    ada, bob, buyer = (shop.user(conn, name) for name in ("ada", "bob", "buyer"))
    content = shop.content(conn, ada, 300, **{f"user_{ada}": 7_000, f"user_{bob}": 3_000})
    sale = shop.paid(conn, content, buyer)
    purchases.record_fee(conn, sale, Fee("txn_1", "ch_1", 300, 39, 261, START), SplitRule(), START)
    shop.deposit(conn, MONEY)
    parts = [Part(ada, "owner-ada", PARTS[0]), Part(bob, "owner-bob", PARTS[1])]
    attempt = 0
    if intended:
        intent = MintIntent("wallet", PLATFORM, PLATFORM, "seed", "mint-address", "Still life #1", "RB", "ipfs://b")
        attempt = minting.intend(conn, sale, shop.uuid(), intent, NOW)
        mint_payouts.reserve(conn, attempt, parts, NOW)
    return Scene(conn, sale, attempt, parts, tuple((part.address, part.amount) for part in parts))


async def test_a_mint_that_two_have_seen_final_is_booked_once(store: Store) -> None:
    """The start gate of one replica looks for it while the mint's own step follows it at another."""

    def story(conn: Connection) -> None:
        s = scene(conn)
        s.signed()
        for _ in range(2):
            minting.finalized(conn, s.attempt, s.evidence(), NOW, s.parts, ACCOUNT)
        assert s.states() == [("distributed", part) for part in PARTS]
        assert first_findings(conn) == {}

    await store.write(story)


async def test_what_a_mint_is_to_pay_is_promised_from_its_intent_to_its_end(store: Store) -> None:
    def story(conn: Connection) -> None:
        s = scene(conn)
        assert funding.free(conn, ACCOUNT) == MONEY - sum(PARTS)
        assert transfers.begun_since(conn, NOW) == sum(PARTS)
        s.signed()
        assert not purchases.open_payouts(conn, s.sale, NOW), "no payout is born beside a mint that may pay"
        assert movements.book_usdc(conn, s.outflow(), NOW) is MovementKind.PAYOUT
        assert movements.judge_unclaimed(conn, ACCOUNT, NOW) == 0
        assert funding.free(conn, ACCOUNT) == MONEY - sum(PARTS)
        s.landed()
        assert s.states() == [("distributed", part) for part in PARTS]
        assert funding.free(conn, ACCOUNT) == MONEY - sum(PARTS)
        assert transfers.begun_since(conn, NOW) == sum(PARTS)
        plan = conn.execute(select(batches)).one()
        assert (plan.status, plan.payout_count, plan.planned_amount) == ("settled", 2, sum(PARTS))
        assert first_findings(conn) == {}

    await store.write(story)


async def test_a_hold_and_a_refund_that_come_in_flight_do_not_undo_what_was_paid(store: Store) -> None:
    def story(conn: Connection) -> None:
        s = scene(conn)
        s.signed()
        holds.hold(conn, s.sale, OPERATOR_HOLD + "looked into", NOW)
        returns.record_refund(conn, s.sale, RefundSeen("re_1", 300, RefundState.SUCCEEDED, None), NOW)
        assert purchases.required(conn, s.sale).status == PurchaseStatus.MINTING
        s.landed()
        assert s.states() == [("distributed", part) for part in PARTS]
        assert [open_debt(conn, part.recipient_id) for part in s.parts] == list(PARTS)
        assert purchases.required(conn, s.sale).status == PurchaseStatus.REFUNDED
        assert first_findings(conn) == {}

    await store.write(story)


async def test_a_proven_death_gives_the_promise_back_and_what_landed_with_an_error_is_not_tried_again(
    store: Store,
) -> None:
    def story(conn: Connection) -> None:
        s = scene(conn)
        s.signed()
        minting.dead(conn, s.attempt, {"why": "expired", "expiry": "{}"}, NOW)
        assert funding.free(conn, ACCOUNT) == MONEY
        assert not mint_payouts.failed_before(conn, s.sale)
        minting.intend(conn, s.sale, Sales(ACCOUNT).uuid(), _intent(), NOW)
        again = minting.load(conn, s.sale).attempt
        assert again is not None
        mint_payouts.reserve(conn, again.id, s.parts, NOW)
        minting.dead(conn, again.id, {"why": "landed with an error"}, NOW)
        assert mint_payouts.failed_before(conn, s.sale)
        assert funding.free(conn, ACCOUNT) == MONEY
        assert first_findings(conn) == {}

    await store.write(story)


def _intent() -> MintIntent:
    return MintIntent("wallet", PLATFORM, PLATFORM, "seed", "mint-address", "Still life #1", "RB", "ipfs://b")


async def test_only_an_unsigned_mint_is_told_to_go_alone(store: Store) -> None:
    def story(conn: Connection) -> None:
        s = scene(conn)
        s.signed()
        mint_payouts.release(conn, s.attempt, "a change of mind", NOW)
        assert mint_payouts.of_attempt(conn, s.attempt) == s.parts
        assert mint_payouts.under_way(conn, s.sale)

    await store.write(story)

    def other(conn: Connection) -> None:
        case = minting.load(conn, 1)
        assert case.attempt is not None
        minting.dead(conn, case.attempt.id, {"why": "expired", "expiry": "{}"}, NOW)
        attempt = minting.intend(conn, 1, Sales(ACCOUNT, iter(range(900, 999))).uuid(), _intent(), NOW)
        mint_payouts.reserve(conn, attempt, case.pays, NOW)
        minting.failed(conn, 1, "Circle refuses", NOW)
        assert mint_payouts.of_attempt(conn, attempt) == []
        assert not mint_payouts.under_way(conn, 1)
        assert funding.free(conn, ACCOUNT) == MONEY

    await store.write(other)


async def test_what_stands_against_paying_is_seen_when_the_signature_is_stored(store: Store) -> None:
    def story(conn: Connection) -> None:
        s = scene(conn)
        assert mint_settlement.no_longer(conn, s.sale) is None
        returns.record_refund(conn, s.sale, RefundSeen("re_1", 100, RefundState.PENDING, None), NOW)
        assert mint_settlement.no_longer(conn, s.sale) == "money of it came back"
        holds.hold(conn, s.sale, OPERATOR_HOLD + "looked into", NOW)
        assert "held" in (mint_settlement.no_longer(conn, s.sale) or "")

    await store.write(story)


async def test_an_unknown_outflow_is_adopted_by_the_sale_that_its_mint_names_even_where_it_was_accepted(
    store: Store,
) -> None:
    def story(conn: Connection) -> None:
        s = scene(conn, intended=False)
        assert movements.book_usdc(conn, s.outflow(), NOW) is MovementKind.ORPHAN
        outflow = MintOutflow(SIGNATURE, "mint-address", "seed", PLATFORM, "Still life #1", "RB", "ipfs://b", s.legs)
        others = ((("owner-ada", PARTS[0]),), (("owner-ada", PARTS[0]), ("owner-bob", PARTS[1] + 1)))
        assert [mint_settlement.place(conn, s.sale, legs) for legs in others] == [None, None]
        assert mint_settlement.adopt(conn, s.sale, outflow, Payer("wallet", PLATFORM), Sales(ACCOUNT).uuid, NOW)
        assert outflows.orphans(conn) == []
        assert movements.judge_unclaimed(conn, ACCOUNT, NOW) == 0
        case = minting.load(conn, s.sale)
        assert case.attempt is not None
        assert (case.purchase.status, case.attempt.signature) == (PurchaseStatus.MINTING, SIGNATURE)
        minting.finalized(conn, case.attempt.id, s.evidence(), NOW, case.pays, ACCOUNT)
        assert s.states() == [("distributed", part) for part in PARTS]
        assert first_findings(conn) == {}

    await store.write(story)


async def test_an_outflow_that_a_person_took_for_his_own_is_the_mints_once_it_is_read_back(store: Store) -> None:
    def story(conn: Connection) -> None:
        s = scene(conn)
        movements.book_usdc(conn, s.outflow(), NOW)
        row = conn.execute(select(chain_movements).where(chain_movements.c.signature == SIGNATURE)).one()
        assert outflows.accept_orphan(conn, row.id, "ours", NOW)
        s.signed()
        s.landed()
        assert first_findings(conn) == {}

    await store.write(story)


async def test_a_sale_whose_payout_is_paid_otherwise_is_left_to_a_person(store: Store) -> None:
    def story(conn: Connection) -> None:
        shop = Sales(ACCOUNT)
        ada, buyer = shop.user(conn, "ada"), shop.user(conn, "buyer")
        sale = shop.sold(conn, shop.content(conn, ada), buyer)
        conn.execute(payouts.update().values(state="netted"))
        assert mint_settlement.place(conn, sale, (("owner-ada", 2_350_000),)) is None
        with pytest.raises(Misuse):
            minting.finalized(conn, 1, Evidence("x", True, "", 1, NOW, 1), NOW, [Part(ada, "a", 1)], ACCOUNT)

    await store.write(story)
