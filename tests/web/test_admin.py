"""The operator's port: looking, retrying, announcing, planning; and who did what."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from domain.states import PurchaseStatus, UsdcStatus, WalletState
from storage import tables
from storage.history import advance
from storage.queues import Queue
from storage.store import Store
from storage.work import ask_person, claim, enqueue, park
from tests.web.sales import fee_known, minted, move_payouts, paid
from tests.web.shop import Planner, PreviewOf, Reply, ShareOf, Shop, event, opened

OPERATOR = "admin-operator"
VIEWER = "admin-viewer"


async def get(shop: Shop, path: str) -> Reply:
    return await shop.send("GET", path, token=VIEWER, admin=True)


async def post(shop: Shop, path: str, body: Any = None, token: str = OPERATOR) -> Reply:
    return await shop.send("POST", path, body, token, admin=True)


async def parked_job(shop: Shop, kind: str, subject: int) -> None:
    """A job that used up its attempts."""
    now = shop.clock.now()

    def spoil(conn: Any) -> None:
        enqueue(conn, kind, subject, now)
        for claimed in claim(conn, Queue(tables.jobs), 100, "w", now, timedelta(minutes=1)):
            if (claimed.kind, claimed.subject) == (kind, str(subject)):
                park(conn, claimed, "attempts_used_up", "Circle: no answer")
            else:
                conn.execute(update(tables.jobs).where(tables.jobs.c.id == claimed.id).values(lease_until=None))

    await shop.store.write(spoil)


async def job(shop: Shop, kind: str, subject: int) -> dict[str, Any]:
    return next(row for row in await shop.all(tables.jobs) if (row["kind"], row["subject"]) == (kind, str(subject)))


async def test_work_shows_what_waits_and_what_is_parked_with_its_reason_page_by_page(store: Store) -> None:
    async with opened(Shop(store)) as shop:
        user_id, _ = await shop.member()
        await parked_job(shop, "wallet", user_id)
        for n in range(4):
            await shop.deliver(event(id=f"evt_{n}"))
        shop.clock.pass_(seconds=90)
        parked = (await get(shop, "/admin/api/work?state=parked")).body["items"]
        assert [(item["kind"], item["subject"], item["error_code"]) for item in parked] == [
            ("wallet", str(user_id), "attempts_used_up")
        ]
        assert (parked[0]["age_seconds"], parked[0]["attempts"]) == (90, 1)
        found, after = [], ""
        while True:
            page = (await get(shop, f"/admin/api/work?limit=2{after}")).body
            found += [item["subject"] for item in page["items"]]
            if page["next"] is None:
                break
            after = f"&after={page['next']}"
        assert found == [str(user_id), "evt_0", "evt_1", "evt_2", "evt_3"]


async def test_a_failed_wallet_is_asked_for_again_and_who_asked_is_on_record(shop: Shop) -> None:
    user_id, _ = await shop.member()
    fresh = await post(shop, f"/admin/api/retry/wallet/{user_id}")
    assert (fresh.status, fresh.code) == (409, "not_failed")
    await parked_job(shop, "wallet", user_id)
    await shop.store.write(lambda conn: advance(conn, user_id, WalletState.FAILED, shop.clock.now(), "no luck"))
    answer = await post(shop, f"/admin/api/retry/wallet/{user_id}")
    assert (answer.status, answer.body) == (202, {"kind": "wallet", "id": user_id, "state": "due"})
    (user,) = await shop.all(tables.users)
    assert user["wallet_state"] == "queued"
    assert ((await job(shop, "wallet", user_id))["state"], (await job(shop, "wallet", user_id))["attempts"]) == (
        "due",
        0,
    )
    (audit,) = (await get(shop, "/admin/api/audit")).body["items"]
    assert (audit["actor"], audit["action"], audit["kind"]) == ("operator", "retry_wallet", "user")
    assert (audit["subject"], audit["remote"]) == (str(user_id), "127.0.0.1")
    assert (audit["before"]["wallet_state"], audit["after"]["wallet_state"]) == ("failed", "queued")
    assert audit["request_id"]


async def test_a_failed_mint_runs_again_and_a_payment_that_failed_does_not(shop: Shop) -> None:
    _, author = await shop.member("author@example.com")
    _, buyer = await shop.member()
    purchase_id = await paid(shop, await shop.content(author), buyer)
    path = f"/admin/api/retry/mint/{purchase_id}"
    assert (await post(shop, path)).code == "not_failed"
    await parked_job(shop, "mint", purchase_id)
    await shop.store.write(
        lambda conn: advance(conn, purchase_id, PurchaseStatus.FAILED, shop.clock.now(), status_reason="no luck")
    )
    assert (await post(shop, path)).status == 202
    assert (await job(shop, "mint", purchase_id))["state"] == "due"
    await shop.store.write(lambda conn: conn.execute(tables.jobs.delete()))
    await shop.store.write(lambda conn: conn.execute(update(tables.purchases).values(status_reason="payment_failed")))
    refused = await post(shop, path)
    assert (refused.status, refused.code) == (409, "not_failed")
    assert (
        refused.body["error"]["message"] == f"purchase {purchase_id} was never paid: there is no mint that has failed"
    )


async def test_a_failed_distribution_goes_back_to_waiting_for_cover_with_its_transfer_and_batch(store: Store) -> None:
    async with opened(Shop(store)) as shop:
        _, author = await shop.member("author@example.com")
        _, buyer = await shop.member()
        purchase_id = await paid(shop, await shop.content(author), buyer)
        await fee_known(shop, purchase_id)
        await minted(shop, purchase_id)
        path = f"/admin/api/retry/distribution/{purchase_id}"
        assert (await post(shop, path)).code == "not_failed"
        now = shop.clock.now()

        def batched(conn: Any) -> tuple[int, int]:
            batch = conn.execute(
                insert(tables.batches)
                .values(
                    uuid="0b8f0f6e-6a56-4a37-9d0a-0a4c0c0b7c11",
                    key="offcycle:1",
                    cutoff_at=now,
                    status="settled",
                    grouping="purchase",
                    rail="circle",
                    payout_count=1,
                    planned_amount=2_350_000,
                    created_at=now,
                )
                .returning(tables.batches.c.id)
            ).scalar_one()
            transfer = conn.execute(
                insert(tables.transfers)
                .values(
                    uuid="1b8f0f6e-6a56-4a37-9d0a-0a4c0c0b7c11",
                    batch_id=batch,
                    recipient_id=1,
                    reference="purchase-pi-distribution",
                    key_scope="pi:1",
                    amount=2_350_000,
                    destination_address="CreatorWallet",
                    created_at=now,
                )
                .returning(tables.transfers.c.id)
            ).scalar_one()
            payout = conn.scalar(select(tables.payouts.c.id))
            item = {"batch_id": batch, "payout_id": payout, "destination_address": "CreatorWallet", "amount": 2_350_000}
            conn.execute(insert(tables.batch_items).values(item))
            return batch, transfer

        batch_id, transfer_id = await shop.store.write(batched)
        await move_payouts(
            shop,
            purchase_id,
            UsdcStatus.PENDING_DISTRIBUTION,
            UsdcStatus.FAILED,
            batch_id=batch_id,
            transfer_id=transfer_id,
            reason="Circle: DENIED",
        )
        await parked_job(shop, "transfer", transfer_id)
        assert (await post(shop, path)).status == 202
        (payout,) = await shop.all(tables.payouts)
        assert (payout["state"], payout["transfer_id"], payout["reason"]) == ("pending_conversion", transfer_id, None)
        (row,) = await shop.all(tables.batches)
        assert row["status"] == "sending"
        for kind, subject in (("transfer", transfer_id), ("batch", batch_id)):
            assert (await job(shop, kind, subject))["state"] == "due"
        listed = (await get(shop, "/admin/api/batches")).body["items"]
        assert (listed[0]["planned_amount"], listed[0]["payouts"]) == ("2.35", {"pending_conversion": 1})


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/admin/api/retry/wallet/999", "user_not_found"),
        ("/admin/api/retry/mint/999", "purchase_not_found"),
        ("/admin/api/retry/distribution/999", "purchase_not_found"),
        ("/admin/api/retry/refund/1", "retry_unknown"),
        ("/admin/api/work/jobs/999/retry", "work_not_found"),
        ("/admin/api/work/users/1/retry", "source_unknown"),
    ],
)
async def test_a_retry_of_what_does_not_exist_is_a_404(shop: Shop, path: str, code: str) -> None:
    answer = await post(shop, path)
    assert (answer.status, answer.code) == (404, code)


async def test_what_a_person_settles_by_hand_is_not_run_again(shop: Shop) -> None:
    now = shop.clock.now()
    await shop.store.write(lambda conn: ask_person(conn, "underpaid", "1", "underpaid", "7 units more are due", now))
    (row,) = await shop.all(tables.jobs)
    answer = await post(shop, f"/admin/api/work/jobs/{row['id']}/retry")
    assert (answer.status, answer.code) == (409, "by_hand")
    assert (await job(shop, "underpaid", 1))["state"] == "parked"


async def test_a_reason_that_no_database_keeps_is_refused_and_one_of_several_lines_is_not(store: Store) -> None:
    async with opened(Shop(store)) as shop:
        assert (await post(shop, "/admin/api/sends/pause", {"reason": "wait\x00"})).status == 422
        assert (await get(shop, "/admin/api/sends")).body == {"paused": None}
        told = {"reason": "the alert says:\n\tTreasuryGap"}
        assert (await post(shop, "/admin/api/sends/pause", told)).body == {"paused": told["reason"]}


async def test_what_a_person_settled_by_hand_is_closed_with_his_reason(shop: Shop) -> None:
    now = shop.clock.now()
    await shop.store.write(lambda conn: ask_person(conn, "underpaid", "?", "underpaid", "7 units more are due", now))
    (row,) = await shop.all(tables.jobs)
    path = f"/admin/api/work/jobs/{row['id']}/close"
    assert (await post(shop, path, {})).status == 422
    assert (await shop.send("POST", path, {"reason": "paid"}, "admin-viewer", admin=True)).status == 403
    closed = await post(shop, path, {"reason": "paid from the other wallet"})
    assert (closed.status, closed.body) == (
        200,
        {"source": "jobs", "id": row["id"], "state": "done", "not_booked": None},
    )
    assert [row["state"] for row in await shop.all(tables.jobs)] == ["done"]
    (told,) = [one for one in await shop.all(tables.audit_log) if one["action"] == "close_row"]
    assert told["reason"] == "paid from the other wallet"
    assert (await post(shop, path, {"reason": "again"})).code == "not_parked"


async def test_an_event_that_can_never_be_booked_is_closed_and_can_be_replayed(shop: Shop) -> None:
    await shop.deliver(event())
    (row,) = await shop.all(tables.stripe_events)
    path, told = f"/admin/api/work/stripe_events/{row['id']}/close", {"reason": "refunded at Stripe"}
    assert (await post(shop, path, told)).code == "not_parked"

    await shop.store.write(lambda conn: conn.execute(update(tables.stripe_events).values(state="parked")))
    assert (await post(shop, path, told)).status == 200
    assert [one["state"] for one in await shop.all(tables.stripe_events)] == ["done"]
    assert (await post(shop, f"/admin/api/events/stripe/{row['id']}/replay")).status == 202
    assert [one["state"] for one in await shop.all(tables.stripe_events)] == ["due"]


async def test_work_of_a_step_is_not_closed_by_hand(shop: Shop) -> None:
    now = shop.clock.now()
    await shop.store.write(lambda conn: ask_person(conn, "transfer", "1", "frozen", "the account is frozen", now))
    (row,) = await shop.all(tables.jobs)
    answer = await post(shop, f"/admin/api/work/jobs/{row['id']}/close", {"reason": "tired of it"})
    assert (answer.status, answer.code) == (409, "not_by_hand")
    assert (await job(shop, "transfer", 1))["state"] == "parked"


async def test_a_parked_row_of_any_source_runs_again(shop: Shop) -> None:
    await shop.deliver(event())
    (row,) = await shop.all(tables.stripe_events)
    path = f"/admin/api/work/stripe_events/{row['id']}/retry"
    assert (await post(shop, path)).code == "not_parked"
    await shop.store.write(lambda conn: conn.execute(update(tables.stripe_events).values(state="parked", attempts=8)))
    assert (await post(shop, path)).status == 202
    (row,) = await shop.all(tables.stripe_events)
    assert (row["state"], row["attempts"]) == ("due", 0)


async def test_a_purchase_shows_its_whole_history_and_its_books(store: Store) -> None:
    async with opened(Shop(store)) as shop:
        _, author = await shop.member("author@example.com")
        _, buyer = await shop.member()
        purchase_id = await paid(shop, await shop.content(author), buyer)
        await fee_known(shop, purchase_id)
        await minted(shop, purchase_id)
        shown = (await get(shop, f"/admin/api/purchases/{purchase_id}")).body
        assert shown["purchase"]["status"] == "completed"
        moves = [(row["machine"], row["after"]) for row in shown["history"]]
        for move in [
            ("checkout", "open"),
            ("purchase", "minting"),
            ("mint", "finalized"),
            ("payout", "pending_conversion"),
        ]:
            assert move in moves
        assert [mint["state"] for mint in shown["mints"]] == ["finalized"]
        assert {row["kind"] for row in shown["postings"]} == {"sale_paid", "fee_final", "sale_due"}
        sums: dict[str, int] = {}
        for row in shown["postings"]:
            sums[row["asset"]] = sums.get(row["asset"], 0) + row["amount"]
        assert set(sums.values()) == {0}
        ledger = (await get(shop, "/admin/api/ledger")).body
        assert ledger["imbalance"] == 0
        assert {"stripe:balance", "sales"} <= {row["account"] for row in ledger["balances"]}
        status = (await get(shop, "/admin/api/status")).body
        assert status["counts"]["purchases"] == {"completed": 1}
        assert status["treasury"]["to_convert"] == "2.35"
        assert (await get(shop, "/admin/api/purchases/999")).status == 404


async def test_an_invite_made_by_the_operator_lets_its_number_of_people_in(shop: Shop) -> None:
    made = await post(shop, "/admin/api/invites", {"uses": 1})
    assert made.status == 201
    wish = {"email": "a@example.com", "password": "long enough", "invite_code": made.body["code"]}
    assert (await shop.send("POST", "/api/auth/signup/", wish)).status == 201
    assert (await shop.send("POST", "/api/auth/signup/", {**wish, "email": "b@example.com"})).status == 403
    twice = [await post(shop, "/admin/api/invites", {"code": "chosen-code"}) for _ in range(2)]
    assert [answer.status for answer in twice] == [201, 409]


async def test_an_announced_conversion_is_booked_in_dollars_and_releases_no_usdc(shop: Shop) -> None:
    made = await post(shop, "/admin/api/conversions", {"usd_cents": 11_250, "note": "wire 7"})
    assert (made.status, made.body["expected_usdc"]) == (201, "112.50")
    balances = (await get(shop, "/admin/api/ledger")).body["balances"]
    assert {(row["account"], row["amount"]) for row in balances} == {
        ("conversion:clearing", 11_250),
        ("stripe:balance", -11_250),
    }
    assert (await get(shop, "/admin/api/conversions")).body["items"][0]["note"] == "wire 7"
    for wrong in ({"usd_cents": 0}, {"usd_cents": 100, "expected_usdc": "1e3"}, {"usd_cents": "5"}):
        assert (await post(shop, "/admin/api/conversions", wrong)).status == 422
    nothing = await post(shop, "/admin/api/conversions", {"usd_cents": 100, "expected_usdc": "0.00"})
    assert (nothing.status, nothing.code) == (422, "amount_zero")
    for usdc, status in (("0.49", 422), ("0.50", 201), ("2.00", 201), ("2.01", 422), ("100.00", 422)):
        told = await post(shop, "/admin/api/conversions", {"usd_cents": 100, "expected_usdc": usdc})
        assert (told.status, status == 201 or told.code == "amounts_unlike") == (status, True), usdc


async def test_the_preview_names_creators_by_amount_and_fails_when_the_balance_cannot_be_read(shop: Shop) -> None:
    shop.planner.found = PreviewOf(
        [
            ShareOf(2, "Ada", 28_500_000, 8, None),
            ShareOf(3, "Ben", 2_350_000, 1, None),
            ShareOf(4, "Cy", 100, 1, "has no wallet yet"),
        ],
        free=5_000_000,
        purchases=9,
    )
    shop.treasury = (30_850_000, 1_500_000_000)
    shown = (await get(shop, "/admin/api/distribution/preview")).body
    assert (shown["total_purchases"], shown["total_usdc"], shown["number_of_creators"]) == (9, "30.85", 2)
    assert [(row["name"], row["amount"], row["purchases"]) for row in shown["creators"]] == [
        ("Ada", "28.50", 8),
        ("Ben", "2.35", 1),
    ]
    assert [(row["name"], row["reason"]) for row in shown["left_out"]] == [("Cy", "has no wallet yet")]
    assert (shown["wallet_usdc"], shown["wallet_sol"]) == ("30.85", "1.50")
    shop.treasury = None
    refused = await get(shop, "/admin/api/distribution/preview")
    assert (refused.status, refused.code) == (503, "balance_unreadable")


async def test_planning_a_batch_needs_an_approver_and_names_him(shop: Shop) -> None:
    assert (await post(shop, "/admin/api/batches")).status == 403
    answer = await post(shop, "/admin/api/batches", token="admin-approver")
    assert (answer.status, answer.body) == (200, {"batch": None})
    planner: Planner = shop.planner
    assert planner.approved_by == ["approver"]


async def test_metrics_need_a_token_unless_they_are_opened(shop: Shop) -> None:
    assert (await shop.send("GET", "/metrics", admin=True)).status == 401
    answer = await get(shop, "/metrics")
    assert (answer.status, answer.body) == (200, b"up 1\n")
