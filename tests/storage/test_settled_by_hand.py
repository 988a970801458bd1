"""What a person settles by hand stands in the books: every account that it touches comes to nothing, the ledger is the
chain, it is done once, and only for what was looked at."""

from collections.abc import Callable
from typing import Any, Literal

import pytest
from sqlalchemy import URL, Connection, select, update

from domain.errors import RequestError
from domain.ledger import CONVERSION_CLEARING, OUTSIDE, TREASURY, WRITTEN_OFF, Asset, debt_of, owed_to
from domain.states import RefundState
from storage.books.ledger import balance
from storage.engines.postgres import PostgresStore
from storage.operation import by_hand, retries
from storage.operation.by_hand import DebtSettled
from storage.payouts import debts
from storage.sales.returns import RefundSeen, record_refund
from storage.store import Store
from storage.tables import chain_movements, jobs, payouts, state_history
from storage.treasury import conversion_orders, conversions, deposits, matches, movement_rows, movements, outflows
from storage.treasury.conversion_orders import Wish
from storage.treasury.conversions import Announced
from tests.sales import PLATFORM, Sales
from tests.storage.replicas import at_once
from tests.storage.test_debts import ACCOUNT, DUE, NOW, Creator
from tests.verified import first_findings

THIRD = 783_333
"""Of what is due of a sale, a third of its price."""
Way = Literal["repaid", "forgiven"]


def underpaid(conn: Connection) -> Creator:
    """A refund made a payout smaller, and failed once it was paid."""
    creator = Creator(conn)
    creator.refund(creator.due, 100, RefundState.SUCCEEDED)
    creator.shop.pay(conn, creator.plan("offcycle:2"), NOW)
    creator.refund(creator.due, 100, RefundState.FAILED)
    return creator


def overnetted(conn: Connection) -> Creator:
    """A debt was netted from a payout, and ended once that was paid."""
    creator = Creator(conn)
    creator.refund(creator.newer, 100, RefundState.SUCCEEDED)
    creator.shop.pay(conn, creator.plan("offcycle:2"), NOW)
    creator.refund(creator.newer, 100, RefundState.FAILED)
    return creator


def in_debt(conn: Connection) -> Creator:
    """Two payouts came back whole; what is due uses up one of them."""
    creator = Creator(conn)
    for sale in (creator.older, creator.newer):
        creator.refund(sale, 300, RefundState.SUCCEEDED)
    return creator


def asked(conn: Connection) -> list[Any]:
    return list(conn.execute(select(jobs).where(jobs.c.kind.in_(["underpaid", "overnetted"]))).all())


def close(conn: Connection, amount: int | None = None) -> None:
    (row,) = asked(conn)
    wanted = by_hand.asked(conn, row.kind, row.subject)
    retries.close_row(conn, "jobs", row.id, wanted if amount is None else amount, "sent from the treasury", NOW)


def settle(conn: Connection, creator: Creator, way: Way, amount: int, owes: int, deposit: int | None = None) -> int:
    return by_hand.settle_debt(conn, creator.user, DebtSettled(way, amount, owes, deposit, "he wrote"), NOW)


def standing(conn: Connection, creator: Creator) -> dict[str, int]:
    """The accounts that are not at zero, of those that can be open."""
    names = (owed_to(creator.user), debt_of(creator.user), OUTSIDE, WRITTEN_OFF)
    found = {name: balance(conn, name, Asset.USDC) for name in names}
    return {name: amount for name, amount in found.items() if amount}


def leaves(conn: Connection, amount: int, signature: str = "by-hand") -> None:
    """Somebody has sent it in Circle's console, and accepts it as his own."""
    moved = movement_rows.Movement(signature, ACCOUNT, Asset.USDC, -amount, 11, NOW, "the creator's other wallet")
    movements.book_usdc(conn, moved, NOW)
    (orphan,) = outflows.orphan_rows(conn)
    assert outflows.accept_orphan(conn, int(orphan.id), "ours", NOW)


