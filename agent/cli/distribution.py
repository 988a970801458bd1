"""The distribution command's way: look, ask, have it planned, follow. The daemon decides and pays; this only talks."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Protocol

import orjson
import typer

from agent.cli import texts
from agent.cli.client import AdminClient, AnswerLost, CommandFailed, DaemonDown
from agent.cli.looking import instead_of
from agent.cli.terminal import ShowProgress, StandardTerminal, Terminal
from agent.web.admin.batch_bodies import BatchRow, Preview
from config.admin_access import load_admin_access
from domain.money import format_usdc
from domain.states import BatchStatus, UsdcStatus
from ports.clock import Clock
from ports.system import SystemClock

POLL_SECONDS = 0.5
SILENCE_SECONDS = 60.0
"""How long the daemon may be silent while a batch is followed: a restart takes seconds."""


class Exit(IntEnum):
    """Exit codes (product.md, section 7)."""

    ACCEPTED = 0
    """Planned; with --wait all paid; or nothing to pay."""
    ERROR = 1
    """Also when the question is answered with no."""
    NO_TERMINAL = 2
    NOT_COVERED = 3
    FAILED_PAYOUTS = 4


@dataclass(frozen=True, slots=True)
class Wishes:
    """The command's options."""

    dry_run: bool = False
    auto_confirm: bool = False
    wait: bool = False
    timeout_seconds: float | None = None
    as_json: bool = False


class Daemon(Protocol):
    """What the command asks of the daemon."""

    async def preview(self) -> Preview: ...

    async def plan(self) -> BatchRow | None: ...

    async def batch(self, batch_id: int) -> BatchRow: ...

    async def batches(self, before: int | None = None, limit: int = 20) -> list[BatchRow]: ...


@dataclass(slots=True)
class Report:
    """What happened, for --json."""

    outcome: str = "error"
    preview: Preview | None = None
    batch: BatchRow | None = None
    shortage: dict[str, str] | None = field(default=None)

    def document(self, code: Exit) -> dict[str, Any]:
        return {
            "outcome": self.outcome,
            "exit_code": int(code),
            "preview": None if self.preview is None else self.preview.model_dump(mode="json"),
            "batch": None if self.batch is None else self.batch.model_dump(mode="json"),
            "shortage": self.shortage,
        }


