"""What `conversion` does."""

import asyncio
from contextlib import suppress

import typer

from agent.cli.client import AdminClient, AnswerLost, CommandFailed
from agent.cli.looking import FAILED, asker
from agent.cli.money_acts import NOBODY_TO_ASK
from agent.cli.operations import checked, print_json
from agent.cli.tables import console, show_facts, show_rows
from agent.cli.terminal import StandardTerminal
from agent.cli.texts import base_units
from agent.web.admin.batch_bodies import Approval
from agent.web.admin.treasury_bodies import Conversion, ConversionPage, NewConversion
from agent.web.bodies import Reason
from agent.web.conversion_bodies import ConversionOrder, MintDeposits, NewOrder, OrderPage, WireInstructions
from config.admin_access import load_admin_access
from domain.money import format_cents, parse_decimal
from ports.system import SystemIds

ROOT = "/admin/api/conversions"
AGAIN_SECONDS = (1.0, 5.0, 15.0)


async def announce(usd: str, usdc: str | None, note: str, as_json: bool) -> int:
    try:
        cents = parse_decimal(usd, 2)
    except ValueError as error:
        raise CommandFailed(f"--usd: {error}") from None
    key = str(SystemIds().uuid())
    wish = checked(NewConversion, usd_cents=cents, expected_usdc=usdc, note=note, idempotency_key=key)
    async with AdminClient(load_admin_access()) as client:
        made = await _announced(client, wish)
    if as_json:
        print_json(made.model_dump(mode="json"))
    else:
        typer.echo(f"Conversion {made.id}: {usd} USD, {made.expected_usdc} USDC expected")
    return 0


async def _announced(client: AdminClient, wish: NewConversion) -> Conversion:
    """Asked again when the answer is lost: by its key it is announced once."""
    for seconds in AGAIN_SECONDS:
        with suppress(AnswerLost):
            return await client.announce(wish)
        await asyncio.sleep(seconds)
    return await client.announce(wish)


async def show_announced(limit: int, as_json: bool) -> int:
    async with asker(alone=False) as asks:
        page = await asks.ask("GET", ROOT, ConversionPage, query={"limit": str(limit)})
    if as_json:
        print_json(page.model_dump(mode="json"))
        return 0
    for one in page.items:
        typer.echo(conversion_line(one))
    if not page.items:
        typer.echo("No conversion was announced.")
    return 0


async def withdraw(conversion_id: int, reason: str, as_json: bool) -> int:
    wish = checked(Reason, reason=reason)
    async with asker(alone=False) as asks:
        row = await asks.ask("POST", f"{ROOT}/{conversion_id}/withdraw", Conversion, body=wish)
    if as_json:
        print_json(row.model_dump(mode="json"))
    else:
        typer.echo(conversion_line(row))
    return 0


async def propose(usdc: str | None, note: str, as_json: bool) -> int:
    wish = checked(NewOrder, amount=usdc, note=note)
    async with asker(alone=False) as asks:
        made = await asks.ask("POST", f"{ROOT}/orders", ConversionOrder, body=wish)
    return _end(made, as_json)


async def show_orders(limit: int, as_json: bool) -> int:
    async with asker(alone=False) as asks:
        page = await asks.ask("GET", f"{ROOT}/orders", OrderPage, query={"limit": str(limit)})
        wired = await asks.ask("GET", f"{ROOT}/deposits", MintDeposits)
    if as_json:
        print_json({**page.model_dump(mode="json"), "deposits": wired.model_dump(mode="json")["items"]})
        return 0
    if not page.circle_mint:
        typer.echo("AGENT_CONVERSION is manual: no orders are taken.")
    for order in page.items:
        typer.echo(order_line(order))
    show_rows(
        console(),
        "Dollars seen at Circle Mint",
        ("when", "USD", "status"),
        [(f"{one.created_at:%Y-%m-%d %H:%M} UTC", one.amount, one.status) for one in wired.items],
    )
    return 0


async def approve(order_id: int, digest: str | None, as_json: bool) -> int:
    terminal = StandardTerminal(quiet=as_json)
    async with asker(alone=False) as asks:
        if digest is None:
            order = await asks.ask("GET", f"{ROOT}/orders/{order_id}", ConversionOrder)
            if not terminal.can_ask:
                typer.echo("error: nobody can be asked here: see `conversion orders`, then give --digest", err=True)
                return NOBODY_TO_ASK
            if not terminal.ask(f"Approve {order.amount} USDC to {order.destination_address}?"):
                return FAILED
            digest = order.digest
        wish = checked(Approval, digest=digest)
        row = await asks.ask("POST", f"{ROOT}/orders/{order_id}/approve", ConversionOrder, body=wish)
    return _end(row, as_json)


async def cancel(order_id: int, reason: str, as_json: bool) -> int:
    wish = checked(Reason, reason=reason)
    async with asker(alone=False) as asks:
        row = await asks.ask("POST", f"{ROOT}/orders/{order_id}/cancel", ConversionOrder, body=wish)
    return _end(row, as_json)


async def show_instructions(as_json: bool) -> int:
    async with asker(alone=False) as asks:
        found = await asks.ask("GET", f"{ROOT}/wire", WireInstructions)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return 0
    for one in found.items:
        show_facts(
            console(),
            f"Wire with the text {one.tracking_ref}",
            [
                ("to", one.beneficiary),
                ("bank", one.bank),
                ("account", one.account_number),
                ("routing number", one.routing_number),
                ("SWIFT", one.swift_code),
            ],
        )
    if not found.items:
        typer.echo("No bank account is linked yet: link one in Circle Mint's console.")
    return 0


def conversion_line(one: Conversion) -> str:
    """An announced conversion, and what has come for it."""
    settled = "settled" if one.settled_at else "waits"
    state = "withdrawn" if one.withdrawn_at else f"{one.received} arrived, {settled}"
    told = f": {one.note}" if one.note else ""
    return f"Conversion {one.id}: {format_cents(one.usd_cents)} USD, {one.expected_usdc} USDC expected, {state}{told}"


def order_line(order: ConversionOrder) -> str:
    """One order, what it waits for, and what its approvers agree to."""
    waits = f", {order.to_wire} USD to wire" if base_units(order.to_wire) else ""
    agreed = f", approved by {', '.join(order.approved_by)}" if order.approved_by else ""
    return f"Order {order.id}: {order.amount} USDC, {order.state}{waits}{agreed}; digest {order.digest or 'none'}"


def _end(order: ConversionOrder, as_json: bool) -> int:
    if as_json:
        print_json(order.model_dump(mode="json"))
    else:
        typer.echo(order_line(order))
    return 0