@pytest.mark.parametrize("story", [underpaid, overnetted])
async def test_what_was_paid_by_hand_leaves_no_account_open_and_the_ledger_is_the_chain(
    store: Store, story: Callable[[Connection], Creator]
) -> None:
    def run(conn: Connection) -> None:
        creator = story(conn)
        (row,) = asked(conn)
        amount = by_hand.asked(conn, row.kind, row.subject)
        assert amount == THIRD
        assert standing(conn, creator) in ({owed_to(creator.user): -amount}, {debt_of(creator.user): -amount})
        leaves(conn, amount)
        close(conn)
        assert standing(conn, creator) == {}
        assert balance(conn, TREASURY, Asset.USDC) == movement_rows.movement_sum(conn, ACCOUNT, Asset.USDC)
        assert [row.state for row in asked(conn)] == ["done"]
        told = conn.scalars(select(state_history.c.reason).where(state_history.c.machine == "payout")).all()
        assert any("settled by hand" in (one or "") and "sent from the treasury" in (one or "") for one in told)
        assert first_findings(conn) == {}

    await store.write(run)


@pytest.mark.parametrize("story", [underpaid, overnetted])
async def test_it_is_settled_once_and_only_for_what_is_asked_now(
    store: Store, story: Callable[[Connection], Creator]
) -> None:
    def run(conn: Connection) -> None:
        creator = story(conn)
        for wrong in (0, 1, THIRD + 2):
            with pytest.raises(RequestError) as refused:
                close(conn, wrong)
            assert refused.value.code == "amount_differs"
        close(conn)
        with pytest.raises(RequestError) as again:
            close(conn, THIRD)
        assert again.value.code == "not_parked"
        assert standing(conn, creator) == {OUTSIDE: -THIRD}

    await store.write(run)


async def test_what_comes_back_after_it_was_paid_by_hand_is_a_debt(store: Store) -> None:
    def run(conn: Connection) -> None:
        creator = underpaid(conn)
        close(conn)
        creator.refund(creator.due, 99, RefundState.SUCCEEDED)
        assert debts.open_debt(conn, creator.user) == 775_500, "he has all of it, and a third of its price went back"
        assert standing(conn, creator) == {debt_of(creator.user): 775_500, OUTSIDE: -THIRD}
        creator.refund(creator.due, 99, RefundState.FAILED)
        assert standing(conn, creator) == {OUTSIDE: -THIRD}
        assert [row.state for row in asked(conn)] == ["done"]
        assert first_findings(conn) == {}

    await store.write(run)


@pytest.mark.parametrize("story", [underpaid, overnetted])
async def test_what_was_closed_while_that_booked_nothing_is_told_and_booked_by_the_same_act(
    store: Store, story: Callable[[Connection], Creator]
) -> None:
    def run(conn: Connection) -> None:
        creator = story(conn)
        conn.execute(update(jobs).where(jobs.c.state == "parked").values(state="done"))  # as closing left it then
        assert list(first_findings(conn)) == ["closed-by-hand"]
        with pytest.raises(RequestError) as refused:
            close(conn, THIRD - 1)
        assert refused.value.code == "amount_differs"
        close(conn)
        assert standing(conn, creator) == {OUTSIDE: -THIRD}
        assert first_findings(conn) == {}
        with pytest.raises(RequestError) as again:
            close(conn, THIRD)
        assert again.value.code == "not_parked"

    await store.write(run)


async def test_as_much_once_more_is_asked_for_anew(store: Store) -> None:
    """He was paid the rest, owed as much by another refund, repaid it, and that refund failed as well."""

    def run(conn: Connection) -> None:
        creator = underpaid(conn)
        close(conn)
        for state in (RefundState.SUCCEEDED, RefundState.FAILED):
            record_refund(conn, creator.due, RefundSeen("re_another", 100, state, None), NOW)
            if state == RefundState.SUCCEEDED:
                assert settle(conn, creator, "repaid", THIRD, THIRD) == 0
        assert [row.state for row in asked(conn)] == ["parked"]
        close(conn)
        assert standing(conn, creator) == {OUTSIDE: -THIRD}
        assert first_findings(conn) == {}

    await store.write(run)