class Distribution:
    """One run of the command. `go` may be called once; it raises CommandFailed."""

    def __init__(self, daemon: Daemon, wishes: Wishes, terminal: Terminal, clock: Clock) -> None:
        self._daemon, self._wishes, self._terminal, self._clock = daemon, wishes, terminal, clock
        self.report = Report()

    async def go(self) -> Exit:
        preview = await self._daemon.preview()
        show_preview(preview, self._terminal, self.report)
        if preview.total_purchases == 0:
            return await self._nothing_new()
        refused = self._ask(preview)
        if refused is not None:
            return refused
        batch = await self._plan()
        if batch is None:
            return await self._nothing_new()
        self._show(batch, preview)
        self._note_shortage(batch)
        if self._wishes.wait:
            return await self._follow(batch)
        return self._end("not_covered", Exit.NOT_COVERED) if self.report.shortage else self._end("accepted")

    async def _nothing_new(self) -> Exit:
        """Earlier batches may still be on their way; with --wait the last of them is followed."""
        self._terminal.say("\nNothing to pay.")
        open_batches = [batch for batch in await self._daemon.batches() if batch.status != BatchStatus.SETTLED]
        for batch in open_batches:
            self._terminal.say(f"Still on its way: {texts.batch_line(batch)}")
        if self._wishes.wait and open_batches:
            return await self._follow(open_batches[0])
        return self._end("nothing_to_pay")

    def _ask(self, preview: Preview) -> Exit | None:
        """Why not to go on; None to go on."""
        if self._wishes.auto_confirm:
            return None
        if not self._terminal.can_ask:
            typer.echo("error: nobody can be asked here: give --auto-confirm, or --dry-run to look only", err=True)
            return self._end("not_confirmed", Exit.NO_TERMINAL)
        creators = texts.counted(preview.number_of_creators, "creator")
        purchases = texts.counted(preview.total_purchases, "purchase")
        if self._terminal.ask(f"\nPay {preview.total_usdc} USDC to {creators} for {purchases}?"):
            return None
        self._terminal.say("Nothing was planned.")
        return self._end("declined", Exit.ERROR)

    async def _plan(self) -> BatchRow | None:
        try:
            return await self._daemon.plan()
        except AnswerLost as error:
            raise CommandFailed(
                f"{error}; the batch may have been planned all the same: look with `python main.py status`"
            ) from None

    def _show(self, batch: BatchRow, preview: Preview) -> None:
        self.report.batch = batch
        self._terminal.say("")
        if batch.planned_amount != preview.total_usdc:
            self._terminal.say("What is payable has changed since it was shown above.")
        self._terminal.say(texts.batch_line(batch))

    def _note_shortage(self, batch: BatchRow) -> None:
        short = texts.base_units(batch.short)
        if short == 0 or batch.status in (BatchStatus.SENDING, BatchStatus.SETTLED):
            self.report.shortage = None
            return
        have = texts.base_units(batch.need) - short
        self.report.shortage = {
            "need": batch.need,
            "have": format_usdc(have),
            "short": batch.short,
        }
        self._terminal.say(texts.shortage_line(batch))

    async def _follow(self, batch: BatchRow) -> Exit:
        started = heard = self._clock.monotonic()
        with self._terminal.progress() as show:
            while True:
                self._progress(batch, show)
                if batch.status == BatchStatus.SETTLED:
                    break
                if self._over(started):
                    return self._late(batch)
                await self._clock.sleep(POLL_SECONDS)
                try:
                    batch = await self._daemon.batch(batch.id)
                    heard = self._clock.monotonic()
                except (DaemonDown, AnswerLost):
                    if self._clock.monotonic() - heard > SILENCE_SECONDS:
                        raise
        failed = batch.payouts.get(UsdcStatus.FAILED, 0)
        self._terminal.say(f"Batch {batch.id} is settled: {texts.paid_of(batch)}")
        self.report.shortage = None
        return self._end("failed_payouts", Exit.FAILED_PAYOUTS) if failed else self._end("paid")

    def _progress(self, batch: BatchRow, show: ShowProgress) -> None:
        self.report.batch = batch
        done = sum(batch.payouts.get(state, 0) for state in (UsdcStatus.DISTRIBUTED, UsdcStatus.NETTED))
        words = "paused" if batch.paused else batch.status.replace("_", " ")
        show(f"Batch {batch.id} {words}", done, sum(batch.payouts.values()))

    def _over(self, started: float) -> bool:
        limit = self._wishes.timeout_seconds
        return limit is not None and self._clock.monotonic() - started >= limit

    def _late(self, batch: BatchRow) -> Exit:
        self._terminal.say("The time given is over; the batch goes on without this command.")
        self._note_shortage(batch)
        if self.report.shortage:
            return self._end("not_covered", Exit.NOT_COVERED)
        return self._end("timeout", Exit.ERROR)

    def _end(self, outcome: str, code: Exit = Exit.ACCEPTED) -> Exit:
        self.report.outcome = outcome
        return code


def show_preview(preview: Preview, terminal: Terminal, report: Report) -> None:
    report.preview = preview
    for line in texts.preview_lines(preview):
        terminal.say(line)


async def run(wishes: Wishes) -> int:
    """The command against AGENT_ADMIN_URL; its exit code. Raises CommandFailed, SettingsError."""
    terminal = StandardTerminal(quiet=wishes.as_json)
    async with AdminClient(load_admin_access()) as client:
        if wishes.dry_run:
            report, code = await _dry_run(client, terminal), Exit.ACCEPTED
        else:
            work = Distribution(client, wishes, terminal, SystemClock())
            code, report = await work.go(), work.report
    if wishes.as_json:
        typer.echo(orjson.dumps(report.document(code), option=orjson.OPT_INDENT_2).decode())
    return code


async def _dry_run(client: AdminClient, terminal: Terminal) -> Report:
    """With no daemon running, the database and the chain are read here."""
    report = Report("dry_run")
    try:
        preview = await client.preview()
    except DaemonDown as down:
        async with instead_of(down) as alone:
            preview = await alone.preview()
    show_preview(preview, terminal, report)
    return report
