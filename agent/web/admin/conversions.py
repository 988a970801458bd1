"""Orders of USDC from Circle Mint on the operator's port: proposed, approved by their digest, taken back, looked at."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from sqlalchemy import Connection

from agent.web.admin.batch_bodies import Approval
from agent.web.audit import audited, born
from agent.web.bodies import Paging, Reason
from agent.web.conversion_bodies import (
    ConversionOrder,
    MintDepositRow,
    MintDeposits,
    NewOrder,
    OrderPage,
    WireInstruction,
    WireInstructions,
)
from agent.web.conversion_rules import ConversionRules
from agent.web.endpoint import Access, Call, Endpoint
from domain.errors import PaymentSystemError, RequestError
from domain.money import BASE_UNITS_PER_CENT, USDC_DECIMALS, format_usdc, parse_decimal
from ports.clock import Clock
from ports.ids import Ids
from storage.reading import outlook
from storage.store import Store
from storage.treasury import conversion_orders as orders
from storage.treasury.conversion_orders import Wish

DEPOSITS_SHOWN = 20


class Wire(Protocol):
    """Instructions for one linked bank account, as Circle Mint tells them."""

    @property
    def tracking_ref(self) -> str: ...
    @property
    def beneficiary(self) -> str: ...
    @property
    def bank(self) -> str: ...
    @property
    def account_number(self) -> str: ...
    @property
    def routing_number(self) -> str: ...
    @property
    def swift_code(self) -> str: ...


ReadWires = Callable[[], Awaitable[Sequence[Wire]]]
"""Asks Circle Mint, now. Raises PaymentSystemError."""


class AdminConversions:
    """Endpoints under /admin/api/conversions/orders. Nothing here can mark money as sent or as arrived.

    `destination` is the platform wallet's address, `usdc_account` its token account; `read_wires` asks Circle Mint.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        rules: ConversionRules,
        destination: str,
        usdc_account: str,
        read_wires: ReadWires,
    ) -> None:
        self._store, self._clock, self._ids, self._rules = store, clock, ids, rules
        self._destination, self._account, self._read_wires = destination, usdc_account, read_wires

    def endpoints(self) -> list[Endpoint]:
        viewer, operator, root = Access.VIEWER, Access.OPERATOR, "/admin/api/conversions"
        one = f"{root}/orders/{{order_id}}"
        return [
            Endpoint("GET", f"{root}/orders", viewer, self.page, "Orders, newest first", OrderPage, query=Paging),
            Endpoint("GET", one, viewer, self.order, "One order", ConversionOrder),
            Endpoint(
                "POST",
                f"{root}/orders",
                operator,
                self.propose,
                "Propose an order of USDC from Circle Mint; it waits for its approval",
                ConversionOrder,
                status=201,
                takes=NewOrder,
                errors=(409,),
            ),
            Endpoint(
                "POST",
                f"{one}/approve",
                Access.APPROVER,
                self.approve,
                "Approve exactly this order, by its digest",
                ConversionOrder,
                takes=Approval,
                errors=(409,),
            ),
            Endpoint(
                "POST",
                f"{one}/cancel",
                operator,
                self.cancel,
                "Take back an order that was not sent yet",
                ConversionOrder,
                takes=Reason,
                errors=(409,),
            ),
            Endpoint(
                "GET", f"{root}/wire", operator, self.wires, "Where to wire dollars", WireInstructions, errors=(409,)
            ),
            Endpoint("GET", f"{root}/deposits", viewer, self.deposits, "Dollars seen at Circle Mint", MintDeposits),
        ]

    async def page(self, call: Call) -> OrderPage:
        asked = call.asked(Paging)

        def look(conn: Connection) -> list[ConversionOrder]:
            return [_order(conn, row) for row in orders.page(conn, asked.before, asked.limit)]

        items = await self._store.read(look)
        return OrderPage(
            circle_mint=self._rules.is_on, items=items, next=items[-1].id if len(items) == asked.limit else None
        )

    async def order(self, call: Call) -> ConversionOrder:
        order_id = call.row_id("order_id")
        return await self._store.read(lambda conn: _order(conn, orders.required(conn, order_id)))

    async def propose(self, call: Call) -> ConversionOrder:
        self._require_on()
        asked, now = call.taken(NewOrder), self._clock.now()
        amount = await self._wanted(asked)
        wish = Wish(self._ids.uuid(), amount, self._destination, asked.note, call.operator)
        order_id = await self._store.write(
            born(call, "propose", "conversion_order", now, lambda conn: orders.propose(conn, wish, now))
        )
        return await self._store.read(lambda conn: _order(conn, orders.required(conn, order_id)))

    async def _wanted(self, asked: NewOrder) -> int:
        """Base units, whole cents: dollars are wired."""
        if asked.amount is None:
            now = self._clock.now()
            lacking = await self._store.read(lambda conn: outlook.outlook(conn, self._account, now).to_order)
            amount = -(-lacking // BASE_UNITS_PER_CENT) * BASE_UNITS_PER_CENT
            if not amount:
                raise RequestError(409, "nothing_to_convert", "the wallet and what is on its way cover next Monday")
        else:
            amount = parse_decimal(asked.amount, USDC_DECIMALS)
            if amount % BASE_UNITS_PER_CENT or not amount:
                raise RequestError(422, "invalid_request", "amount: whole cents, more than nothing", "amount")
        cap = min(self._rules.cap, self._rules.day_cap)
        if amount > cap:
            raise RequestError(
                409,
                "cap_exceeded",
                f"{format_usdc(amount)} USDC pass the cap of {format_usdc(cap)} "
                "(AGENT_CAP_CONVERSION, AGENT_CAP_CONVERSION_DAY): order less at a time, or raise it",
            )
        return amount

    async def approve(self, call: Call) -> ConversionOrder:
        digest, now, needed = call.taken(Approval).digest, self._clock.now(), self._rules.approvers
        order_id, made_by = call.row_id("order_id"), call.bearer.created_by if call.bearer else ""
        return await self._change(
            call,
            "approve",
            lambda conn: orders.approve(conn, order_id, digest, call.operator, made_by, needed, now),
        )

    async def cancel(self, call: Call) -> ConversionOrder:
        reason, now, order_id = call.taken(Reason).reason, self._clock.now(), call.row_id("order_id")
        return await self._change(call, "cancel", lambda conn: orders.cancel(conn, order_id, reason, now), reason)

    async def _change(
        self, call: Call, action: str, change: Callable[[Connection], None], reason: str | None = None
    ) -> ConversionOrder:
        self._require_on()
        order_id, now = call.row_id("order_id"), self._clock.now()

        def write(conn: Connection) -> ConversionOrder:
            change(conn)
            return _order(conn, orders.required(conn, order_id))

        return await self._store.write(audited(call, action, "conversion_order", order_id, now, write, reason))

    async def wires(self, _: Call) -> WireInstructions:
        self._require_on()
        try:
            found = await self._read_wires()
        except PaymentSystemError as error:
            raise RequestError(503, "circle_mint_unreadable", f"Circle Mint can't be asked: {error}") from None
        return WireInstructions(
            items=[
                WireInstruction(
                    tracking_ref=one.tracking_ref,
                    beneficiary=one.beneficiary,
                    bank=one.bank,
                    account_number=one.account_number,
                    routing_number=one.routing_number,
                    swift_code=one.swift_code,
                )
                for one in found
            ]
        )

    async def deposits(self, _: Call) -> MintDeposits:
        rows = await self._store.read(lambda conn: orders.deposits(conn, DEPOSITS_SHOWN))
        return MintDeposits(
            items=[
                MintDepositRow(
                    circle_deposit_id=row.circle_deposit_id,
                    amount=format_usdc(row.amount),
                    status=row.status,
                    created_at=row.circle_created_at,
                    seen_at=row.seen_at,
                )
                for row in rows
            ]
        )

    def _require_on(self) -> None:
        if not self._rules.is_on:
            raise RequestError(
                409, "conversion_is_manual", "AGENT_CONVERSION is manual: convert the dollars yourself and announce it"
            )


def _order(conn: Connection, row: Any) -> ConversionOrder:
    waits = row.state in orders.UNSENT
    return ConversionOrder(
        id=row.id,
        uuid=row.uuid,
        origin=row.origin,
        state=row.state,
        amount=format_usdc(row.amount),
        to_wire=format_usdc(max(0, row.amount - (row.available_base_units or 0)) if waits else 0),
        looked_at=row.looked_at,
        destination_address=row.destination_address,
        digest=row.digest,
        note=row.note,
        proposed_by=row.proposed_by,
        approved_by=list(orders.approvers(conn, row.id)),
        sent_at=row.sent_at,
        circle_transfer_id=row.circle_transfer_id,
        circle_status=row.circle_status,
        signature=row.signature,
        conversion_id=row.conversion_id,
        created_at=row.created_at,
    )