@pytest.mark.parametrize("way", ["repaid", "forgiven"])
async def test_a_debt_that_is_settled_is_owed_no_more_and_later_sales_are_paid_whole(store: Store, way: Way) -> None:
    def run(conn: Connection) -> None:
        creator = in_debt(conn)
        assert debts.open_debt(conn, creator.user) == DUE, "one payout of three is left to use up what was paid twice"
        with pytest.raises(RequestError) as late:
            settle(conn, creator, way, 1, DUE - 1)
        assert late.value.code == "debt_differs"
        for wrong in (0, DUE + 1):
            with pytest.raises(RequestError) as refused:
                settle(conn, creator, way, wrong, DUE)
            assert refused.value.code == "too_much"
        assert settle(conn, creator, way, DUE - 5, DUE) == 5
        with pytest.raises(RequestError) as again:
            settle(conn, creator, way, DUE - 5, DUE)
        assert again.value.code == "debt_differs", "whoever asks again has settled it already"
        assert settle(conn, creator, way, 5, 5) == 0
        assert standing(conn, creator) == {WRITTEN_OFF if way == "forgiven" else OUTSIDE: DUE}
        last = creator.sell()
        row = conn.execute(select(payouts).where(payouts.c.purchase_id == last)).one()
        assert (row.state, row.netted_amount) == ("pending_conversion", 0)
        assert first_findings(conn) == {}

    await store.write(run)


async def test_a_debt_repaid_to_the_wallet_takes_its_deposit_out_of_the_clearing(store: Store) -> None:
    def run(conn: Connection) -> None:
        creator = in_debt(conn)
        before = balance(conn, CONVERSION_CLEARING, Asset.USDC)
        creator.shop.deposit(conn, DUE - 10)
        deposit = conn.scalars(select(chain_movements.c.id).order_by(chain_movements.c.id.desc()).limit(1)).one()
        assert settle(conn, creator, "repaid", DUE - 10, DUE, deposit) == 10
        for other, code in ((deposit, "deposit_explained"), (deposit + 1, "no_such_deposit")):
            with pytest.raises(RequestError) as refused:
                settle(conn, creator, "repaid", 10, 10, other)
            assert refused.value.code == code
        assert standing(conn, creator) == {debt_of(creator.user): 10}
        assert balance(conn, CONVERSION_CLEARING, Asset.USDC) == before
        assert balance(conn, TREASURY, Asset.USDC) == movement_rows.movement_sum(conn, ACCOUNT, Asset.USDC)
        assert deposits.unexplained_total(conn) == 10 * DUE
        assert first_findings(conn) == {}

    await store.write(run)


async def test_what_the_operator_put_in_himself_is_no_conversions_and_nothing_once_he_has_taken_it_out_again(
    store: Store,
) -> None:
    def run(conn: Connection) -> None:
        shop = Sales(ACCOUNT)
        shop.deposit(conn, DUE)
        deposit = conn.scalars(select(chain_movements.c.id)).one()
        for wrong, code in ((DUE - 1, "amount_differs"), (0, "amount_differs")):
            with pytest.raises(RequestError) as refused:
                deposits.accept_own(conn, deposit, wrong, "a loan", NOW)
            assert refused.value.code == code
        with pytest.raises(RequestError) as unknown:
            deposits.accept_own(conn, deposit + 1, DUE, "a loan", NOW)
        assert (unknown.value.status, unknown.value.code) == (404, "no_such_deposit")
        deposits.accept_own(conn, deposit, DUE, "a loan", NOW)
        with pytest.raises(RequestError) as again:
            deposits.accept_own(conn, deposit, DUE, "a loan", NOW)
        assert again.value.code == "amount_differs"
        assert (balance(conn, CONVERSION_CLEARING, Asset.USDC), balance(conn, OUTSIDE, Asset.USDC)) == (0, -DUE)
        assert conversions.announce(conn, Announced(str(shop.uuid()), 235, DUE, ""), NOW)
        assert matches.of_deposits(conn, [deposit]) == {deposit: []}, "whatever is announced later explains it no more"
        leaves(conn, DUE)
        assert balance(conn, OUTSIDE, Asset.USDC) == 0
        told = conn.execute(select(state_history).where(state_history.c.machine == "deposit")).one()
        assert (told.subject, told.after, told.reason) == (str(deposit), "own", "a loan")
        assert first_findings(conn) == {}

    await store.write(run)


