"""Who gets past the door of the operator's port, how often, and what is written down of it."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError

from agent.startup import let_tokens_in
from agent.web.rates import Rate
from storage import tables
from storage.books.audit import Act, audited
from storage.books.sealing import AUDIT, check_page, next_seals, write_seals
from storage.engines.sqlite import SqliteStore
from storage.payouts import approvals
from storage.people import tokens
from storage.store import Store
from tests.web.shop import START, Reply, Shop, opened
from tests.web.visitor import Page, signed_in, visiting

APPROVER, OPERATOR, VIEWER = "admin-approver", "admin-operator", "admin-viewer"
STATUS = "/admin/api/status"


async def get(shop: Shop, path: str = STATUS, token: str | None = VIEWER, **headers: str) -> Reply:
    return await shop.send("GET", path, token=token, headers=headers, admin=True)


async def post(shop: Shop, path: str, body: Any = None, token: str = APPROVER, **headers: str) -> Reply:
    return await shop.send("POST", path, body, token, headers=headers, admin=True)


async def make_token(shop: Shop, name: str, role: str, maker: str = APPROVER, days: int = 1) -> tuple[int, str]:
    made = await post(shop, "/admin/api/tokens", {"name": name, "role": role, "days": days}, maker)
    assert made.status == 201, made.body
    return made.body["token"]["id"], made.body["secret"]


async def test_a_token_is_shown_once_stored_hashed_ends_by_itself_and_can_be_ended(store: Store) -> None:
    async with opened(Shop(store)) as shop:
        token_id, secret = await make_token(shop, "Ada", "viewer")
        assert len(secret) >= 43, "256 bits in base64"
        assert (await get(shop, token=secret)).status == 200
        assert secret not in str(await shop.all(tables.tokens))
        listed = (await get(shop, "/admin/api/tokens")).body["items"]
        assert (listed[0]["name"], listed[0]["created_by"], listed[0]["valid"]) == ("Ada", "approver", True)
        assert "secret" not in listed[0] and "token_hash" not in str(listed)
        taken = await post(shop, "/admin/api/tokens", {"name": "Ada", "role": "approver"})
        assert (taken.status, taken.code) == (409, "name_taken")
        assert (await post(shop, "/admin/api/tokens", {"name": "Ben", "role": "viewer"}, OPERATOR)).status == 403
        revoked = await post(shop, f"/admin/api/tokens/{token_id}/revoke")
        assert (revoked.status, revoked.body["valid"]) == (200, False)
        again, secret_again = await make_token(shop, "Ada", "operator")
        answers = [await get(shop, token=secret)]
        shop.clock.pass_(days=2)
        answers.append(await get(shop, token=secret_again))
        answers.append(await get(shop, token="never-made"))
        answers.append(await get(shop, token="é"))
        assert {(one.status, str(one.body)) for one in answers} == {(401, str(answers[0].body))}
        acts = [(row["action"], row["subject"]) for row in await shop.all(tables.audit_log)]
        assert acts == [("make_token", str(token_id)), ("revoke_token", str(token_id)), ("make_token", str(again))]


async def test_a_token_that_the_settings_no_longer_name_opens_nothing(shop: Shop) -> None:
    for token, valid in (("first-of-the-settings", ["first"]), ("second-of-the-settings", ["second"]), ("", [])):
        await shop.store.write(partial(let_tokens_in, token=token, scraper="", now=shop.clock.now()))
        answers = {name: (await get(shop, token=f"{name}-of-the-settings")).status for name in ("first", "second")}
        assert [name for name, status in answers.items() if status == 200] == valid
    assert (await get(shop)).status == 200


async def test_a_low_role_learns_nothing_of_what_it_lacks(shop: Shop) -> None:
    refused = await post(shop, "/admin/api/batches", token=VIEWER)
    assert (refused.status, refused.body) == (
        403,
        {"error": {"code": "forbidden", "message": "this token may not do that"}},
    )


async def test_ten_thousand_guesses_are_slowed_down_and_shut_nobody_else_out(shop: Shop) -> None:
    statuses: dict[int, int] = {}
    for number in range(300):
        answer = await shop.app.admin.dispatch(shop.request(STATUS, f"guess-{number}"))
        statuses[answer.status] = statuses.get(answer.status, 0) + 1
    assert statuses[401] == 20 and statuses[429] == 280
    assert (await shop.app.admin.dispatch(shop.request(STATUS, VIEWER))).status == 200
    waits = []
    for _ in range(12):
        answer = await shop.app.admin.dispatch(shop.request(STATUS, "guess"))
        waits.append(int(answer.headers["Retry-After"]))
        shop.clock.pass_(seconds=waits[-1])
        assert (await shop.app.admin.dispatch(shop.request(STATUS, "guess"))).status == 401
    assert waits == sorted(waits) and waits[-1] >= 900
    assert (await shop.app.admin.dispatch(shop.request(STATUS, "x", remote="10.0.0.9"))).status == 401


async def test_a_caller_who_asks_without_end_is_told_to_wait_and_others_go_on(sqlite_store: SqliteStore) -> None:
    shop = Shop(sqlite_store, rate=Rate(burst=5, per_second=2.0))
    async with opened(shop):
        answers = [await get(shop) for _ in range(7)]
        assert [one.status for one in answers] == [200] * 5 + [429] * 2
        assert (answers[-1].code, answers[-1].headers["Retry-After"]) == ("too_many_requests", "1")
        assert (await get(shop, token=OPERATOR)).status == 200
        shop.clock.pass_(seconds=1)
        assert [(await get(shop)).status for _ in range(3)] == [200, 200, 429]


async def test_pages_count_with_the_calls_of_the_same_token(sqlite_store: SqliteStore) -> None:
    shop = Shop(sqlite_store, rate=Rate(burst=5, per_second=2.0))
    async with opened(shop), visiting(shop.admin.port) as visitor:
        await signed_in(visitor, "viewer")
        pages = [await visitor.get("/console/") for _ in range(3)]
        assert [one.status for one in pages] == [200] * 3
        assert [(await get(shop)).status for _ in range(3)] == [200, 200, 429]
        refused = await visitor.get("/console/")
        assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
        assert "Too many requests; try again in 1 s" in refused.words
        shop.clock.pass_(seconds=1)
        assert (await visitor.get("/console/")).status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 201),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://behind.a.proxy"}, 201),
        ({"Sec-Fetch-Site": "none"}, 201),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://[bad"}, 403),
    ],
)
async def test_a_page_of_another_site_can_t_make_a_change_with_anybody_s_token(
    shop: Shop, headers: dict[str, str], status: int
) -> None:
    assert (await post(shop, "/admin/api/invites", {}, OPERATOR, **headers)).status == status
    assert (await get(shop, **headers)).status == 200
    assert await shop.rows(tables.audit_log) == (1 if status == 201 else 0)
    public = await shop.send("POST", "/api/auth/login/", {"email": "a@b.example", "password": "x"}, headers=headers)
    assert public.status == (401 if status == 201 else 403)


async def test_a_form_of_another_site_that_calls_itself_text_is_a_415(shop: Shop) -> None:
    answer = await shop.send(
        "POST", "/admin/api/invites", raw=b"{}", token=OPERATOR, headers={"Content-Type": "text/plain"}, admin=True
    )
    assert (answer.status, answer.code) == (415, "content_type_unsupported")


async def test_an_act_and_its_row_are_written_together_and_never_changed(store: Store) -> None:
    act = Act("Ada", "127.0.0.1", "r-1", "revoke_token", "token", "1", "left us")

    def end(conn: Any) -> None:
        tokens.revoke(conn, 1, START)

    def fail(conn: Any) -> None:
        tokens.revoke(conn, 1, START)
        raise RuntimeError("after the change")

    async with opened(Shop(store)) as shop:
        with pytest.raises(RuntimeError):
            await store.write(audited(act, START, fail))
        assert await shop.rows(tables.audit_log) == 0
        await store.write(audited(act, START, end))
        (row,) = await shop.all(tables.audit_log)
        assert '"revoked_at": null' in row["before"] and START.isoformat() in row["after"]
        for statement in (update(tables.audit_log).values(actor="Eve"), delete(tables.audit_log)):
            with pytest.raises(IntegrityError):
                await store.write(lambda conn, statement=statement: conn.execute(statement))  # type: ignore[misc]


async def test_an_audit_row_that_was_altered_past_the_database_s_guard_is_found(shop: Shop) -> None:
    act = Act("Ada", "127.0.0.1", "r-1", "revoke_token", "token", "1")
    for _ in range(3):
        await shop.store.write(audited(act, START, lambda conn: None))
    seals = await shop.store.read(lambda conn: next_seals(conn, AUDIT, 10))
    await shop.store.write(lambda conn: write_seals(conn, AUDIT.chain, seals, START))
    from domain.hash_chain import Head

    assert (await shop.store.read(lambda conn: check_page(conn, AUDIT, Head(), 10))).fault is None

    def tamper(conn: Any) -> None:
        conn.exec_driver_sql("DROP TRIGGER audit_log_no_update")
        conn.execute(update(tables.audit_log).where(tables.audit_log.c.id == 2).values(actor="Eve"))

    await shop.store.write(tamper)
    fault = (await shop.store.read(lambda conn: check_page(conn, AUDIT, Head(), 10))).fault
    assert fault is not None and fault.row_id == 2


async def test_two_approvers_are_two_people(shop: Shop) -> None:
    _, ada = await make_token(shop, "Ada", "approver")
    _, ben = await make_token(shop, "Ben", "approver", ada)
    digest = await waiting_batch(shop)
    approve = "/admin/api/batches/1/approve"
    assert (await post(shop, approve, {"digest": "0" * 64}, ada)).code == "digest_differs"
    assert (await post(shop, approve, {"digest": digest}, ada)).body["approved_by"] == ["Ada"]
    for maker_or_made in (ben, APPROVER):
        refused = await post(shop, approve, {"digest": digest}, maker_or_made)
        assert (refused.status, refused.code) == (403, "same_person")
    _, cy = await make_token(shop, "Cy", "approver")
    assert (await post(shop, approve, {"digest": digest}, cy)).body["approved_by"] == ["Ada", "Cy"]


async def test_two_approvers_in_their_browsers_are_two_people(shop: Shop) -> None:
    _, ada = await make_token(shop, "Ada", "approver")
    _, ben = await make_token(shop, "Ben", "approver", ada)
    digest = await waiting_batch(shop)
    assert (await approved_in_a_browser(shop, ada, digest)).status == 303
    refused = await approved_in_a_browser(shop, ben, digest)
    assert (refused.status, "neither may have made the other" in refused.words) == (403, True)
    batch = await get(shop, "/admin/api/batches/1")
    assert batch.body["batch"]["approved_by"] == ["Ada"]


async def approved_in_a_browser(shop: Shop, token: str, digest: str) -> Page:
    async with visiting(shop.admin.port) as visitor:
        assert (await visitor.send("/console/signin", "/console/signin", token=token)).status == 303
        return await visitor.send("/console/batches/1", "/console/do/batches/1/approve", confirm=digest[:8])


async def waiting_batch(shop: Shop) -> str:
    """An empty batch that waits for its approval; its digest."""
    now = shop.clock.now()
    batch = {
        "uuid": "0b8f0f6e-6a56-4a37-9d0a-0a4c0c0b7c11",
        "key": "offcycle:1",
        "cutoff_at": now,
        "status": "waiting_approval",
        "grouping": "purchase",
        "rail": "circle",
        "payout_count": 0,
        "planned_amount": 0,
        "created_at": now - timedelta(hours=1),
    }
    await shop.store.write(lambda conn: conn.execute(tables.batches.insert().values(**batch)))
    return await shop.store.write(lambda conn: approvals.freeze(conn, 1))
