"""What `batch`, `sends` and `treasury` do."""

import typer

from agent.cli.client import Asker
from agent.cli.looking import FAILED, asker
from agent.cli.operations import checked, print_json
from agent.cli.tables import console, show_facts, show_rows
from agent.cli.terminal import StandardTerminal
from agent.cli.texts import base_units, batch_line, counted, plain
from agent.web.admin.batch_bodies import Approval, BatchDetail, BatchPage, BatchRow, PlanChange, PlannedItem
from agent.web.admin.treasury_bodies import Costs, Outlook, SendsSwitch, Treasury
from agent.web.bodies import Reason
from domain.money import format_cents

ROOT = "/admin/api"
PAGE = 100
NOBODY_TO_ASK = 2
YEARS_DAYS = 730
"""Beyond it the pace of four weeks tells nothing."""


async def show_batches(limit: int, as_json: bool) -> int:
    async with asker(alone=False) as asks:
        page = await asks.ask("GET", f"{ROOT}/batches", BatchPage, query={"limit": str(limit)})
    if as_json:
        print_json(page.model_dump(mode="json"))
        return 0
    for row in page.items:
        typer.echo(batch_line(row))
    if not page.items:
        typer.echo("No batches yet.")
    return 0


async def show_plan(batch_id: int, as_json: bool) -> int:
    async with asker(alone=False) as asks:
        batch, items, changes = await _plan(asks, batch_id)
    if as_json:
        print_json(
            {
                "batch": batch.model_dump(mode="json"),
                "items": [item.model_dump(mode="json") for item in items],
                "changes": [change.model_dump(mode="json") for change in changes],
            }
        )
    else:
        _show(batch, items, changes)
    return 0


async def _plan(asks: Asker, batch_id: int) -> tuple[BatchRow, list[PlannedItem], list[PlanChange]]:
    """The whole plan, page after page."""
    items: list[PlannedItem] = []
    before: int | None = None
    while True:
        query = {"limit": str(PAGE)} | ({} if before is None else {"before": str(before)})
        page = await asks.ask("GET", f"{ROOT}/batches/{batch_id}", BatchDetail, query=query)
        items += page.items
        before = page.next
        if before is None:
            return page.batch, items, page.changes


def _show(batch: BatchRow, items: list[PlannedItem], changes: list[PlanChange]) -> None:
    out = console()
    show_facts(
        out,
        batch_line(batch),
        [
            ("digest", batch.digest or "none"),
            ("approved by", ", ".join(batch.approved_by) or "nobody yet"),
            ("paused", batch.pause_reason or ("yes" if batch.paused else "no")),
            ("unpaid, uncovered", f"{batch.unpaid}, {batch.uncovered} USDC"),
        ],
    )
    show_rows(
        out,
        "Plan",
        ("payout", "purchase", "creator", "amount", "address", "state"),
        [
            (str(one.payout_id), str(one.purchase_id), one.creator, one.amount, one.destination_address, one.state)
            for one in items
        ],
    )
    show_rows(
        out,
        "Less than planned",
        ("payout", "planned", "now", "state", "why"),
        [(str(one.payout_id), one.planned, one.now, one.state, one.reason or "") for one in changes],
    )


async def approve(batch_id: int, digest: str | None, as_json: bool) -> int:
    terminal = StandardTerminal(quiet=as_json)
    async with asker(alone=False) as asks:
        if digest is None:
            batch, items, changes = await _plan(asks, batch_id)
            if not terminal.can_ask:
                typer.echo("error: nobody can be asked here: look with `batch show`, then give --digest", err=True)
                return NOBODY_TO_ASK
            if not as_json:
                _show(batch, items, changes)
            payouts = counted(batch.payout_count, "payout")
            if batch.digest is None or not terminal.ask(f"\nApprove {batch.planned_amount} USDC in {payouts}?"):
                return FAILED
            digest = batch.digest
        wish = checked(Approval, digest=digest)
        row = await asks.ask("POST", f"{ROOT}/batches/{batch_id}/approve", BatchRow, body=wish)
    return _end(row, f"Approved by {', '.join(row.approved_by)}", as_json)


async def pause(batch_id: int, reason: str, as_json: bool) -> int:
    wish = checked(Reason, reason=reason)
    async with asker(alone=False) as asks:
        row = await asks.ask("POST", f"{ROOT}/batches/{batch_id}/pause", BatchRow, body=wish)
    return _end(row, "Paused", as_json)


