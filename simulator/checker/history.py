"""I9: states move only along the edges that are allowed, one history row for each move, and never out of an end.

The edges stand here a second time on purpose: a checker that asked the daemon's table would agree with any mistake in
it. docs/STATES.md draws them.
"""

from collections.abc import Iterator, Mapping

from simulator.checker.reading import Database

EDGES: Mapping[str, str] = {
    "payout": """
        -pending_conversion pending_conversion-pending_distribution pending_conversion-on_hold
        pending_conversion-cancelled pending_conversion-netted pending_distribution-distributed
        pending_distribution-failed pending_distribution-on_hold pending_distribution-cancelled
        pending_distribution-netted pending_distribution-pending_conversion failed-pending_conversion
        failed-pending_distribution failed-distributed failed-on_hold failed-cancelled on_hold-pending_conversion
        on_hold-pending_distribution on_hold-failed on_hold-cancelled cancelled-pending_conversion
        netted-pending_conversion -on_hold
    """,
    "transfer": """
        -intended -submitted intended-submitted intended-finalized intended-dead submitted-finalized
        submitted-dead
    """,
    "mint": """
        -intended intended-signed intended-finalized intended-dead signed-sent signed-finalized signed-dead
        sent-finalized sent-dead
    """,
    "group": "-open open-paid open-dissolved",
    "purchase": """
        -pending pending-payment_completed pending-failed payment_completed-minting payment_completed-failed
        payment_completed-refunded minting-completed minting-failed minting-refunded completed-refunded
        failed-payment_completed failed-minting failed-completed failed-refunded refunded-payment_completed
        refunded-minting refunded-completed refunded-failed
    """,
    "refund": """
        -intended -pending -succeeded -failed intended-pending intended-succeeded intended-failed pending-succeeded
        pending-failed succeeded-failed
    """,
    "checkout": """
        -creating creating-open creating-completed creating-expired open-completed open-expired expired-completed
    """,
    "receipt": "-present -closed present-closed",
    "conversion": """
        -proposed -sending proposed-approved proposed-sending proposed-cancelled approved-sending approved-cancelled
        sending-arriving sending-failed arriving-done
    """,
    "packed": """
        -intended intended-signed intended-finalized intended-dead signed-sent signed-finalized signed-dead
        sent-finalized sent-dead
    """,
}
TABLES: Mapping[str, tuple[str, str]] = {
    "payout": ("payouts", "state"),
    "transfer": ("transfer_attempts", "state"),
    "mint": ("mint_attempts", "state"),
    "group": ("payout_groups", "state"),
    "packed": ("group_attempts", "state"),
    "purchase": ("purchases", "status"),
    "refund": ("refunds", "state"),
    "checkout": ("checkouts", "state"),
    "receipt": ("receipts", "state"),
    "conversion": ("conversion_orders", "state"),
}


def moves(db: Database) -> Iterator[str]:
    """Every move is an edge, and each row is where its last move left it."""
    sql = "SELECT DISTINCT machine, COALESCE(before, '') before, after FROM state_history WHERE before IS NOT after"
    for row in db.rows(sql):
        allowed = EDGES.get(row["machine"])
        if allowed is not None and f"{row['before']}-{row['after']}" not in allowed.split():
            yield f"I9: a {row['machine']} went from '{row['before']}' to '{row['after']}'"
    yield from _gaps(db)
    for machine, (table, column) in TABLES.items():
        stray = (
            f"SELECT t.id, t.{column} now, h.after FROM {table} t LEFT JOIN state_history h ON h.id = (SELECT MAX(id) "
            f"FROM state_history WHERE machine = ? AND subject = CAST(t.id AS TEXT)) "
            f"WHERE h.after IS NULL OR h.after <> t.{column}"
        )
        for row in db.rows(stray, machine):
            yield f"I9: {machine} {row['id']} is '{row['now']}', its history ends with '{row['after']}'"


def _gaps(db: Database) -> Iterator[str]:
    """Each move begins where the one before it ended: nobody moved a row twice at once, or past its history."""
    sql = (
        "SELECT * FROM (SELECT machine, subject, before, after, LAG(after) OVER (PARTITION BY machine, subject "
        "ORDER BY id) last FROM state_history) WHERE last IS NOT NULL AND before IS NOT last"
    )
    for row in db.rows(sql):
        if row["machine"] in TABLES:
            yield (
                f"I9: {row['machine']} {row['subject']} went from '{row['before']}' to '{row['after']}' "
                f"when it was '{row['last']}'"
            )
