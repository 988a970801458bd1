"""`python main.py intake`: only Stripe's webhook, without any key that moves money."""

import sys
from typing import Annotated

import typer


def intake(
    as_json: Annotated[
        bool, typer.Option("--json/--lines", help="How the log is written: JSON for machines, lines for people.")
    ] = True,
) -> None:
    """Take Stripe's webhooks on AGENT_LISTEN for a daemon on the same PostgreSQL, until SIGTERM or Ctrl-C.

    Needs STRIPE_WEBHOOK_SECRET, DATABASE_URL and CIRCLE_W3S_PRODUCTION, and refuses to start with any other key.
    """
    import uvloop

    from agent.identity import StartRefused
    from agent.intake_process import run
    from config.confidential import confidential_parts
    from config.intake_access import load_intake_access
    from config.logs import configure_logging
    from config.settings import SettingsError
    from storage.errors import StorageError

    try:
        access = load_intake_access()
    except SettingsError as error:
        print(f"cannot start: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    hidden = [part for text in (*access.webhook_secrets, access.database_url) for part in confidential_parts(text)]
    configure_logging(access.log_level, hidden, as_json=as_json)
    try:
        code = uvloop.run(run(access))
    except (StartRefused, StorageError) as error:
        print(f"cannot start: {error}", file=sys.stderr)
        code = 1
    raise typer.Exit(code)
