"""The platform wallet on the operator's port: its balances, the next Monday's need, costs of sales, conversions."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from agent.web.admin.treasury_bodies import (
    Balance,
    Conversion,
    ConversionPage,
    ConversionShare,
    CostQuery,
    Costs,
    Deposit,
    DepositPage,
    DepositQuery,
    DepositShare,
    NewConversion,
    Outlook,
    OwnDeposit,
    Treasury,
    WrongMatch,
)
from agent.web.audit import audited, born
from agent.web.bodies import Paging, Reason
from agent.web.endpoint import Access, Call, Endpoint
from agent.web.settings import WebSettings
from domain.errors import RequestError
from domain.keys import announced_uuid
from domain.money import (
    USDC_DECIMALS,
    cents_to_base_units,
    format_cents,
    format_sol,
    format_usdc,
    parse_decimal,
)
from ports.clock import Clock
from ports.ids import Ids
from storage.reading import operator_views, outlook
from storage.store import Store
from storage.treasury import conversions, deposits, funding, matches

UNLIKE = 2
"""How often one of dollars and USDC may be in the other, at most: far more than any fee or rate."""


class AdminTreasury:
    """Endpoints under /admin/api/treasury and /admin/api/conversions. `usdc_account` is the wallet's token account."""

    def __init__(self, store: Store, clock: Clock, ids: Ids, settings: WebSettings, usdc_account: str) -> None:
        self._store, self._clock, self._ids = store, clock, ids
        self._settings, self._account = settings, usdc_account

    def endpoints(self) -> list[Endpoint]:
        viewer, root = Access.VIEWER, "/admin/api"
        return [
            Endpoint("GET", f"{root}/treasury", viewer, self.treasury, "The platform wallet as last read", Treasury),
            Endpoint(
                "GET",
                f"{root}/treasury/outlook",
                viewer,
                self.outlook,
                "What the next Monday needs, what to convert by when, and how long the wallet's SOL lasts",
                Outlook,
            ),
            Endpoint(
                "GET",
                f"{root}/treasury/costs",
                viewer,
                self.costs,
                "What sales cost on chain and what they leave",
                Costs,
                query=CostQuery,
            ),
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
                "GET",
                f"{root}/deposits",
                viewer,
                self.deposits,
                "What arrived, from whom, and which conversions explain it, newest first",
                DepositPage,
                query=DepositQuery,
            ),
            Endpoint(
                "POST",
                f"{root}/deposits/{{deposit_id}}/accept",
                Access.APPROVER,
                self.accept,
                "Say that what nothing explains of a deposit was the operator's own money",
                Deposit,
                takes=OwnDeposit,
                errors=(409,),
            ),
            Endpoint(
                "POST",
                f"{root}/deposits/{{deposit_id}}/unmatch",
                Access.APPROVER,
                self.unmatch,
                "Say that a deposit was not that announced conversion's",
                Deposit,
                takes=WrongMatch,
                errors=(409,),
            ),
            Endpoint(
                "POST",
                f"{root}/conversions",
                Access.OPERATOR,
                self.announce,
                "Announce a conversion of USD into USDC; it releases no money",
                Conversion,
                status=201,
                takes=NewConversion,
                errors=(409,),
            ),
            Endpoint(
                "POST",
                f"{root}/conversions/{{conversion_id}}/withdraw",
                Access.OPERATOR,
                self.withdraw,
                "Take back an announcement that was a mistake, while nothing has come for it",
                Conversion,
                takes=Reason,
                errors=(409,),
            ),
        ]

    async def treasury(self, _: Call) -> Treasury:
        return await self._store.read(lambda conn: treasury_body(conn, self._account))

    async def outlook(self, _: Call) -> Outlook:
        now = self._clock.now()
        found = await self._store.read(lambda conn: outlook.outlook(conn, self._account, now))
        return Outlook(
            monday=found.monday,
            convert_by=found.convert_by,
            convert_late=found.convert_by <= now,
            need=format_usdc(found.need),
            owed=format_usdc(found.owed),
            unminted=format_usdc(found.unminted),
            unpriced_sales=found.unpriced,
            expected=format_usdc(found.expected),
            wallet_usdc=format_usdc(found.balance),
            promised=format_usdc(found.promised),
            to_convert=format_usdc(found.to_convert),
            on_its_way=format_usdc(found.on_its_way),
            to_order=format_usdc(found.to_order),
            to_convert_known=format_usdc(found.to_convert_known),
            wallet_sol=None if found.lamports is None else format_sol(found.lamports),
            lamports_per_sale=found.lamports_per_sale,
            sales_per_week=found.sales_per_week,
            sales_left=found.sales_left,
            days_left=found.days_left,
        )

    async def costs(self, call: Call) -> Costs:
        days = call.asked(CostQuery).days
        since = self._clock.now() - timedelta(days=days)
        found = await self._store.read(lambda conn: outlook.costs(conn, since))
        assumed = found.minted * self._settings.network_cost_cents
        margin = found.platform - cents_to_base_units(assumed)
        return Costs(
            days=days,
            sales=found.sales,
            gross=format_cents(found.gross_cents),
            stripe_fees=format_cents(found.fee_cents),
            net=format_cents(found.net_cents),
            refunded=format_cents(found.returned_cents),
            dispute_fees=format_cents(found.dispute_cents),
            creators=format_usdc(found.creators),
            platform=format_usdc(found.platform),
            minted=found.minted,
            mint_lamports=found.mint_lamports,
            payouts=found.payouts,
            payout_lamports=found.payout_lamports,
            network_lamports=found.lamports,
            network_lamports_per_sale=found.lamports // found.sales if found.sales else 0,
            network_cents_assumed=assumed,
            margin=format_usdc(margin),
            margin_per_sale=format_usdc(margin // found.sales if found.sales else 0),
        )

    async def conversions(self, call: Call) -> ConversionPage:
        asked = call.asked(Paging)
        items = await self._store.read(lambda conn: _announced(conn, conversions.page(conn, asked.before, asked.limit)))
        return ConversionPage(items=items, next=items[-1].id if len(items) == asked.limit else None)

    async def announce(self, call: Call) -> Conversion:
        wish, now = call.taken(NewConversion), self._clock.now()
        expected, key, fresh = wish.expected_usdc, wish.idempotency_key, self._ids.uuid()
        announced = conversions.Announced(
            uuid=str(fresh if key is None else announced_uuid(key)),
            usd_cents=wish.usd_cents,
            expected_usdc=cents_to_base_units(wish.usd_cents)
            if expected is None
            else parse_decimal(expected, USDC_DECIMALS),
            note=wish.note,
        )
        if announced.expected_usdc == 0:
            raise RequestError(422, "amount_zero", "expect more than nothing", "expected_usdc")
        _require_alike(wish.usd_cents, announced.expected_usdc)
        make = born(call, "announce", "conversion", now, lambda conn: conversions.announce(conn, announced, now))

        def write(conn: Connection) -> int:
            before = conversions.announced_before(conn, announced)
            return make(conn) if before is None else before

        conversion_id = await self._store.write(write)
        return await self._store.read(lambda conn: _announced(conn, [conversions.by_id(conn, conversion_id)])[0])

    async def withdraw(self, call: Call) -> Conversion:
        conversion_id, now = call.row_id("conversion_id"), self._clock.now()
        reason = call.taken(Reason).reason

        def write(conn: Connection) -> Conversion:
            conversions.withdraw(conn, conversion_id, self._account, reason, now)
            return _announced(conn, [conversions.by_id(conn, conversion_id)])[0]

        return await self._store.write(audited(call, "withdraw", "conversion", conversion_id, now, write, reason))

    async def accept(self, call: Call) -> Deposit:
        deposit_id, now, wish = call.row_id("deposit_id"), self._clock.now(), call.taken(OwnDeposit)
        amount = parse_decimal(wish.amount, USDC_DECIMALS)

        def write(conn: Connection) -> Deposit:
            deposits.accept_own(conn, deposit_id, amount, wish.reason, now)
            return _shown(conn, [deposits.by_id(conn, deposit_id)])[0]

        return await self._store.write(audited(call, "accept", "deposit", deposit_id, now, write, wish.reason))

    async def unmatch(self, call: Call) -> Deposit:
        deposit_id, now, wish = call.row_id("deposit_id"), self._clock.now(), call.taken(WrongMatch)
        amount = parse_decimal(wish.amount, USDC_DECIMALS)

        def write(conn: Connection) -> Deposit:
            deposits.take_back(conn, deposit_id, wish.conversion_id, amount, wish.reason, now)
            return _shown(conn, [deposits.by_id(conn, deposit_id)])[0]

        return await self._store.write(audited(call, "unmatch", "deposit", deposit_id, now, write, wish.reason))

    async def deposits(self, call: Call) -> DepositPage:
        asked = call.asked(DepositQuery)
        page = deposits.unexplained_page if asked.unexplained else deposits.page
        items = await self._store.read(lambda conn: _shown(conn, page(conn, asked.before, asked.limit)))
        return DepositPage(items=items, next=items[-1].id if len(items) == asked.limit else None)


def _require_alike(usd_cents: int, expected: int) -> None:
    """A figure with a digit too many would stand on its way, and have nobody convert what is lacking."""
    dollars = cents_to_base_units(usd_cents)
    if not dollars <= expected * UNLIKE <= dollars * UNLIKE**2:
        told = f"{format_usdc(expected)} USDC for {format_usdc(dollars)} dollars: a digit too many, or too few?"
        raise RequestError(422, "amounts_unlike", told, "expected_usdc")


def treasury_body(conn: Connection, usdc_account: str) -> Treasury:
    """The latest readings, and what is owed beyond the free balance of the wallet's USDC account."""
    return Treasury(
        readings=[
            Balance(
                name=row.name,
                amount=format_sol(row.amount) if row.name.endswith("_sol") else format_usdc(row.amount),
                slot=row.slot,
                read_at=row.read_at,
            )
            for row in operator_views.readings_of(conn)
        ],
        to_convert=format_usdc(max(0, operator_views.unconverted(conn) - funding.free(conn, usdc_account))),
    )


def _announced(conn: Connection, rows: Sequence[Any]) -> list[Conversion]:
    shares = matches.of_conversions(conn, [row.id for row in rows])
    return [_conversion(row, shares[row.id]) for row in rows]


def _conversion(row: Any, shares: Sequence[tuple[int, int]]) -> Conversion:
    return Conversion(
        id=row.id,
        uuid=row.uuid,
        usd_cents=row.usd_cents,
        expected_usdc=format_usdc(row.expected_usdc),
        received=format_usdc(row.received),
        settled_at=row.settled_at,
        withdrawn_at=row.withdrawn_at,
        can_be_withdrawn=conversions.is_withdrawable(row),
        shares=[ConversionShare(deposit_id=number, amount=format_usdc(amount)) for number, amount in shares],
        can_be_undone=row.signature is None,
        note=row.note,
        created_at=row.created_at,
    )


def _shown(conn: Connection, rows: Sequence[Any]) -> list[Deposit]:
    shares = matches.of_deposits(conn, [row.id for row in rows])
    return [_deposit(row, shares[row.id]) for row in rows]


def _deposit(row: Any, shares: Sequence[tuple[int, int]]) -> Deposit:
    return Deposit(
        id=row.id,
        signature=row.signature,
        sender=row.counterparty or "",
        amount=format_usdc(row.amount),
        unexplained=format_usdc(row.unexplained or 0),
        own=format_usdc(row.own_amount),
        shares=[DepositShare(conversion_id=number, amount=format_usdc(amount)) for number, amount in shares],
        slot=row.slot,
        block_time=row.block_time,
    )
