"""The operator's view of money: treasury, conversions, batches and their preview; and invites and users from before."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from sqlalchemy import Connection

from agent.web.admin_batches import batch_row
from agent.web.admin_bodies import (
    Balance,
    BatchPage,
    BatchPlanned,
    BatchRow,
    Conversion,
    ConversionPage,
    CreatorPart,
    LeftOut,
    NewConversion,
    Preview,
    Treasury,
)
from agent.web.audit import audited
from agent.web.bodies import Paging
from agent.web.endpoint import Access, Call, Endpoint
from domain.errors import OutcomeUnknown, Rejected, RequestError, Retryable
from domain.money import USDC_DECIMALS, cents_to_base_units, format_sol, format_usdc, parse_decimal
from ports.clock import Clock
from ports.ids import Ids
from storage import conversions, operator_views
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

    async def plan_off_cycle(self, approved_by: str) -> PlannedBatch | None:
        """None when nothing is payable."""
        ...


class AdminMoney:
    """Endpoints under /admin/api that look at money and plan what is paid."""

    def __init__(
        self, store: Store, clock: Clock, ids: Ids, planner: BatchPlanner, read_treasury: ReadTreasury
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._planner = planner
        self._read_treasury = read_treasury

    def endpoints(self) -> list[Endpoint]:
        viewer, operator, root = Access.VIEWER, Access.OPERATOR, "/admin/api"
        return [
            Endpoint("GET", f"{root}/treasury", viewer, self.treasury, "The platform wallet as last read", Treasury),
            Endpoint(
                "GET",
                f"{root}/conversions",
                viewer,
                self.conversions,
                "Announced conversions, newest first",
                ConversionPage,
                query=Paging,
            ),
            Endpoint(
                "POST",
                f"{root}/conversions",
                operator,
                self.announce,
                "Announce a conversion of USD into USDC; it releases no money",
                Conversion,
                status=201,
                takes=NewConversion,
            ),
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

    async def treasury(self, _: Call) -> Treasury:
        return await self._store.read(treasury_body)

    async def conversions(self, call: Call) -> ConversionPage:
        asked = call.asked(Paging)
        rows = await self._store.read(lambda conn: conversions.page(conn, asked.before, asked.limit))
        return ConversionPage(
            items=[_conversion(row) for row in rows], next=rows[-1].id if len(rows) == asked.limit else None
        )

    async def announce(self, call: Call) -> Conversion:
        wish, now = call.taken(NewConversion), self._clock.now()
        expected = wish.expected_usdc
        announced = conversions.Announced(
            uuid=str(self._ids.uuid()),
            usd_cents=wish.usd_cents,
            expected_usdc=cents_to_base_units(wish.usd_cents)
            if expected is None
            else parse_decimal(expected, USDC_DECIMALS),
            note=wish.note,
        )
        conversion_id = await self._store.write(
            audited(
                call,
                "announce",
                f"conversion:{announced.uuid}",
                now,
                lambda conn: conversions.announce(conn, announced, now),
            )
        )
        return Conversion(
            id=conversion_id,
            uuid=announced.uuid,
            usd_cents=announced.usd_cents,
            expected_usdc=format_usdc(announced.expected_usdc),
            note=announced.note,
            created_at=now,
        )

    async def batches(self, call: Call) -> BatchPage:
        asked = call.asked(Paging)

        def look(conn: Connection) -> list[BatchRow]:
            return [batch_row(conn, row) for row in operator_views.batch_page(conn, asked.before, asked.limit)]

        rows = await self._store.read(look)
        return BatchPage(items=rows, next=rows[-1].id if len(rows) == asked.limit else None)

    async def plan(self, call: Call) -> BatchPlanned:
        planned = await self._planner.plan_off_cycle(call.operator)
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
        found = await self._planner.preview()
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


def treasury_body(conn: Connection) -> Treasury:
    """The latest readings, and what no deposit covers."""
    readings, _ = operator_views.treasury(conn)
    return Treasury(
        readings=[
            Balance(
                name=row.name,
                amount=format_sol(row.amount) if row.name.endswith("_sol") else format_usdc(row.amount),
                slot=row.slot,
                read_at=row.read_at,
            )
            for row in readings
        ],
        to_convert=format_usdc(operator_views.unconverted(conn)),
    )


def _part(share: CreatorShare) -> dict[str, Any]:
    return {
        "creator_id": share.recipient_id,
        "name": share.name,
        "amount": format_usdc(share.amount),
        "purchases": share.purchases,
    }


def _conversion(row: Any) -> Conversion:
    return Conversion(
        id=row.id,
        uuid=row.uuid,
        usd_cents=row.usd_cents,
        expected_usdc=format_usdc(row.expected_usdc),
        note=row.note,
        created_at=row.created_at,
    )
