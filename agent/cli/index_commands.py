"""What the commands of `index` do."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import orjson
import typer

from agent.cli.client import CommandFailed
from agent.cli.looking import looker
from agent.cli.texts import counted, plain
from agent.web.index_bodies import BackfillRow, IndexStatus, TrackRow
from chain.transactions import check_signature
from domain.errors import Rejected

NAMES = {"treasury_usdc": "USDC account", "treasury_sol": "SOL wallet"}


async def show(as_json: bool) -> int:
    async with looker() as look:
        status = await look.index_status()
    if as_json:
        typer.echo(orjson.dumps(status.model_dump(mode="json"), option=orjson.OPT_INDENT_2).decode())
    else:
        typer.echo("\n".join(status_lines(status)))
    return 0


async def read_again(from_signature: str | None, everything: bool, as_json: bool) -> int:
    _require_one(from_signature, everything)
    async with looker() as look:
        with _progress() as tell:
            done = await look.backfill(from_signature, tell)
    code = 1 if done.error else 0
    if as_json:
        typer.echo(orjson.dumps({**done.model_dump(mode="json"), "exit_code": code}).decode())
    else:
        typer.echo(outcome_line(done))
    return code


def _require_one(from_signature: str | None, everything: bool) -> None:
    if (from_signature is None) == (not everything):
        raise CommandFailed("give either --from-signature with a signature, or --all")
    if from_signature is not None:
        try:
            check_signature(from_signature)
        except Rejected as error:
            raise CommandFailed(f"--from-signature: {error}") from None


def outcome_line(done: BackfillRow) -> str:
    read = f"{done.read} of {counted(done.total, 'transaction')} read"
    if done.error:
        return f"Broken off: {read}, {done.booked} booked that were missing: {plain(done.error)}"
    return f"{read}, {done.booked} booked that were missing"


def status_lines(status: IndexStatus) -> list[str]:
    """Everything in the order in which one looks."""
    closed = "WebSocket closed, signatures are polled" if status.signatures else "WebSocket closed: nothing to follow"
    sockets = {None: "no WebSocket", True: "WebSocket open", False: closed}[status.websocket]
    lines = [f"Finalized slot {status.finalized_slot}, {status.slot_ms} ms a slot, {sockets}"]
    lines += [f"Trouble: {plain(why)}" for why in status.trouble]
    for one in status.endpoints:
        state = f"left out: {plain(one.excluded)}" if one.excluded else "well" if one.is_well else "NOT WELL"
        lines.append(
            f"{plain(one.label)}: {state}, {counted(one.lag_slots, 'slot')} behind, {one.error_rate:.0%} errors, "
            f"{one.latency_ms} ms"
        )
    lines += [_track_line(track, status.finalized_slot) for track in status.tracks]
    opened = ", ".join(f"{rows} {state}" for state, rows in sorted(status.signatures.items())) or "none"
    lines.append(f"Signatures in flight: {opened}")
    lines.append(f"NFTs: {status.nfts} minted, {status.nfts_transferred} moved on")
    lines.append(f"Deposits that no announced conversion explains: {status.deposits_unexplained} USDC")
    lines += [f"Chain: {fact.name} {plain(fact.value)}, since {fact.changed_at:%Y-%m-%d}" for fact in status.facts]
    if status.backfill is not None:
        running = "running" if status.backfill.finished_at is None else "last"
        lines.append(f"Backfill, {running}: {outcome_line(status.backfill)}")
    return lines


def _track_line(track: TrackRow, finalized_slot: int) -> str:
    name = f"{NAMES.get(track.name, track.name)} {track.address}"
    if track.slot is None:
        return f"{name}: nothing stored yet"
    ahead = f", {finalized_slot - track.slot} slots ago" if finalized_slot >= track.slot else ""
    agree = "not read yet" if track.on_chain is None else f"on chain {track.on_chain}"
    return f"{name}: last transaction in slot {track.slot}{ahead}; booked {track.booked}, {agree}"


@contextmanager
def _progress() -> Iterator[Callable[[BackfillRow], None]]:
    """A bar on standard error where somebody watches; nothing else."""
    if not sys.stderr.isatty():
        yield lambda row: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Reading", total=None)

        def show_row(row: BackfillRow) -> None:
            bar.update(task, total=row.total or None, completed=row.read, description=f"{row.booked} booked")

        yield show_row
