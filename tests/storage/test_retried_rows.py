"""A parked row that a person has run again: what failed with it goes back too, or its step would find nothing to do."""

import pytest
from sqlalchemy import Connection, select

from domain.states import UsdcStatus, WalletState, WorkState
from storage.history import advance
from storage.operation import retries
from storage.payouts import groups
from storage.payouts.groups import NewGroup
from storage.store import Store
from storage.tables import jobs, payouts, transfers, users
from storage.work import ask_person
from tests.storage.test_debts import NOW, Creator
from tests.verified import first_findings

WHY = "Circle refused the address"


def _retry(conn: Connection, kind: str, subject: int) -> None:
    ask_person(conn, kind, str(subject), "given_up", WHY, NOW)
    named = (jobs.c.kind == kind) & (jobs.c.subject == str(subject))
    retries.retry_row(conn, "jobs", conn.execute(select(jobs.c.id).where(named)).scalar_one(), NOW)
    assert conn.scalar(select(jobs.c.state).where(named)) == WorkState.DUE


@pytest.mark.parametrize("rail", ["circle", "solana"])
async def test_a_transfer_or_a_group_that_was_given_up_is_paid_again(store: Store, rail: str) -> None:
    def story(conn: Connection) -> str:
        creator = Creator(conn)
        batch_id = creator.plan("offcycle:2", rail)
        kind, subject = "transfer", conn.execute(select(transfers).where(transfers.c.batch_id == batch_id)).one().id
        if rail == "circle":
            creator.shop.pay(conn, batch_id, NOW, fails=1)
        else:
            members = [(subject, "address", 2_350_000)]
            wanted = NewGroup(str(creator.shop.uuid()), "v0", "", "s" * 32, "receipt", members)
            kind, subject = "packed_settle", groups.create(conn, batch_id, wanted, NOW)
            groups.failed(conn, subject, WHY, NOW)
        assert creator.shown()[0] == UsdcStatus.FAILED
        _retry(conn, kind, subject)
        assert first_findings(conn) == {}
        return creator.shown()[0]

    assert await store.write(story) == UsdcStatus.PENDING_CONVERSION


async def test_a_wallet_that_was_given_up_is_asked_for_again(store: Store) -> None:
    def story(conn: Connection) -> str:
        user_id = Creator(conn).shop.user(conn, "bob", wallet=False)
        advance(conn, user_id, WalletState.FAILED, NOW, WHY)
        _retry(conn, "wallet", user_id)
        return str(conn.scalar(select(users.c.wallet_state).where(users.c.id == user_id)))

    assert await store.write(story) == WalletState.QUEUED


async def test_what_has_not_failed_runs_again_as_it_is(store: Store) -> None:
    def story(conn: Connection) -> set[str]:
        creator = Creator(conn)
        transfer_id = creator.begin(creator.plan("offcycle:2"))
        _retry(conn, "transfer", transfer_id)
        return set(conn.scalars(select(payouts.c.state)))

    assert await store.write(story) == {UsdcStatus.DISTRIBUTED, UsdcStatus.PENDING_DISTRIBUTION}
