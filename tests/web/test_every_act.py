"""Every act of an operator is written down, with who, when and why, and so is what it does to money and to work. Which
acts there are the registry says: a new one is not forgotten here."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, select, update

from agent.web.conversion_rules import ConversionRules
from agent.web.endpoint import Face
from domain.evidence import Evidence
from domain.ledger import Asset
from domain.states import RefundState, WalletState
from storage import tables
from storage.history import advance
from storage.operation.interventions import version
from storage.payouts import transfers
from storage.payouts.planning import PlanTerms
from storage.payouts.taking import take
from storage.sales.purchases import payout_address
from storage.sales.returns import RefundSeen, record_refund
from storage.store import Store
from storage.treasury import funding
from storage.treasury.chain_rows import record_reading
from storage.treasury.movement_rows import Movement, movement_sum
from storage.treasury.movements import book_usdc
from tests.sales import PAYOUT_LAMPORTS, Sales
from tests.verified import first_findings
from tests.web.shop import START, Planner, Shop, event, opened

WHY = "because of what I saw"
DUE, USDC = 2_350_000, 1_000_000
WEEKS = timedelta(days=21)
FREE_ADDRESS = "4uQeVj5tqViQh7yWWGStvkEG1Zmhx6uasJtWCJziofM"

AUDIT_ALONE = {
    "tokens",
    "tokens/{token_id}/revoke",
    "invites",
    "invites/{invite_id}/close",
    "backups",
    "reconciliations",
}
"""What touches neither money nor the work on it, nor anything else that has a history."""


class Planning(Planner):
    """Plans for real what the rows say."""

    def __init__(self, store: Store, world: "World") -> None:
        super().__init__()
        self.store, self.world = store, world

    async def plan_off_cycle(self, approved_by: str, then: Any = None) -> Any:
        def plan(conn: Connection) -> Any:
            batch_id = self.world.plan(conn, "offcycle:asked")
            then(conn, batch_id)
            return type("Planned", (), {"batch_id": batch_id})()

        return await self.store.write(plan)


class World:
    """One of everything that an operator may act on. Numbers of rows by what they are for."""

    def __init__(self, account: str) -> None:
        self.account, self.sales = account, Sales(account)
        self.ids: dict[str, int] = {}
        self.seen: dict[str, Any] = {}

    def make(self, conn: Connection) -> None:
        self.creator = self.sales.user(conn, "ada")
        self.debtor = self.sales.user(conn, "eve")
        self.buyer = self.sales.user(conn, "buyer")
        self.content = self.sales.content(conn, self.creator)
        self._pay_by_hand_and_owe(conn)
        self._fail(conn)
        self.ids["waiting batch"] = self._planned(conn, "offcycle:waiting")
        for name in ("held", "refunded", "adopted", "planned"):
            self.ids[name] = self.sales.sold(conn, self.content, self.buyer, START)
        walletless = self.sales.user(conn, "walletless", wallet=False)
        self.ids["released"] = self.sales.paid(conn, self.content, walletless, START - WEEKS)
        self.sales.priced(conn, self.ids["released"], at=START - WEEKS)
        for name in ("wallet", "wallets"):
            self.ids[name] = self.sales.user(conn, name, wallet=False)
            advance(conn, self.ids[name], WalletState.FAILED, START, "Circle refused it")
        self._park(conn)
        self._move(conn)
        self.ids["event"] = 1
        self.ids["job"] = self._newest(conn, tables.jobs, tables.jobs.c.kind == "underpaid")
        theirs = tables.payouts.c.purchase_id == self.ids["adopted"]
        self.ids["payout"] = self._newest(conn, tables.payouts, theirs)

    def _planned(self, conn: Connection, key: str) -> int:
        self.sales.sold(conn, self.content, self.buyer, START)
        return self.plan(conn, key)

    def plan(self, conn: Connection, key: str) -> int:
        later = START + timedelta(days=1)
        terms = PlanTerms(later, later, 1, False, timedelta(0), "purchase", "circle")
        batch_id = take(conn, key, terms, lambda _: None, "ada", self.sales.uuids)
        assert batch_id is not None
        return batch_id

    def _pay_by_hand_and_owe(self, conn: Connection) -> None:
        """A refund made a payout smaller, and failed once it was paid; another one came once its sale was paid."""
        theirs = self.sales.content(conn, self.debtor)
        for content, name in ((self.content, "underpaid"), (theirs, "in debt")):
            self.ids[name] = self.sales.sold(conn, content, self.buyer, START)
        self._refund(conn, "underpaid", RefundState.SUCCEEDED)
        self._came(conn, "matched", "exchange", 4 * DUE)
        batch_id = self.plan(conn, "offcycle:1")
        funding.fund(conn, self.account, START)
        self.sales.pay(conn, batch_id, START)
        self._refund(conn, "underpaid", RefundState.FAILED)
        self._refund(conn, "in debt", RefundState.SUCCEEDED)

    def _refund(self, conn: Connection, name: str, state: RefundState) -> None:
        record_refund(conn, self.ids[name], RefundSeen(f"re_{name}", 100, state, None), START)

    def _fail(self, conn: Connection) -> None:
        self.ids["failed"] = self.sales.sold(conn, self.content, self.buyer, START)
        batch_id = self.plan(conn, "offcycle:2")
        funding.fund(conn, self.account, START)
        self.sales.pay(conn, batch_id, START, fails=1)

    def _park(self, conn: Connection) -> None:
        """A mint, a fee, and an event wait for a person."""
        for name, kind in (("mint", "mint"), ("fee", "fee")):
            sale = self.sales.paid(conn, self.content, self.buyer, START)
            mine = (tables.jobs.c.kind == kind) & (tables.jobs.c.subject == str(sale))
            conn.execute(update(tables.jobs).where(mine).values(state="parked", last_error="it can't be"))
            self.ids[name] = sale if name == "mint" else self._newest(conn, tables.jobs, mine)

    def _move(self, conn: Connection) -> None:
        address = payout_address(conn.execute(select(tables.users).where(tables.users.c.id == self.creator)).one())
        for name, owner, amount in (("ours", "a stranger", -USDC), ("adoption", address, -DUE)):
            self._came(conn, name, owner, amount)
        self._came(conn, "accepted", "treasurer", 7 * USDC)

    def _came(self, conn: Connection, name: str, other: str | None, amount: int) -> None:
        book_usdc(conn, Movement(name, self.account, Asset.USDC, amount, 9, START, other), START)
        self.ids[name] = self._newest(conn, tables.chain_movements, tables.chain_movements.c.signature == name)

    def read_back(self, conn: Connection) -> None:
        """What was adopted is found on chain as it was said to be."""
        mine = select(tables.payouts.c.transfer_id).where(tables.payouts.c.id == self.ids["payout"])
        evidence = Evidence("adoption", True, "", 9, START, PAYOUT_LAMPORTS)
        transfers.distributed(conn, conn.scalars(mine).one(), evidence, self.account, START)

    @staticmethod
    def _newest(conn: Connection, table: Any, which: Any) -> int:
        return int(conn.scalars(select(table.c.id).where(which).order_by(table.c.id.desc()).limit(1)).one())


@dataclass(frozen=True)
class Asked:
    """What an act is asked for with: the ids in its path, and its body without the reason."""

    ids: dict[str, Any]
    body: dict[str, Any]


def of(**ids: Any) -> Callable[[World], Asked]:
    """An act on rows of the world, named as in `World.ids`, that takes no more than a reason."""
    return lambda world: Asked({name: world.ids.get(one, one) for name, one in ids.items()}, {})


def money(name: str) -> Callable[[World], Asked]:
    """An act on a sale that names the version that was looked at."""
    seen = {"confirm": f"confirm {name}", "version": f"version {name}"}
    return lambda world: Asked({"purchase_id": world.ids[name]}, {key: world.seen[one] for key, one in seen.items()})


def body(**fields: Any) -> Callable[[World], Asked]:
    return lambda _: Asked({}, fields)


ACTS: dict[str, list[Callable[[World], Asked]]] = {
    "purchases/{purchase_id}/hold": [of(purchase_id="held")],
    "purchases/{purchase_id}/unhold": [of(purchase_id="held")],
    "purchases/{purchase_id}/refund": [money("refunded")],
    "purchases/{purchase_id}/release": [money("released")],
    "retry/{kind}/{subject_id}": [
        of(kind="wallet_", subject_id="wallet"),
        of(kind="mint_", subject_id="mint"),
        of(kind="distribution_", subject_id="failed"),
    ],
    "retry/{kind}": [lambda world: Asked({"kind": "wallet"}, {"ids": [world.ids["wallets"]]})],
    "work/{source}/{row_id}/retry": [of(source="jobs", row_id="fee")],
    "work/{source}/{row_id}/close": [
        lambda world: Asked({"source": "jobs", "row_id": world.ids["job"]}, {"amount": "0.783333"}),
        of(source="stripe_events", row_id="event"),
    ],
    "events/{source}/{event_id}/replay": [of(source="stripe", event_id="event")],
    "outflows/{movement_id}/accept": [of(movement_id="ours")],
    "outflows/{movement_id}/adopt": [
        lambda world: Asked({"movement_id": world.ids["adoption"]}, {"payout_ids": [world.ids["payout"]]})
    ],
    "deposits/{deposit_id}/accept": [
        lambda world: Asked({"deposit_id": world.ids["accepted"]}, {"amount": "7"}),
    ],
    "conversions": [body(usd_cents=700, note="wire 7")],
    "deposits/{deposit_id}/unmatch": [
        lambda world: Asked({"deposit_id": world.ids["matched"]}, {"conversion_id": 1, "amount": "7"})
    ],
    "conversions/{conversion_id}/withdraw": [lambda _: Asked({"conversion_id": 1}, {})],
    "users/{user_id}/debt/settle": [
        lambda world: Asked({"user_id": world.debtor}, {"way": "repaid", "amount": "0.5", "owes": "0.783333"})
    ],
    "conversions/orders": [body(amount="5")],
    "conversions/orders/{order_id}/approve": [
        lambda world: Asked({"order_id": 1}, {"digest": world.seen["order"]}),
    ],
    "conversions/orders/{order_id}/cancel": [lambda _: Asked({"order_id": 1}, {})],
    "batches/{batch_id}/approve": [
        lambda world: Asked({"batch_id": world.ids["waiting batch"]}, {"digest": world.seen["batch"]})
    ],
    "batches/{batch_id}/pause": [of(batch_id="waiting batch")],
    "batches/{batch_id}/resume": [of(batch_id="waiting batch")],
    "batches": [body()],
    "sends/pause": [body()],
    "sends/resume": [body()],
    "contents/{content_id}/take-down": [lambda world: Asked({"content_id": world.content}, {})],
    "contents/{content_id}/restore": [lambda world: Asked({"content_id": world.content}, {})],
    "users": [body(email="former@example.com", password="correct horse", wallet_address=FREE_ADDRESS)],
    "users/import": [
        body(rows=[{"line": 2, "email": "another@example.com", "wallet_address": FREE_ADDRESS}], dry_run=False)
    ],
    "tokens": [body(name="guest", role="viewer")],
    "tokens/{token_id}/revoke": [lambda _: Asked({"token_id": 4}, {})],
    "invites": [body(code="one-more-code")],
    "invites/{invite_id}/close": [lambda _: Asked({"invite_id": 2}, {})],
    "backups": [body(external="elsewhere", started_at="2026-11-23T09:00:00+00:00")],
    "reconciliations": [body()],
}
"""By the path, in an order in which each can be done."""


def look(conn: Connection, world: World) -> None:
    """What a person has on his page before each act."""
    for name in ("refunded", "released"):
        row = conn.execute(select(tables.purchases).where(tables.purchases.c.id == world.ids[name])).one()
        mine = select(tables.payouts).where(tables.payouts.c.purchase_id == row.id).order_by(tables.payouts.c.id)
        world.seen |= {f"confirm {name}": row.stripe_payment_intent_id}
        world.seen |= {f"version {name}": version(row, conn.execute(mine).all())}
    world.seen["batch"] = conn.scalar(
        select(tables.batches.c.digest).where(tables.batches.c.id == world.ids["waiting batch"])
    )
    world.seen["order"] = conn.scalar(select(tables.conversion_orders.c.digest))
    record_reading(conn, "treasury_usdc", movement_sum(conn, world.account, Asset.USDC), 9, START)


async def test_every_act_is_told_with_who_when_and_why_and_so_is_what_it_changes(store: Store) -> None:
    shop = Shop(store)
    world = World(shop.usdc_account)
    rules = ConversionRules(True, 500 * USDC, 900 * USDC, approvers=1)
    shop.settings = replace(shop.settings, conversion=rules)
    shop.planner = Planning(store, world)
    async with opened(shop):
        await store.write(world.make)
        assert (await shop.deliver(event())).status == 200
        await store.write(lambda conn: conn.execute(update(tables.stripe_events).values(state="parked")))
        registered = {
            one.path.removeprefix("/admin/api/"): one
            for one in shop.app.admin.endpoints
            if one.face is Face.API and one.method != "GET"
        }
        assert set(registered) == set(ACTS), "each act has its story here"
        untold = []
        for path, stories in ACTS.items():
            takes = registered[path].takes
            why = WHY if takes is not None and "reason" in takes.model_fields else None
            for story in stories:
                await store.write(lambda conn: look(conn, world))
                asked = story(world)
                untold += await _done(shop, path, asked, why)
        assert untold == []
        await store.write(world.read_back)
        assert await store.read(first_findings) == {}


async def _done(shop: Shop, path: str, asked: Asked, why: str | None) -> list[str]:
    """What is not told of it."""
    before = await shop.rows(tables.audit_log), await shop.rows(tables.state_history)
    filled = path
    for name, one in asked.ids.items():
        filled = filled.replace(f"{{{name}}}", str(one).removesuffix("_"))
    wish = asked.body | ({} if why is None else {"reason": why})
    answer = await shop.send("POST", f"/admin/api/{filled}", wish or None, "admin-approver", admin=True)
    assert answer.status < 300, (path, answer.body)
    acts = (await shop.all(tables.audit_log))[before[0] :]
    moves = (await shop.all(tables.state_history))[before[1] :]
    missing = []
    told = [(one["actor"], one["at"], one["reason"] if why else None) for one in acts]
    if told != [("approver", shop.clock.now(), why)]:
        missing.append(f"{path}: who, when and why: {acts}")
    if not moves and path not in AUDIT_ALONE:
        missing.append(f"{path}: what it changed")
    return missing
