"""What the metrics read of what happened since their last look, out of the history."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, Connection, Row, Table, func, select

from domain.states import MintState, PackedState, PurchaseStatus, TransferState, UpkeepState, UsdcStatus, WalletState
from storage.tables import group_attempts, mint_attempts, payouts, state_history, transfer_attempts, upkeep

CHANGES_PAGE = 2_000
"""History rows a look; a look every 15 s keeps up with 130 changes a second, and the rest follows at the next."""
IDS_PAGE = 500
POSTGRES_SETTLING = timedelta(seconds=10)
"""There ids are given before the commit: a row may appear after one with a higher id. No write lasts that long."""


@dataclass(frozen=True, slots=True)
class Endings:
    """How often something came to its end."""

    success: int
    failure: int


@dataclass(frozen=True, slots=True)
class Changes:
    """What the history says happened after a row of it. `last_id` is the last row looked at, `full` says that there
    may be more. Lags in seconds, costs in lamports."""

    last_id: int
    full: bool
    states: Mapping[tuple[str, str], int]
    wallets: Endings
    mints: Endings
    payouts: Endings
    lags: Sequence[float]
    mint_costs: Sequence[int]
    payout_costs: Sequence[int]


def last_change(conn: Connection) -> int:
    """Id of the newest history row; 0 when there is none. What happened before the start is not counted again."""
    return conn.scalar(select(func.max(state_history.c.id))) or 0


def changes_since(conn: Connection, after_id: int, now: datetime) -> Changes:
    """Up to CHANGES_PAGE history rows after `after_id`, summed up."""
    query = (
        select(
            state_history.c.id,
            state_history.c.machine,
            state_history.c.subject,
            state_history.c.before,
            state_history.c.after,
            state_history.c.at,
        )
        .where(state_history.c.id > after_id)
        .order_by(state_history.c.id)
        .limit(CHANGES_PAGE)
    )
    found: Sequence[Any] = conn.execute(query).all()
    rows = _settled(found, now - POSTGRES_SETTLING) if conn.dialect.name == "postgresql" else found
    minted = _subjects(rows, "mint", MintState.FINALIZED)
    paid = _subjects(rows, "payout", UsdcStatus.DISTRIBUTED)
    sent = _subjects(rows, "transfer", TransferState.FINALIZED)
    packed = _subjects(rows, "packed", PackedState.FINALIZED)
    made = _subjects(rows, "upkeep", UpkeepState.FINALIZED)
    return Changes(
        last_id=rows[-1].id if rows else after_id,
        full=len(rows) == CHANGES_PAGE,
        states=Counter((row.machine, row.after) for row in rows if row.before != row.after),
        wallets=Endings(len(_subjects(rows, "wallet", WalletState.READY)), len(_given_up(rows, "wallet"))),
        mints=Endings(len(minted), len(_given_up(rows, "purchase"))),
        payouts=Endings(len(paid), len(_given_up(rows, "payout"))),
        lags=_lags(conn, paid),
        mint_costs=_costs(conn, mint_attempts, mint_attempts.c.cost_lamports, minted),
        payout_costs=[
            *_costs(conn, transfer_attempts, transfer_attempts.c.cost_lamports, sent),
            *_costs(conn, group_attempts, group_attempts.c.fee_lamports, packed),
            *_costs(
                conn, upkeep, upkeep.c.cost_lamports, made
            ),  # closed receipts give rents back, and cost less than 0
        ],
    )


def _settled(rows: Sequence[Any], until: datetime) -> Sequence[Any]:
    """Rows up to the first that is too young."""
    for place, row in enumerate(rows):
        if row.at > until:
            return rows[:place]
    return rows


def _subjects(rows: Iterable[Row[Any]], machine: str, after: str) -> list[int]:
    return [int(row.subject) for row in rows if row.machine == machine and row.after == after != row.before]


_TRIED = frozenset({PurchaseStatus.PAYMENT_COMPLETED, PurchaseStatus.MINTING})


def _given_up(rows: Iterable[Row[Any]], machine: str) -> list[Row[Any]]:
    """Failures; of purchases those of the mint: one that was never paid has failed without a mint."""
    failed = [row for row in rows if row.machine == machine and row.after == "failed" != row.before]
    return [row for row in failed if machine != "purchase" or row.before in _TRIED]


def _lags(conn: Connection, payout_ids: Sequence[int]) -> list[float]:
    found = []
    for chunk in _chunks(payout_ids):
        query = select(payouts.c.paid_at, payouts.c.distributed_at).where(
            payouts.c.id.in_(chunk), payouts.c.distributed_at.is_not(None)
        )
        found += [(row.distributed_at - row.paid_at).total_seconds() for row in conn.execute(query)]
    return found


def _costs(conn: Connection, table: Table, cost: Column[Any], attempt_ids: Sequence[int]) -> list[int]:
    """What cost nothing by itself is left out: a group that was paid by its mint."""
    found: list[int] = []
    for chunk in _chunks(attempt_ids):
        query = select(cost).where(table.c.id.in_(chunk), cost > 0)
        found += conn.scalars(query)
    return found


def _chunks(ids: Sequence[int]) -> list[Sequence[int]]:
    return [ids[start : start + IDS_PAGE] for start in range(0, len(ids), IDS_PAGE)]
