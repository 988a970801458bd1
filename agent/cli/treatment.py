"""What `doctor` shows: each finding as it comes, and what to do about it."""

import os

import orjson
import typer
from rich.console import Console
from rich.text import Text

from agent.checkup import Finding, State, examine
from agent.cli.texts import counted, printable
from config.logs import configure_logging
from config.settings import load_settings
from gateways.transport import AiohttpTransport
from ports.system import SystemClock, SystemIds

STYLES = {State.OK: "green", State.WARNING: "yellow", State.FAILED: "bold red", State.SKIPPED: "dim"}
SIGNS = {State.OK: "ok", State.WARNING: "warn", State.FAILED: "FAIL", State.SKIPPED: "skip"}


async def check_up(as_json: bool) -> int:
    """The exit code. Raises SettingsError: without settings nothing can be checked."""
    environ = dict(os.environ)  # noqa: TID251 (to tell which secrets come in the open)
    settings = load_settings(environ)
    configure_logging("CRITICAL", settings.confidential, as_json=False)
    transport, console = AiohttpTransport(), Console(highlight=False, soft_wrap=True)
    findings: list[Finding] = []
    try:
        async for finding in examine(settings, environ, transport, SystemClock(), SystemIds()):
            findings.append(finding)
            if not as_json:
                _show(console, finding)
    finally:
        await transport.close()
    bad = [finding for finding in findings if finding.state is State.FAILED]
    if as_json:
        document = {"outcome": "failed" if bad else "ok", "findings": findings}
        typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    else:
        doubts = sum(finding.state is State.WARNING for finding in findings)
        console.print(f"\n{counted(len(findings), 'check')}, {len(bad)} failed, {counted(doubts, 'warning')}")
    return 1 if bad else 0


def _show(console: Console, finding: Finding) -> None:
    line = Text(f"{SIGNS[finding.state]:<5}", style=STYLES[finding.state])
    line.append(f"{finding.check:<15} {printable(finding.text)}", style="default")
    console.print(line)
    if finding.remedy:
        console.print(Text(f"{'':<21}{finding.remedy}", style="cyan"))