async def test_a_deposit_that_may_be_an_open_orders_is_nobodys_to_explain(store: Store) -> None:
    def run(conn: Connection) -> None:
        creator = in_debt(conn)
        wish = Wish(creator.shop.uuid(), DUE, PLATFORM, "", "ada")
        order = conversion_orders.propose(conn, wish, NOW)
        creator.shop.deposit(conn, DUE)
        deposit = conn.scalars(select(chain_movements.c.id).order_by(chain_movements.c.id.desc()).limit(1)).one()
        for act in (
            lambda: deposits.accept_own(conn, deposit, DUE, "a loan", NOW),
            lambda: settle(conn, creator, "repaid", DUE, DUE, deposit),
        ):
            with pytest.raises(RequestError) as refused:
                act()
            assert refused.value.code == "may_be_an_orders"
        conversion_orders.cancel(conn, order, "not needed", NOW)
        assert settle(conn, creator, "repaid", DUE, DUE, deposit) == 0
        assert first_findings(conn) == {}

    await store.write(run)


@pytest.mark.parametrize(("way", "left"), [("repaid", [DUE]), ("forgiven", [])])
async def test_a_refund_that_fails_after_its_debt_was_settled_has_only_what_was_repaid_paid_back(
    store: Store, way: Way, left: list[int]
) -> None:
    def run(conn: Connection) -> None:
        creator = in_debt(conn)
        settle(conn, creator, way, DUE, DUE)
        creator.refund(creator.newer, 300, RefundState.FAILED)
        mine = [row for row in asked(conn) if row.state == "parked"]
        assert [by_hand.asked(conn, row.kind, row.subject) for row in mine] == left
        if left:
            close(conn)
        assert standing(conn, creator) == {}
        assert first_findings(conn) == {}

    await store.write(run)


async def test_what_was_forgiven_ends_before_later_payouts_get_anything_back(store: Store) -> None:
    """Two thirds of a sale went back after it was paid, one netted and one forgiven; then the last refund fails."""

    def run(conn: Connection) -> tuple[int, int]:
        creator = Creator(conn)
        creator.refund(creator.due, 200, RefundState.SUCCEEDED)  # a third is due of it
        creator.refund(creator.newer, 100, RefundState.SUCCEEDED)
        creator.refund(creator.newer, 101, RefundState.SUCCEEDED)
        owes = debts.open_debt(conn, creator.user)
        settle(conn, creator, "forgiven", owes, owes)
        creator.refund(creator.newer, 101, RefundState.FAILED)
        row = conn.execute(select(payouts).where(payouts.c.purchase_id == creator.due)).one()
        assert first_findings(conn) == {}
        assert balance(conn, debt_of(creator.user), Asset.USDC) == 0
        return row.netted_amount, balance(conn, WRITTEN_OFF, Asset.USDC)

    assert await store.write(run) == (THIRD, 0)


async def test_two_operators_who_settle_the_same_at_once_settle_it_once(
    postgres_store: PostgresStore, postgres_url: URL
) -> None:
    shops: list[Creator] = []
    await postgres_store.write(lambda conn: shops.append(overnetted(conn)))
    refused: list[str] = []

    def act(conn: Connection) -> None:
        try:
            close(conn, THIRD)
        except RequestError as error:
            refused.append(error.code)

    await at_once(postgres_url, act, act)
    assert refused == ["not_parked"]
    creator = shops[0]
    assert await postgres_store.read(lambda conn: standing(conn, creator)) == {OUTSIDE: -THIRD}


async def test_a_debt_that_ends_while_somebody_forgives_it_is_not_forgiven(
    postgres_store: PostgresStore, postgres_url: URL
) -> None:
    shops: list[Creator] = []
    await postgres_store.write(lambda conn: shops.append(in_debt(conn)))
    creator, refused = shops[0], list[str]()

    def fails(conn: Connection) -> None:
        creator.conn = conn
        creator.refund(creator.newer, 300, RefundState.FAILED)

    def forgives(conn: Connection) -> None:
        try:
            settle(conn, creator, "forgiven", DUE, DUE)
        except RequestError as error:
            refused.append(error.code)

    await at_once(postgres_url, fails, forgives)
    assert refused == ["debt_differs"]
    assert await postgres_store.read(lambda conn: standing(conn, creator)) == {}
    assert await postgres_store.read(first_findings) == {}
