"""What our own migrations do beside Alembic's operations, on both databases."""

from functools import partial

import pytest
from alembic.autogenerate import render_python_code
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.operations.ops import UpgradeOps
from sqlalchemy import CheckConstraint, Connection, MetaData, func, insert, select, text
from sqlalchemy.exc import IntegrityError

from storage.migrations.operations import changed_checks, replace_check
from storage.store import Store
from storage.tables import ledger_postings, metadata, payouts
from tests.storage.test_schema import shape
from tests.storage.test_upgrade import everything_under_way

CHECK = "ck_ledger_postings_amount"


async def test_a_check_is_replaced_in_a_table_that_nobody_may_change_with_its_rows_and_triggers(store: Store) -> None:
    await store.write(everything_under_way)
    before = await store.read(postings)

    def migrate(conn: Connection, condition: str) -> None:
        with Operations.context(MigrationContext.configure(conn)):
            replace_check("ledger_postings", CHECK, condition)

    def post(conn: Connection, amount: int) -> None:
        entry = select(func.min(ledger_postings.c.entry_id)).scalar_subquery()
        conn.execute(insert(ledger_postings).values(entry_id=entry, account="a", asset="usd_cents", amount=amount))

    old = await store.read(shape)
    await store.write(partial(migrate, condition="amount <> 0 AND amount <> 7"))
    with pytest.raises(IntegrityError, match=CHECK):
        await store.write(partial(post, amount=7))
    await store.write(partial(post, amount=8))
    with pytest.raises(IntegrityError, match="append-only"):
        await store.write(lambda conn: conn.execute(text("DELETE FROM ledger_postings")) and None)
    assert await store.read(postings) == before + 1
    with pytest.raises(IntegrityError, match=CHECK):
        await store.write(partial(migrate, condition="amount <> 8"))
    await store.write(partial(migrate, condition="amount <> 0"))
    assert await store.read(shape) == old


def postings(conn: Connection) -> int:
    return conn.execute(select(func.count()).select_from(ledger_postings)).scalar_one()


async def test_a_state_more_is_written_into_the_next_migration(sqlite_store: Store) -> None:
    assert await sqlite_store.read(lambda conn: list(changed_checks(conn, metadata))) == []
    later = MetaData(naming_convention=metadata.naming_convention)
    for table in metadata.sorted_tables:
        table.to_metadata(later)
    (states,) = (one for one in later.tables[payouts.name].constraints if one.name == "ck_payouts_state")
    assert isinstance(states, CheckConstraint)
    wider = str(states.sqltext).replace("'netted'", "'netted', 'gifted'")
    states.sqltext = text(wider)
    found = await sqlite_store.read(lambda conn: list(changed_checks(conn, later)))
    assert f"replace_check('payouts', 'ck_payouts_state', {wider!r})" in render_python_code(UpgradeOps(found))
