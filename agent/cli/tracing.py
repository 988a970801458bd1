"""What `trace` shows: one sale as tables to read, or as the admin API's document."""

import re
from collections.abc import Sequence

import orjson
import typer
from rich.console import Console

from agent.cli.client import CommandFailed
from agent.cli.looking import looker
from agent.cli.tables import console, show_facts, show_rows
from agent.web.books_bodies import Trace, TraceEntry
from domain.ledger import Asset
from domain.money import format_cents, format_sol, format_usdc

_SALE = re.compile(r"[1-9][0-9]{0,17}|pi_[A-Za-z0-9_]{1,250}", re.ASCII)


async def run(sale: str, as_json: bool) -> int:
    if _SALE.fullmatch(sale) is None:
        raise CommandFailed("PURCHASE_ID is a purchase's number or a payment_intent such as pi_3Nx…")
    async with looker() as look:
        found = await look.trace(sale)
    if as_json:
        typer.echo(orjson.dumps(found.model_dump(mode="json"), option=orjson.OPT_INDENT_2).decode())
    else:
        show(found, console())
    return 0


def show(found: Trace, out: Console) -> None:
    """Print a sale: what it is, what happened when, every attempt with its proof, the books, what it cost."""
    show_facts(out, "Sale", _sale(found))
    show_rows(
        out,
        "What happened",
        ("when", "what", "change", "why"),
        [
            (
                _time(one.at),
                f"{one.machine} {one.subject}",
                one.after if one.before is None else f"{one.before} → {one.after}",
                one.reason or "",
            )
            for one in found.changes
        ],
    )
    _payouts(out, found)
    _attempts(out, found)
    _back(out, found)
    show_rows(
        out,
        "On chain, finalized",
        ("when", "slot", "kind", "amount", "signature"),
        [
            (
                "" if m.block_time is None else _time(m.block_time),
                str(m.slot),
                m.kind,
                amount(m.asset, m.amount),
                m.signature,
            )
            for m in found.movements
        ],
    )
    _books(out, found.entries)
    show_facts(out, "What it cost", _costs(found))


def _sale(found: Trace) -> list[tuple[str, str]]:
    sale = found.purchase
    return [
        ("purchase", f"{sale.id} ({sale.title}{'' if sale.edition_number is None else f' #{sale.edition_number}'})"),
        ("status", sale.status + ("" if not sale.status_reason else f": {sale.status_reason}")),
        ("payout", sale.usdc_payment_status + ("" if not sale.hold_reason else f": {sale.hold_reason}")),
        ("gross, fee, net", f"{sale.gross_amount} − {sale.stripe_fee or '?'} = {sale.net_after_stripe or '?'} USD"),
        ("available", f"{sale.available_on:%Y-%m-%d %H:%M} UTC" if sale.available_on else "not known yet"),
        ("refunded", f"{sale.refunded_amount} USD"),
        ("creators' due", f"{sale.usdc_amount or '?'} USDC ({found.split_rule or 'not split yet'})"),
        ("payment_intent", sale.stripe_payment_intent_id or "none"),
        ("Session", sale.stripe_checkout_session_id or "none"),
        ("charge", found.stripe_charge_id or "not known yet"),
        ("balance transaction", found.stripe_balance_transaction_id or "not known yet"),
        ("NFT", sale.nft_mint_address or "not minted yet"),
        ("mint signature", sale.mint_signature or "none"),
    ]


def _payouts(out: Console, found: Trace) -> None:
    show_rows(
        out,
        "Payouts",
        ("recipient", "share", "due", "netted", "status", "address", "signature"),
        [
            (
                f"{one.recipient_name} ({one.recipient_id})",
                f"{one.share_bps} bps",
                one.amount,
                one.netted_amount,
                one.status + ("" if not one.reason else f": {one.reason}"),
                one.destination_address or "",
                one.usdc_transfer_signature or "",
            )
            for one in found.purchase.payouts
        ],
    )


def _attempts(out: Console, found: Trace) -> None:
    show_rows(
        out,
        "Attempts to mint",
        ("when", "no.", "state", "signature", "lamports", "proof"),
        [
            (_time(m.created_at), str(m.attempt), m.state, m.signature or "", str(m.cost_lamports or ""), m.proof or "")
            for m in found.mints
        ],
    )
    show_rows(
        out,
        "Attempts to pay",
        ("when", "no.", "state", "reference", "amount", "Circle", "signature", "proof"),
        [
            (
                _time(one.created_at),
                str(one.attempt),
                one.state,
                one.reference,
                one.amount,
                f"{one.circle_transaction_id or ''} {one.circle_state or ''} {one.error_reason or ''}".strip(),
                one.signature or "",
                one.proof or "",
            )
            for one in found.transfers
        ],
    )

    show_rows(
        out,
        "Attempts of the groups that pay it",
        ("when", "no.", "state", "group", "amount", "receipt", "signature", "proof"),
        [
            (
                _time(one.created_at),
                str(one.attempt),
                one.state,
                one.group,
                one.amount,
                one.receipt_address,
                one.signature or "",
                one.proof or "",
            )
            for one in found.packed
        ],
    )


def _back(out: Console, found: Trace) -> None:
    show_rows(
        out,
        "Refunds",
        ("when", "refund", "amount", "state", "reason"),
        [(_time(r.created_at), r.stripe_refund_id or "", r.amount, r.state, r.reason) for r in found.refunds],
    )
    show_rows(
        out,
        "Disputes",
        ("dispute", "status", "amount", "withdrawn", "fee"),
        [(d.stripe_dispute_id, d.status, d.amount, d.withdrawn, d.fee) for d in found.disputes],
    )
    show_rows(
        out,
        "Debts used up",
        ("entry", "amount", "undone"),
        [(n.ledger_key, n.amount, "" if n.undone_at is None else _time(n.undone_at)) for n in found.nettings],
    )


def _books(out: Console, entries: Sequence[TraceEntry]) -> None:
    rows = []
    for entry in entries:
        for place, posting in enumerate(entry.postings):
            seal = "waits" if entry.seal is None else str(entry.seal)
            head = (_time(entry.at), seal, entry.key) if place == 0 else ("", "", "")
            rows.append((*head, posting.account, amount(posting.asset, posting.amount)))
    show_rows(out, "Ledger", ("when", "seal", "entry", "account", "amount"), rows)


def _costs(found: Trace) -> list[tuple[str, str]]:
    costs = found.costs
    shared = f", {costs.transfers_shared} of the transfers also paid other sales" if costs.transfers_shared else ""
    return [
        ("Stripe's fee", "not known yet" if costs.stripe_fee is None else f"{costs.stripe_fee} USD"),
        ("dispute fees", f"{costs.dispute_fees} USD"),
        ("mint", f"{format_sol(costs.mint_lamports)} SOL ({costs.mint_lamports} lamports)"),
        ("payout", f"{format_sol(costs.transfer_lamports)} SOL ({costs.transfer_lamports} lamports{shared})"),
        ("platform's part", "not known yet" if costs.platform_amount is None else f"{costs.platform_amount} USDC"),
        ("left of it", "not known yet" if costs.platform_left is None else f"{costs.platform_left} USDC"),
    ]


def amount(asset: str, units: int) -> str:
    """A ledger amount for people."""
    match asset:
        case Asset.USD:
            return f"{format_cents(units)} USD"
        case Asset.USDC:
            return f"{format_usdc(units)} USDC"
        case Asset.SOL:
            return f"{format_sol(units)} SOL"
    return f"{units} {asset}"


def _time(moment: object) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}" if moment is not None else ""
