"""`doctor`."""

from agent.cli.operating import AsJson


def doctor(as_json: AsJson = False) -> None:
    """Check settings, keys, clock, database, Stripe, Circle, RPC, funding and webhooks, one by one; changes nothing.

    Exit codes: 0 nothing failed (warnings may be there), 1 something failed.
    """
    from agent.cli.looking import run_command
    from agent.cli.treatment import check_up

    run_command(check_up(as_json), as_json)
