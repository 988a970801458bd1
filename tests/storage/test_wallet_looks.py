"""Whose wallet Circle is asked for once a copy is in place, and what becomes of what it tells."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, delete, select, update

from domain.states import WorkState
from storage.people import users, wallets
from storage.people.users import FormerUser, NewUser
from storage.reading import vitals
from storage.recovery import wallet_looks
from storage.store import Store
from storage.tables import jobs
from storage.tables import users as user_rows
from tests.sales import Sales

NOW = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)
A_DAY_BEFORE = (NOW - timedelta(days=1)).isoformat()


def work(conn: Connection) -> list[tuple[str, str]]:
    return [(row.kind, row.subject) for row in conn.execute(select(jobs.c.kind, jobs.c.subject).order_by(jobs.c.id))]


async def test_whom_circle_lists_is_looked_for_and_what_it_knows_is_taken_once(store: Store) -> None:
    def story(conn: Connection) -> None:
        shop = Sales("account")
        shop.user(conn, "ada")
        olga, oleg = [
            users.bring_over(
                conn,
                FormerUser(NewUser(str(shop.uuid()), f"{name}@example.com", name, "-"), "external", name, None),
                NOW,
            )
            for name in ("olga", "oleg")
        ]
        conn.execute(delete(jobs))
        assert not wallet_looks.is_looked_for(conn)
        for _ in range(2):
            wallet_looks.look_for_all(conn, NOW)
        assert (work(conn), wallet_looks.is_looked_for(conn)) == ([("wallet_listing", A_DAY_BEFORE)], True)
        conn.execute(delete(jobs))
        vitals.beat(conn, NOW + timedelta(days=3))
        wallet_looks.look_for_all(conn, NOW)
        assert work(conn) == [("wallet_listing", (NOW + timedelta(days=2)).isoformat())]
        conn.execute(update(jobs).values(state=WorkState.PARKED))
        assert wallet_looks.is_looked_for(conn)
        conn.execute(delete(jobs))
        everybody = list(conn.scalars(select(user_rows.c.uuid)))
        wallet_looks.look_for(conn, [*everybody, "somebody else's"], NOW)
        looks = [("wallet_look", str(olga)), ("wallet_look", str(oleg))]
        assert (work(conn), wallet_looks.is_looked_for(conn)) == (looks, True)
        for _ in range(2):
            wallet_looks.look_for_each(conn, NOW)
        assert sorted(work(conn)) == sorted(looks)
        conn.execute(delete(jobs))
        for _ in range(2):
            wallet_looks.found(conn, olga, "a wallet", "its address", NOW)
            wallet_looks.asked_before(conn, oleg, NOW)
        assert not wallet_looks.is_looked_for(conn)
        found, asked = wallets.user(conn, olga), wallets.user(conn, oleg)
        assert (found.wallet_state, found.circle_wallet_address, found.wallet_provider) == (
            "ready",
            "its address",
            "circle_w3s",
        )
        assert found.address_changed_at == NOW
        assert (asked.wallet_state, asked.wallet_provider, ("wallet", str(oleg)) in work(conn)) == (
            "queued",
            "external",
            True,
        )

    await store.write(story)
