"""The program's own verification, run to its end over a test's database."""

from sqlalchemy import Connection

from storage.verification import CHECKS, Finding


def first_findings(conn: Connection) -> dict[str, Finding]:
    """Check → its first bad row, for all checks that found one."""
    found = {name: first_finding(conn, name) for name in CHECKS}
    return {name: finding for name, finding in found.items() if finding is not None}


def first_finding(conn: Connection, name: str) -> Finding | None:
    """What one check finds first, page by page."""
    after: str | None = None
    while True:
        page = CHECKS[name].look(conn, after)
        after = page.after
        if after is None:
            return page.finding
