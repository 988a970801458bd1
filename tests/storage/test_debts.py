"""Debts that end again: what they took is given back, whatever else is owed, and paid once."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection, select

from domain.evidence import Evidence
from domain.keys import transfer_key
from domain.states import RefundState
from storage.operation import retries
from storage.payouts import batches, debts, transfers
from storage.payouts.planning import PlanTerms
from storage.payouts.reserves import REASON
from storage.payouts.taking import take
from storage.sales import returns
from storage.sales.returns import DisputeSeen, RefundSeen
from storage.store import Store
from storage.tables import jobs, payouts
from storage.tables import transfers as transfer_rows
from storage.treasury import funding
from tests.sales import PAYOUT_LAMPORTS, PLATFORM, START, Sales
from tests.verified import first_findings

ACCOUNT = "platform-usdc"
NOW = START + timedelta(days=3)
DUE = 2_350_000


class Creator:
    """One creator with two sales that were paid out, and one that is due. Everything in the caller's transaction."""

    def __init__(self, conn: Connection) -> None:
        self.conn, self.shop = conn, Sales(ACCOUNT)
        self.user, buyer = self.shop.user(conn, "ada"), self.shop.user(conn, "buyer")
        self.content = content = self.shop.content(conn, self.user)
        self.older, self.newer = (
            self.shop.sold(conn, content, buyer, START + timedelta(hours=hour)) for hour in range(2)
        )
        self.shop.deposit(conn, 10 * DUE)
        self.shop.pay(conn, self.plan("offcycle:1"), NOW)
        self.due = self.shop.sold(conn, content, buyer, NOW)

    def plan(self, key: str, rail: str = "circle", grouping: str = "purchase") -> int:
        later = NOW + timedelta(days=1)
        terms = PlanTerms(later, later, 1, False, timedelta(0), grouping, rail)
        batch_id = take(self.conn, key, terms, lambda _: None, "ada", self.shop.uuids) or 0
        funding.fund(self.conn, ACCOUNT, NOW)
        return batch_id

    def refund(self, sale: int, cents: int, state: RefundState) -> None:
        returns.record_refund(self.conn, sale, RefundSeen(f"re_{sale}_{cents}", cents, state, None), NOW)

    def sell(self) -> int:
        """One more sale, the newest of all."""
        return self.shop.sold(self.conn, self.content, self.shop.user(self.conn, "fan"), NOW + timedelta(minutes=1))

    def dispute(self, sale: int, cents: int) -> None:
        """The bank has taken it back, and has not decided."""
        seen = DisputeSeen(f"dp_{sale}", cents, "needs_response", cents, 1_500, NOW)
        returns.record_dispute(self.conn, sale, seen, NOW)

    def begin(self, batch_id: int, *, leaves: bool = True) -> int:
        """The batch's transfer is on its way, with an unknown outcome; or is only meant."""
        transfer = self.conn.execute(select(transfer_rows).where(transfer_rows.c.batch_id == batch_id)).one()
        key = transfer_key(transfer.key_scope, UUID(transfer.uuid), 1)
        case = transfers.load(self.conn, transfer.id, lock=True)
        attempt = transfers.intend(self.conn, case, 1, key, "wallet", PLATFORM, {}, NOW).attempt
        assert attempt is not None
        if leaves:
            transfers.first_send(self.conn, attempt.id, NOW)
        return int(transfer.id)

    def arrive(self, transfer_id: int) -> None:
        """What is on its way is finalized."""
        evidence = Evidence(f"payout-{transfer_id}", True, "", 9, NOW, PAYOUT_LAMPORTS)
        transfers.distributed(self.conn, transfer_id, evidence, ACCOUNT, NOW)

    def standing(self, sale: int) -> tuple[str, str | None]:
        row = self.conn.execute(select(payouts).where(payouts.c.purchase_id == sale)).one()
        return row.state, row.reason

    def shown(self) -> tuple[str, int, int]:
        """Of what is due: its state, how much of it debts used up, and what is owed besides."""
        row = self.conn.execute(select(payouts).where(payouts.c.purchase_id == self.due)).one()
        return row.state, row.netted_amount, debts.open_debt(self.conn, self.user)

    def asked(self) -> list[str]:
        return list(self.conn.scalars(select(jobs.c.kind).where(jobs.c.kind == "overnetted")))


async def test_what_a_debt_that_is_none_any_more_took_is_given_back_while_another_one_is_open(store: Store) -> None:
    def story(conn: Connection) -> tuple[str, int, int]:
        creator = Creator(conn)
        creator.refund(creator.newer, 300, RefundState.SUCCEEDED)
        creator.refund(creator.older, 100, RefundState.SUCCEEDED)
        assert creator.shown() == ("netted", DUE, 783_333)
        creator.refund(creator.newer, 300, RefundState.FAILED)
        assert first_findings(conn) == {}
        return creator.shown()

    assert await store.write(story) == ("pending_conversion", 783_333, 0)


async def test_nobody_is_asked_to_pay_by_hand_what_a_dead_transfer_gives_back_by_itself(store: Store) -> None:
    def story(conn: Connection) -> tuple[str, int, int]:
        creator = Creator(conn)
        creator.refund(creator.newer, 100, RefundState.SUCCEEDED)
        transfer_id = creator.begin(creator.plan("offcycle:2"))
        creator.refund(creator.newer, 100, RefundState.FAILED)
        assert creator.asked() == [], "it is on its way: he would pay what a dead transfer gives back"
        transfers.dead(conn, transfer_id, {"why": "proven"}, NOW)
        assert creator.asked() == []
        assert first_findings(conn) == {}
        return creator.shown()

    assert await store.write(story) == ("pending_conversion", 0, 0)


