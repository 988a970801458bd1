"""The operator's view of work: status, one purchase with its history, what waits or is parked, and the retries."""

from typing import Any

from agent.web.admin_bodies import (
    AccountBalance,
    AdminPurchase,
    HistoryRow,
    LedgerPage,
    LedgerQuery,
    MintAttempt,
    PostingRow,
    RefundRow,
    Retried,
    Status,
    TransferAttempt,
    WorkItem,
    WorkPage,
    WorkQuery,
)
from agent.web.admin_money import treasury_body
from agent.web.audit import audited
from agent.web.endpoint import Access, Call, Endpoint
from agent.web.messages import not_found
from agent.web.settings import WebSettings
from agent.web.shelves import purchase_body
from domain.errors import RequestError
from domain.money import format_cents, format_usdc
from domain.states import WorkState
from ports.clock import Clock
from storage import operator_views, retries, views
from storage.store import Store

_STATES = {
    "parked": [WorkState.PARKED],
    "due": [WorkState.DUE],
    "open": [WorkState.DUE, WorkState.PARKED],
}


class AdminWork:
    """Endpoints under /admin/api that look at work and make it run again."""

    def __init__(self, store: Store, clock: Clock, settings: WebSettings) -> None:
        self._store = store
        self._clock = clock
        self._settings = settings

    def endpoints(self) -> list[Endpoint]:
        viewer, operator, root = Access.VIEWER, Access.OPERATOR, "/admin/api"
        return [
            Endpoint("GET", f"{root}/status", viewer, self.status, "The state of everything in numbers", Status),
            Endpoint(
                "GET", f"{root}/purchases/{{purchase_id}}", viewer, self.purchase, "A purchase's life", AdminPurchase
            ),
            Endpoint("GET", f"{root}/work", viewer, self.work, "What waits or is parked", WorkPage, query=WorkQuery),
            Endpoint("GET", f"{root}/ledger", viewer, self.ledger, "The books", LedgerPage, query=LedgerQuery),
            Endpoint(
                "POST",
                f"{root}/retry/{{kind}}/{{subject_id}}",
                operator,
                self.retry,
                "Run failed work again: wallet (of a user), mint or distribution (of a purchase)",
                Retried,
                status=202,
                errors=(409,),
            ),
            Endpoint(
                "POST",
                f"{root}/work/{{source}}/{{row_id}}/retry",
                operator,
                self.retry_row,
                "Run a parked row again: of jobs, stripe_events or circle_notifications",
                Retried,
                status=202,
                errors=(409,),
            ),
        ]

    async def status(self, _: Call) -> Status:
        counts = await self._store.read(operator_views.counts)
        imbalance, _rows = await self._store.read(lambda conn: operator_views.ledger_page(conn, None, 1))
        return Status(
            live=self._settings.livemode,
            now=self._clock.now(),
            counts=counts,
            treasury=await self._store.read(treasury_body),
            ledger_imbalance=imbalance,
        )

    async def purchase(self, call: Call) -> AdminPurchase:
        purchase_id = call.row_id("purchase_id")
        view = await self._store.read(lambda conn: views.purchase(conn, purchase_id))
        if view is None:
            raise not_found("purchase")
        row = view.row
        found = await self._store.read(lambda conn: operator_views.purchase_history(conn, row))
        return AdminPurchase(
            purchase=purchase_body(view),
            history=[
                HistoryRow(
                    machine=change.machine,
                    subject=change.subject,
                    before=change.before,
                    after=change.after,
                    reason=change.reason,
                    at=change.at,
                )
                for change in found.changes
            ],
            mints=[_mint(mint) for mint in found.mints],
            transfers=[_transfer(transfer) for transfer in found.transfers],
            refunds=[_refund(refund) for refund in found.refunds],
            postings=[
                PostingRow(
                    entry=posting.key,
                    kind=posting.kind,
                    account=posting.account,
                    asset=posting.asset,
                    amount=posting.amount,
                    at=posting.created_at,
                )
                for posting in found.postings
            ],
            jobs=[self._item("jobs", job.kind, job.subject, job) for job in found.jobs],
        )

    async def work(self, call: Call) -> WorkPage:
        asked = call.asked(WorkQuery)
        after = None
        if asked.after is not None:
            source, _, row_id = asked.after.partition(":")
            after = operator_views.Position(source, int(row_id))
        states = _STATES[asked.state]
        rows = await self._store.read(lambda conn: operator_views.work(conn, states, after, asked.limit))
        return WorkPage(
            items=[self._item(row.source, row.kind, row.subject, row) for row in rows],
            next=f"{rows[-1].source}:{rows[-1].id}" if len(rows) == asked.limit else None,
        )

    def _item(self, source: str, kind: str, subject: str, row: Any) -> WorkItem:
        return WorkItem(
            source=source,
            id=row.id,
            kind=kind,
            subject=subject,
            state=row.state,
            attempts=row.attempts,
            age_seconds=operator_views.age_seconds(row.created_at, self._clock.now()),
            due_at=row.due_at,
            error_code=row.error_code,
            error=row.last_error,
        )

    async def ledger(self, call: Call) -> LedgerPage:
        asked = call.asked(LedgerQuery)
        imbalance, rows = await self._store.read(
            lambda conn: operator_views.ledger_page(conn, asked.after, asked.limit)
        )
        accounts = {row.account for row in rows}
        return LedgerPage(
            imbalance=imbalance,
            balances=[AccountBalance(account=row.account, asset=row.asset, amount=row.amount) for row in rows],
            next=max(accounts) if len(accounts) == asked.limit else None,
        )

    async def retry(self, call: Call) -> Retried:
        kind, subject_id, now = call.ids["kind"], call.row_id("subject_id"), self._clock.now()
        again = retries.RETRIES.get(kind)
        if again is None:
            raise RequestError(404, "retry_unknown", f"retries are of {', '.join(retries.RETRIES)}")
        await self._store.write(
            audited(call, "retry", f"{kind}:{subject_id}", now, lambda conn: again(conn, subject_id, now))
        )
        return Retried(kind=kind, id=subject_id)

    async def retry_row(self, call: Call) -> Retried:
        source, row_id, now = call.ids["source"], call.row_id("row_id"), self._clock.now()
        if source not in retries.SOURCES:
            raise RequestError(404, "source_unknown", f"sources are {', '.join(retries.SOURCES)}")
        await self._store.write(
            audited(call, "retry", f"{source}:{row_id}", now, lambda conn: retries.retry_row(conn, source, row_id, now))
        )
        return Retried(kind=source, id=row_id)


def _mint(row: Any) -> MintAttempt:
    return MintAttempt(
        attempt=row.attempt,
        state=row.state,
        mint_address=row.mint_address,
        buyer_address=row.buyer_address,
        signature=row.signature,
        cost_lamports=row.cost_lamports,
        proof=row.proof,
        created_at=row.created_at,
    )


def _transfer(row: Any) -> TransferAttempt:
    return TransferAttempt(
        attempt=row.attempt,
        state=row.state,
        reference=row.reference,
        amount=format_usdc(row.amount),
        destination_address=row.destination_address,
        circle_transaction_id=row.circle_transaction_id,
        circle_state=row.circle_state,
        signature=row.signature,
        error_reason=row.error_reason,
        proof=row.proof,
        created_at=row.created_at,
    )


def _refund(row: Any) -> RefundRow:
    return RefundRow(
        stripe_refund_id=row.stripe_refund_id,
        reason=row.reason,
        amount=format_cents(row.amount),
        state=row.state,
        created_at=row.created_at,
    )