async def resume(batch_id: int, as_json: bool) -> int:
    async with asker(alone=False) as asks:
        row = await asks.ask("POST", f"{ROOT}/batches/{batch_id}/resume", BatchRow)
    return _end(row, "Goes on", as_json)


async def pause_sends(reason: str, as_json: bool) -> int:
    wish = checked(Reason, reason=reason)
    async with asker(alone=False) as asks:
        switch = await asks.ask("POST", f"{ROOT}/sends/pause", SendsSwitch, body=wish)
    return _switched(switch, as_json)


async def resume_sends(as_json: bool) -> int:
    async with asker(alone=False) as asks:
        switch = await asks.ask("POST", f"{ROOT}/sends/resume", SendsSwitch)
    return _switched(switch, as_json)


def _switched(switch: SendsSwitch, as_json: bool) -> int:
    if as_json:
        print_json(switch.model_dump(mode="json"))
    elif switch.paused is None:
        typer.echo("Sends go on.")
    else:
        typer.echo(f"All sends are paused: {plain(switch.paused)}")
    return 0


def _end(row: BatchRow, said: str, as_json: bool) -> int:
    if as_json:
        print_json(row.model_dump(mode="json"))
    else:
        typer.echo(f"{plain(said)}: {batch_line(row)}")
    return 0


async def show_treasury(days: int, as_json: bool) -> int:
    async with asker(alone=False) as asks:
        wallet = await asks.ask("GET", f"{ROOT}/treasury", Treasury)
        outlook = await asks.ask("GET", f"{ROOT}/treasury/outlook", Outlook)
        costs = await asks.ask("GET", f"{ROOT}/treasury/costs", Costs, query={"days": str(days)})
    if as_json:
        parts = {"treasury": wallet, "outlook": outlook, "costs": costs}
        print_json({name: part.model_dump(mode="json") for name, part in parts.items()})
        return 0
    out = console()
    show_facts(
        out,
        "Wallet",
        [
            (one.name.removeprefix("treasury_").upper(), f"{one.amount} (read {one.read_at:%Y-%m-%d %H:%M:%S} UTC)")
            for one in wallet.readings
        ]
        or [("balances", "not read yet")],
    )
    show_facts(out, f"Monday {outlook.monday:%Y-%m-%d %H:%M} UTC", _outlook(outlook))
    show_facts(out, f"The last {costs.days} days", _costs(costs))
    return 0


def _outlook(found: Outlook) -> list[tuple[str, str]]:
    left = "nobody can tell yet" if found.sales_left is None else f"{counted(found.sales_left, 'sale')}"
    days = "" if found.days_left is None else f", {_lasting(found.days_left)}"
    nothing = base_units(found.to_convert) == 0
    when = f"{'since' if found.convert_late else 'by'} {found.convert_by:%a %Y-%m-%d %H:%M} UTC"
    convert = "nothing" if nothing else f"{found.to_convert} USDC {when}"
    return [
        ("needs", f"{found.need} USDC: {found.owed} owed, {found.unminted} unminted, {found.expected} expected"),
        ("wallet", f"{found.wallet_usdc} USDC, of it {found.promised} promised"),
        ("to convert", convert),
        ("without what is expected", f"{found.to_convert_known} USDC"),
        ("sales without a final fee", str(found.unpriced_sales)),
        ("SOL lasts for", left + days),
    ]


def _lasting(days: int) -> str:
    return f"about {counted(days, 'day')}" if days <= YEARS_DAYS else "for years"


def _costs(found: Costs) -> list[tuple[str, str]]:
    assumed = format_cents(found.network_cents_assumed)
    sent = f"{counted(found.minted, 'mint')}, {counted(found.payouts, 'payout')}"
    return [
        ("sales", f"{found.sales}: {found.gross} USD, {found.refunded} given back"),
        ("Stripe's fees", f"{found.stripe_fees} USD, net {found.net}, {found.dispute_fees} for disputes"),
        ("creators, platform", f"{found.creators}, {found.platform} USDC"),
        ("on chain", f"{found.network_lamports} lamports: {sent}"),
        ("a sale", f"{found.network_lamports_per_sale} lamports, leaves {found.margin_per_sale} USDC"),
        ("left", f"{found.margin} USDC, with {assumed} USD taken for the network (AGENT_NETWORK_COST_CENTS)"),
    ]
