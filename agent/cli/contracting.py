"""What the command `contract` does."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import typer

from agent.cli.client import CommandFailed
from agent.cli.terminal import StandardTerminal
from agent.contract.check import Check, Result, Verdict
from agent.contract.ground import Ask, build_ground
from agent.contract.report import DEFAULT_FILE, build_report
from agent.contract.run import chosen, run_checks
from config.settings import Settings, load_settings
from gateways.transport import AiohttpTransport
from indexer.rpc.pool import RpcPool
from ports.system import SystemClock, SystemIds

NOT_PASSED = 4
MARKS = {Verdict.PASS: "✓", Verdict.FAIL: "✗", Verdict.SKIP: "–"}
REPORT_MODE = 0o600


@dataclass(frozen=True, slots=True)
class Wishes:
    """The command's options. `only` are names of checks or services; with them no report is stored."""

    report: Path | None
    only: tuple[str, ...]
    show: bool
    as_json: bool


async def run(wishes: Wishes, ask: Ask | None = None) -> int:
    """The exit code. `ask` puts requests to a person; the terminal by default. Raises CommandFailed, SettingsError."""
    checks = _chosen(wishes.only)
    if wishes.show:
        _list(checks, wishes.as_json)
        return 0
    settings = load_settings()
    if settings.live:
        raise CommandFailed("CIRCLE_W3S_PRODUCTION: the contract checks never run with live keys; use test keys")
    results = await _run(settings, checks, wishes, ask or _ask_at(StandardTerminal(quiet=wishes.as_json)))
    report = build_report(settings, results, SystemClock().now())
    if not wishes.only:
        path = wishes.report or Path(settings.agent_contract_report or DEFAULT_FILE)
        _store(path, report)
    if wishes.as_json:
        typer.echo(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode())
    else:
        typer.echo(_summary(results, None if wishes.only else path))
    return 0 if report["passed"] else NOT_PASSED


async def _run(settings: Settings, checks: Sequence[Check], wishes: Wishes, ask: Ask) -> list[Result]:
    clock, transport = SystemClock(), AiohttpTransport()
    rpc = RpcPool(settings.rpc_urls, transport, clock, requests_per_second=settings.rpc_rates)
    ground = build_ground(settings, clock, SystemIds(), transport, ask, rpc)
    width = max(len(check.name) for check in checks)

    def tell(result: Result) -> None:
        if wishes.as_json:
            return
        typer.echo(f"{MARKS[result.verdict]} {result.check.name:{width}}  {result.text}")
        if result.mend:
            typer.echo(f"  {'':{width}}  {result.mend}")

    try:
        return await run_checks(ground, checks, tell)
    finally:
        await transport.close()


def _ask_at(terminal: StandardTerminal) -> Ask:
    async def ask(wish: str) -> bool:
        return terminal.can_ask and terminal.ask(wish)

    return ask


def _chosen(only: tuple[str, ...]) -> list[Check]:
    found = chosen(only)
    if not found:
        raise CommandFailed(f"there is no check {' or '.join(only)}; see `contract --list`")
    return found


def _list(checks: Sequence[Check], as_json: bool) -> None:
    if as_json:
        rows = [{"name": one.name, "settles": one.settles, "needed": one.needed, "human": one.human} for one in checks]
        typer.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
        return
    width = max(len(check.name) for check in checks)
    for check in checks:
        marks = ", ".join(word for word, holds in (("needed", check.needed), ("asks you", check.human)) if holds)
        typer.echo(f"{check.name:{width}}  {check.settles}{f'  ({marks})' if marks else ''}")


def _store(path: Path, report: dict[str, object]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2) + b"\n")
        path.chmod(REPORT_MODE)
    except OSError as error:
        raise CommandFailed(f"--report: {path} can't be written: {error.strerror or error}") from None


def _summary(results: Sequence[Result], path: Path | None) -> str:
    counts = ", ".join(f"{sum(one.verdict is verdict for one in results)} {verdict}" for verdict in Verdict)
    stops = [one.check.name for one in results if one.stops_live]
    verdict = f"Live won't start with this: {', '.join(stops)}." if stops else "Live may start with this report."
    if path is None:
        return f"\n{counts}. A choice of checks: no report is stored."
    return f"\n{counts}. {verdict}\nStored in {path}."
