"""`python main.py run`: only the daemon, configured by its environment as in production."""

import sys
from typing import Annotated

import typer


def run(
    as_json: Annotated[
        bool, typer.Option("--json/--lines", help="How the log is written: JSON for machines, lines for people.")
    ] = True,
) -> None:
    """Start the daemon and run until SIGTERM or Ctrl-C. Settings come from the environment; see docs/SETTINGS.md."""
    import uvloop

    from agent.daemon import run as run_daemon
    from agent.identity import StartRefused
    from config.logs import configure_logging
    from config.settings import SettingsError, load_settings
    from storage.errors import StorageError

    try:
        settings = load_settings()
    except SettingsError as error:
        print(f"cannot start: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    configure_logging(settings.agent_log_level, settings.confidential, as_json=as_json)
    try:
        code = uvloop.run(run_daemon(settings))
    except (StartRefused, StorageError) as error:
        print(f"cannot start: {error}", file=sys.stderr)
        code = 1
    raise typer.Exit(code)