async def test_what_was_on_its_way_when_its_debt_ended_is_a_persons_to_pay_once_it_has_arrived(store: Store) -> None:
    def story(conn: Connection) -> list[str]:
        creator = Creator(conn)
        creator.refund(creator.newer, 100, RefundState.SUCCEEDED)
        transfer_id = creator.begin(creator.plan("offcycle:2"))
        creator.refund(creator.newer, 100, RefundState.FAILED)
        assert creator.asked() == []
        creator.arrive(transfer_id)
        assert creator.shown() == ("distributed", 783_333, 0)
        assert first_findings(conn) == {}
        return creator.asked()

    assert await store.write(story) == ["overnetted"]


async def test_nobody_is_asked_to_pay_by_hand_what_is_owed_again(store: Store) -> None:
    def story(conn: Connection) -> list[str]:
        creator = Creator(conn)
        creator.refund(creator.newer, 100, RefundState.SUCCEEDED)
        creator.shop.pay(conn, creator.plan("offcycle:2"), NOW)
        creator.refund(creator.newer, 100, RefundState.FAILED)
        assert creator.asked() == ["overnetted"]
        creator.refund(creator.newer, 200, RefundState.SUCCEEDED)
        return creator.asked()

    assert await store.write(story) == []


async def test_a_failed_payout_that_is_tried_again_is_used_up_by_what_its_recipient_owes(store: Store) -> None:
    def story(conn: Connection) -> tuple[str, int, int]:
        creator = Creator(conn)
        creator.shop.pay(conn, creator.plan("offcycle:2"), NOW, fails=1)
        creator.refund(creator.newer, 100, RefundState.SUCCEEDED)
        assert creator.shown() == ("failed", 0, 783_333)
        retries.retry_distribution(conn, creator.due, NOW)
        assert first_findings(conn) == {}
        return creator.shown()

    assert await store.write(story) == ("pending_conversion", 783_333, 0)


async def test_what_a_refund_leaves_of_a_payout_just_as_debts_have_used_it_up_is_netted(store: Store) -> None:
    def story(conn: Connection) -> tuple[str, int, int]:
        creator = Creator(conn)
        creator.refund(creator.newer, 100, RefundState.SUCCEEDED)
        batch_id = creator.plan("offcycle:2")
        creator.refund(creator.due, 200, RefundState.SUCCEEDED)
        assert batches.outstanding(conn, batch_id).open_payouts == 0, (
            "nothing of it is left, and its batch waits for it"
        )
        assert conn.scalar(select(jobs.c.id).where(jobs.c.kind == "batch", jobs.c.subject == str(batch_id)))
        assert first_findings(conn) == {}
        shown = creator.shown()
        creator.refund(creator.due, 200, RefundState.FAILED)
        assert creator.shown() == ("pending_conversion", 783_333, 0)
        return shown

    assert await store.write(story) == ("netted", 783_333, 0)


async def test_a_transfer_that_never_left_is_given_up_whole_though_its_creator_owes_by_then(store: Store) -> None:
    def story(conn: Connection) -> list[tuple[str, str | None]]:
        creator = Creator(conn)
        second = creator.sell()
        transfer_id = creator.begin(creator.plan("offcycle:2", grouping="creator"), leaves=False)
        creator.refund(creator.older, 300, RefundState.SUCCEEDED)
        transfers.failed(conn, transfer_id, "no answer", NOW)
        given_up = [creator.standing(sale) for sale in (creator.due, second)]
        retries.retry_distribution(conn, creator.due, NOW)
        assert first_findings(conn) == {}
        assert creator.shown() == ("netted", DUE, 0)
        assert creator.standing(second) == ("pending_conversion", None)
        return given_up

    assert await store.write(story) == [("failed", "no answer")] * 2


async def test_what_a_debt_that_ended_gives_back_is_kept_back_for_a_dispute_that_is_open(store: Store) -> None:
    def story(conn: Connection) -> tuple[str, str | None]:
        creator = Creator(conn)
        creator.refund(creator.older, 300, RefundState.SUCCEEDED)
        creator.dispute(creator.older, 100)
        assert creator.shown() == ("netted", DUE, 0)
        creator.refund(creator.older, 300, RefundState.FAILED)
        assert first_findings(conn) == {}
        return creator.standing(creator.due)

    assert await store.write(story) == ("on_hold", REASON)


async def test_what_a_lost_dispute_would_have_a_debt_owe_again_is_kept_back(store: Store) -> None:
    """Nobody was paid for the disputed sale: a debt used it up, and is open again once the sale is lost."""

    def story(conn: Connection) -> tuple[str, str | None]:
        creator = Creator(conn)
        creator.refund(creator.newer, 300, RefundState.SUCCEEDED)
        assert creator.shown() == ("netted", DUE, 0)
        creator.dispute(creator.due, 300)
        last = creator.sell()
        kept = creator.standing(last)
        lost = DisputeSeen(f"dp_{creator.due}", 300, "lost", 300, 1_500, NOW + timedelta(days=1))
        returns.record_dispute(conn, creator.due, lost, NOW + timedelta(days=1))
        assert creator.standing(last)[0] == "netted"
        assert first_findings(conn) == {}
        return kept

    assert await store.write(story) == ("on_hold", REASON)
