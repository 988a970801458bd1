"""What is paid out, on the operator's port: batches, what one would pay now, and planning it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from sqlalchemy import Connection

from agent.web.admin.batch_bodies import BatchPage, BatchPlanned, BatchRow, CreatorPart, LeftOut, Preview
from agent.web.admin.batches import batch_row
from agent.web.audit import act
from agent.web.bodies import Paging
from agent.web.endpoint import Access, Call, Endpoint
from domain.errors import OutcomeUnknown, Rejected, RequestError, Retryable
from domain.money import format_sol, format_usdc
from ports.clock import Clock
from storage.books import audit
from storage.reading import operator_views
from storage.store import Store

ReadTreasury = Callable[[], Awaitable[tuple[int, int]]]
"""The platform wallet's finalized USDC (base units) and SOL (lamports), read now. Raises Retryable, OutcomeUnknown or
Rejected: an unreadable balance is an error, never a zero."""


class CreatorShare(Protocol):
    """What one recipient would get; `left_out` says why he gets nothing this time."""

    @property
    def recipient_id(self) -> int: ...

    @property
    def name(self) -> str: ...

    @property
    def amount(self) -> int: ...

    @property
    def purchases(self) -> int: ...

    @property
    def left_out(self) -> str | None: ...


class PlanPreview(Protocol):
    """What a batch would take now, largest amount first. Base units."""

    @property
    def shares(self) -> Sequence[CreatorShare]: ...

    @property
    def purchases(self) -> int: ...

    @property
    def free(self) -> int: ...


class PlannedBatch(Protocol):
    """A batch just planned."""

    @property
    def batch_id(self) -> int: ...


class BatchPlanner(Protocol):
    """Planning, as the payouts room does it."""

    async def preview(self) -> PlanPreview:
        """Changes nothing."""
        ...

    async def plan_off_cycle(
        self, approved_by: str, then: Callable[[Connection, int], None] = ...
    ) -> PlannedBatch | None:
        """None when nothing is payable. `then` is told the batch's id in the transaction that plans it."""
        ...


class AdminMoney:
    """Endpoints under /admin/api that look at money and plan what is paid."""

    def __init__(self, store: Store, clock: Clock, planner: BatchPlanner, read_treasury: ReadTreasury) -> None:
        self._store = store
        self._clock = clock
        self._planner = planner
        self._read_treasury = read_treasury

    def endpoints(self) -> list[Endpoint]:
        viewer, root = Access.VIEWER, "/admin/api"
        return [
            Endpoint("GET", f"{root}/batches", viewer, self.batches, "Batches, newest first", BatchPage, query=Paging),
            Endpoint(
                "POST",
                f"{root}/batches",
                Access.APPROVER,
                self.plan,
                "Plan and approve an off-cycle batch of what is payable now",
                BatchPlanned,
            ),
            Endpoint(
                "GET",
                f"{root}/distribution/preview",
                viewer,
                self.preview,
                "What a batch would pay now; changes nothing",
                Preview,
            ),
        ]

    async def batches(self, call: Call) -> BatchPage:
        asked = call.asked(Paging)

        def look(conn: Connection) -> list[BatchRow]:
            return [batch_row(conn, row) for row in operator_views.batch_page(conn, asked.before, asked.limit)]

        rows = await self._store.read(look)
        return BatchPage(items=rows, next=rows[-1].id if len(rows) == asked.limit else None)

    async def plan(self, call: Call) -> BatchPlanned:
        now = self._clock.now()

        def then(conn: Connection, batch_id: int) -> None:
            audit.record(conn, act(call, "plan", "batch", batch_id), None, now)

        try:
            planned = await self._planner.plan_off_cycle(call.operator, then)
        except (Retryable, OutcomeUnknown) as error:
            raise _unreadable(error) from None
        if planned is None:
            return BatchPlanned(batch=None)
        batch_id = planned.batch_id
        return BatchPlanned(
            batch=await self._store.read(lambda conn: batch_row(conn, operator_views.batch(conn, batch_id)))
        )

    async def preview(self, _: Call) -> Preview:
        try:
            usdc, lamports = await self._read_treasury()
        except (Retryable, OutcomeUnknown, Rejected) as error:
            raise RequestError(503, "balance_unreadable", f"the platform wallet can't be read: {error}") from None
        try:
            found = await self._planner.preview()
        except (Retryable, OutcomeUnknown) as error:
            raise _unreadable(error) from None
        owed = await self._store.read(operator_views.unconverted)
        taken = [share for share in found.shares if share.left_out is None]
        return Preview(
            total_purchases=found.purchases,
            total_usdc=format_usdc(sum(share.amount for share in taken)),
            number_of_creators=len(taken),
            creators=[CreatorPart(**_part(share)) for share in taken],
            left_out=[
                LeftOut(**_part(share), reason=share.left_out) for share in found.shares if share.left_out is not None
            ],
            wallet_usdc=format_usdc(usdc),
            wallet_sol=format_sol(lamports),
            free_usdc=format_usdc(found.free),
            to_convert=format_usdc(max(0, owed - found.free)),
        )


def _unreadable(error: Exception) -> RequestError:
    return RequestError(503, "addresses_unreadable", f"the addresses to be paid can't be read on chain: {error}")


def _part(share: CreatorShare) -> dict[str, Any]:
    return {
        "creator_id": share.recipient_id,
        "name": share.name,
        "amount": format_usdc(share.amount),
        "purchases": share.purchases,
    }
