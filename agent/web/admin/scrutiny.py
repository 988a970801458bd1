"""The books for the operator: every rule checked page by page, and one sale traced from end to end."""

from typing import Any

from sqlalchemy import Connection

from agent.web.admin.purchases import mint_attempt, packed_attempt, refund_row, transfer_attempt
from agent.web.books_bodies import (
    BadRow,
    PageOfRule,
    Rule,
    RulePage,
    Rules,
    SaleQuery,
    Trace,
    TraceChange,
    TraceCosts,
    TraceDispute,
    TraceEntry,
    TraceMovement,
    TraceNetting,
    TracePosting,
)
from agent.web.endpoint import Access, Call, Endpoint
from agent.web.shelves import purchase_body
from domain.errors import RequestError
from domain.ledger import Asset
from domain.money import cents_to_base_units, format_cents, format_usdc
from storage.reading import trace, views
from storage.reading.trace import BookedEntry, SaleTrace
from storage.reading.views import PurchaseView
from storage.store import Store
from storage.verification import CHECKS


class AdminScrutiny:
    """Endpoints under /admin/api that look at the books as a whole. They change nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def endpoints(self) -> list[Endpoint]:
        viewer, root = Access.VIEWER, "/admin/api"
        return [
            Endpoint("GET", f"{root}/verification", viewer, self.rules, "The rules that the database keeps", Rules),
            Endpoint(
                "GET",
                f"{root}/verification/page",
                viewer,
                self.page,
                "Check the next page of rows against one rule",
                RulePage,
                query=PageOfRule,
                errors=(404,),
            ),
            Endpoint(
                "GET",
                f"{root}/trace",
                viewer,
                self.trace,
                "One sale from Stripe to the last signature",
                Trace,
                query=SaleQuery,
                errors=(404,),
            ),
        ]

    async def rules(self, _: Call) -> Rules:
        return Rules(
            rules=[
                Rule(name=check.name, invariants=list(check.invariants), says=check.says) for check in CHECKS.values()
            ]
        )

    async def page(self, call: Call) -> RulePage:
        asked = call.asked(PageOfRule)
        check = CHECKS.get(asked.rule)
        if check is None:
            raise RequestError(404, "rule_unknown", f"there is no rule '{asked.rule}'", "rule")
        try:
            page = await self._store.read(lambda conn: check.look(conn, asked.after))
        except ValueError:
            raise RequestError(422, "after_malformed", "'after' is what the page before answered", "after") from None
        found = page.finding
        return RulePage(
            looked=page.looked,
            finding=None if found is None else BadRow(row=found.row, why=found.why),
            after=page.after,
        )

    async def trace(self, call: Call) -> Trace:
        sale = call.asked(SaleQuery).sale

        def look(conn: Connection) -> tuple[PurchaseView, SaleTrace] | None:
            purchase_id = trace.id_of(conn, sale)
            view = None if purchase_id is None else views.purchase(conn, purchase_id)
            return None if view is None else (view, trace.trace(conn, view.row))

        found = await self._store.read(look)
        if found is None:
            raise RequestError(404, "sale_not_found", f"there is no sale {sale}")
        return _trace(*found)


def _trace(view: PurchaseView, found: SaleTrace) -> Trace:
    row = view.row
    return Trace(
        purchase=purchase_body(view),
        stripe_charge_id=row.stripe_charge_id,
        stripe_balance_transaction_id=row.stripe_balance_transaction_id,
        split_rule=row.split_rule,
        changes=[
            TraceChange(
                at=one.at,
                machine=one.machine,
                subject=one.subject,
                before=one.before,
                after=one.after,
                reason=one.reason,
            )
            for one in found.changes
        ],
        mints=[mint_attempt(one) for one in found.mints],
        transfers=[transfer_attempt(one) for one in found.transfers],
        packed=[packed_attempt(one) for one in found.packed],
        refunds=[refund_row(one) for one in found.refunds],
        disputes=[_dispute(one) for one in found.disputes],
        nettings=[
            TraceNetting(
                payout=one.payout,
                debtor_payout=one.debtor,
                amount=format_usdc(one.amount),
                ledger_key=one.ledger_key,
                undone_at=one.undone_at,
            )
            for one in found.nettings
        ],
        movements=[_movement(one) for one in found.movements],
        entries=[_entry(one) for one in found.entries],
        costs=_costs(view, found),
    )


def _dispute(row: Any) -> TraceDispute:
    return TraceDispute(
        stripe_dispute_id=row.stripe_dispute_id,
        status=row.status,
        amount=format_cents(row.amount),
        withdrawn=format_cents(row.withdrawn),
        fee=format_cents(row.fee),
    )


def _movement(row: Any) -> TraceMovement:
    return TraceMovement(
        signature=row.signature,
        asset=row.asset,
        amount=row.amount,
        kind=row.kind,
        counterparty=row.counterparty,
        slot=row.slot,
        block_time=row.block_time,
    )


def _entry(entry: BookedEntry) -> TraceEntry:
    return TraceEntry(
        key=entry.row.key,
        kind=entry.row.kind,
        at=entry.row.created_at,
        seal=entry.seal,
        postings=[TracePosting(account=one.account, asset=one.asset, amount=one.amount) for one in entry.postings],
    )


def _costs(view: PurchaseView, found: SaleTrace) -> TraceCosts:
    """Lamports as the finalized chain has them, else as the attempts' evidence says. Of a packed payout the fee alone:
    its receipt's rent comes back. What a mint paid besides cost nothing more."""
    row = view.row
    lost = {one.signature: -one.amount for one in found.movements if one.asset == Asset.SOL}
    mints = {one.signature: one for one in found.mints if one.signature is not None}
    packed = {one.signature: one for one in found.packed if one.signature is not None and one.signature not in mints}
    alone = {one.signature: one for one in found.transfers if one.signature is not None}
    paid = sum(lost.get(name, one.cost_lamports or 0) for name, one in alone.items())
    paid += sum(lost.get(name, 0) if one.fee_lamports is None else one.fee_lamports for name, one in packed.items())
    shared = sum(one.transfer_id in found.shared for one in alone.values())
    return TraceCosts(
        stripe_fee=None if row.stripe_fee is None else format_cents(row.stripe_fee),
        dispute_fees=format_cents(sum(one.fee for one in found.disputes)),
        mint_lamports=sum(lost.get(name, one.cost_lamports or 0) for name, one in mints.items()),
        transfer_lamports=paid,
        transfers_shared=shared + sum(one.group_id in found.shared_groups for one in packed.values()),
        platform_amount=None if row.platform_amount is None else format_usdc(row.platform_amount),
        platform_left=_left(view, found),
    )


def _left(view: PurchaseView, found: SaleTrace) -> str | None:
    """What the sale leaves the platform after all that came back and all fees of Stripe's."""
    due = view.usdc_amount
    if due is None:
        return None
    cents = view.row.net_after_stripe - view.returned - sum(one.fee for one in found.disputes)
    return format_usdc(cents_to_base_units(cents) - due)
