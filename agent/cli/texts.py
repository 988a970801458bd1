"""What the commands print, as lines. Pure: bodies of the admin API in, text out.

Names and error texts come from strangers: nothing in them may move the cursor, colour the line or turn it around.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from agent.web.admin.batch_bodies import BatchRow, Preview
from agent.web.admin.work_bodies import Status, WorkPage
from agent.web.payout_way import told
from domain.money import USDC_DECIMALS, format_usdc, parse_decimal
from domain.states import UsdcStatus

SHOWN_MOST = 200
"""Characters of a name or an error on one line."""


def printable(text: str) -> str:
    """The text without control, formatting and private characters."""
    return "".join(character if character.isprintable() else " " for character in text)


def plain(text: str) -> str:
    """As `printable`, and not longer than a line should be."""
    kept = printable(text)
    return kept if len(kept) <= SHOWN_MOST else kept[: SHOWN_MOST - 1] + "…"


def base_units(usdc: str) -> int:
    """An amount of the admin API in base units."""
    return parse_decimal(usdc, USDC_DECIMALS)


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def preview_lines(preview: Preview) -> list[str]:
    """The report of product.md, section 7."""
    lines = [
        f"Total purchases: {preview.total_purchases}",
        f"Total USDC to distribute: {preview.total_usdc}",
        f"Number of creators: {preview.number_of_creators}",
    ]
    if preview.creators:
        names = [plain(part.name) for part in preview.creators]
        amounts = [f"${part.amount} USDC" for part in preview.creators]
        wide, far = max(map(len, names)), max(map(len, amounts))
        lines += ["", "BREAKDOWN BY CREATOR:"]
        lines += [
            f"  {name:<{wide}}  {amount:>{far}}  ({counted(part.purchases, 'purchase')})"
            for name, amount, part in zip(names, amounts, preview.creators, strict=True)
        ]
    if preview.left_out:
        lines += ["", "LEFT OUT THIS TIME:"]
        lines += [
            f"  {plain(part.name)}  ${part.amount} USDC  ({counted(part.purchases, 'purchase')})  {plain(part.reason)}"
            for part in preview.left_out
        ]
    return [
        *lines,
        "",
        f"Platform wallet: {preview.wallet_usdc} USDC, {preview.wallet_sol} SOL",
        f"Still to convert: {preview.to_convert} USDC",
    ]


def batch_line(batch: BatchRow) -> str:
    """One batch in one line."""
    paused = ", paused" if batch.paused else ""
    amount = f"{batch.planned_amount} USDC in {counted(batch.payout_count, 'payout')}"
    return f"Batch {batch.id} ({plain(batch.key)}): {batch.status}{paused}, {amount}, {plain(paid_of(batch))}"


def paid_of(batch: BatchRow) -> str:
    """How far a batch is, of its whole plan: what was held or cancelled since counts as not paid by it."""
    failed = batch.payouts.get(UsdcStatus.FAILED, 0)
    done = sum(batch.payouts.get(state, 0) for state in (UsdcStatus.DISTRIBUTED, UsdcStatus.NETTED))
    return f"{done} of {sum(batch.payouts.values())} paid" + (f", {failed} failed" if failed else "")


def shortage_line(batch: BatchRow) -> str:
    """What `InsufficientBalanceError` says, in USDC."""
    need, short = base_units(batch.need), base_units(batch.short)
    return (
        f"InsufficientBalanceError: need {format_usdc(need)}, have {format_usdc(need - short)}, "
        f"short {format_usdc(short)} USDC; the batch goes on by itself when the deposit is finalized"
    )


def status_lines(status: Status, gate: bool | None, batches: Iterable[BatchRow], parked: WorkPage) -> list[str]:
    """Everything an operator looks at first."""
    gate_text = "no daemon runs" if gate is None else f"start gate {'open' if gate else 'closed: nothing is sent yet'}"
    lines = [f"{'LIVE' if status.live else 'Test mode'}, {gate_text}", *_stop_lines(status)]
    for reading in status.treasury.readings:
        unit = "SOL" if reading.name.endswith("_sol") else "USDC"
        lines.append(f"Platform wallet: {reading.amount} {unit} ({_ago(reading.read_at, status.now)})")
    if not status.treasury.readings:
        lines.append("Platform wallet: not read yet")
    lines.append(f"Still to convert: {status.treasury.to_convert} USDC")
    lines.append(f"Creators are paid {told(status.payouts)}")
    lines += [f"{title}: {_counts(status.counts.get(name, {}))}" for name, title in _TITLES.items()]
    held = "balanced" if status.ledger_imbalance == 0 else f"OUT OF BALANCE by {status.ledger_imbalance} units"
    lines.append(f"Ledger: {held}")
    lines += [batch_line(batch) for batch in batches]
    lines += _parked_lines(parked)
    return lines


def _stop_lines(status: Status) -> list[str]:
    lines = [] if status.sends_paused is None else [f"ALL SENDS ARE PAUSED: {plain(status.sends_paused)}"]
    if status.unexplained_outflow:
        lines.append("NOTHING IS SENT: an outflow of the platform wallet is not explained")
    if status.orders_held is not None:
        lines.append(f"CIRCLE TAKES NO ORDERS, one asks for all others: {plain(status.orders_held)}")
    lines += [f"{service.upper()} REFUSES OUR KEY: what needs it waits" for service in status.refused_keys]
    return lines


_TITLES: Mapping[str, str] = {
    "purchases": "Purchases",
    "payouts": "Payouts",
    "jobs": "Jobs",
    "stripe_events": "Stripe events",
    "circle_notifications": "Circle notifications",
}


def _counts(by_state: Mapping[str, int]) -> str:
    return ", ".join(f"{rows} {state}" for state, rows in sorted(by_state.items())) or "none"


def _parked_lines(parked: WorkPage) -> list[str]:
    if not parked.items:
        return ["Parked for a person: nothing"]
    more = " and more" if parked.next is not None else ""
    lines = [f"Parked for a person: {len(parked.items)}{more}"]
    for item in parked.items:
        why = plain(f"{item.error_code or ''}: {item.error or ''}".strip(": "))
        lines.append(f"  {plain(item.kind)} {plain(item.subject)}, {counted(item.attempts, 'attempt')}: {why}")
    return lines


def _ago(moment: datetime, now: datetime) -> str:
    seconds = max(0, int((now - moment).total_seconds()))
    if seconds < 120:
        return f"read {seconds} s ago"
    return f"read {seconds // 60} min ago" if seconds < 7_200 else f"read {seconds // 3_600} h ago"
