"""Why nothing may be sent now: a switch, the batch, an unexplained outflow, or what one day may move."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row

from chain.programs import TOKEN_ACCOUNT_SIZE
from domain.calendar import DAY, utc_day
from domain.outcomes import Again
from storage.operation.switches import SENDS_PAUSED, why_on
from storage.payouts import transfers
from storage.payouts.batches import WAITING
from storage.payouts.planning import lock_plans
from storage.treasury.chain_facts import fact
from storage.treasury.chain_rows import reading
from storage.treasury.outflows import orphans

FEE_LAMPORTS = 100_000
"""Room for the fee, 5,000 for the signature and what Circle bids beside it: it names that afterwards only."""
ACCOUNT_OVERHEAD = 128
"""Bytes that each account pays rent for beside its data: a wallet has none but these."""
PAUSED = timedelta(minutes=1)
"""Until the next look at what nobody tells the end of."""
STOPPED = timedelta(hours=1)
"""Until the next look at what stops a send: whoever ends that makes the work due (`storage.operation.stopped`), and so
does a start, which brings other caps. Within the day only what dies of it makes room under one."""


@dataclass(frozen=True, slots=True)
class Stop:
    """What stops a send, and in how long it is looked at again."""

    why: str
    after: timedelta = STOPPED

    @property
    def outcome(self) -> Again:
        return Again(self.after, self.why)


def capped_today(why: str, now: datetime) -> Stop:
    """Stopped by the cap of a day, which is over at midnight UTC."""
    return Stop(why, min(STOPPED, utc_day(now) + DAY - now))


def why_paused(conn: Connection) -> str | None:
    """What stops every send of the platform wallet."""
    paused = why_on(conn, SENDS_PAUSED)
    if paused is not None:
        return f"all sends are paused: {paused}"
    if orphans(conn, limit=1):
        return "USDC left the platform wallet unexplained: a person must decide it first (outflows)"
    return None


def lock_cap(conn: Connection, day_cap: int) -> None:
    """To the end of the transaction nobody else begins anything under the cap of the day."""
    if day_cap:
        lock_plans(conn)


def why_no_sol(conn: Connection) -> str | None:
    """What is missing for a transfer that makes its receiver's account, by the balance and the rent that were read
    last. Asked once an attempt has died: every further one would too, and use up what is left to the transfer."""
    held, rent = reading(conn, "treasury_sol"), fact(conn, "rent_lamports")
    if held is None or rent is None:
        return None
    wallets_own = int(rent) * ACCOUNT_OVERHEAD // (ACCOUNT_OVERHEAD + TOKEN_ACCOUNT_SIZE)
    need = int(rent) + wallets_own + FEE_LAMPORTS
    if held.amount >= need:
        return None
    return f"a transfer may need {need} lamports, the platform wallet has {held.amount}: send SOL"


def stop_of(conn: Connection, batch: Row[Any], begins: int, day_cap: int, now: datetime) -> Stop | None:
    """What stops a payout of a batch. `begins`: base units that a first attempt would move now, 0 when it is not a new
    one; `day_cap` 0 is none. Whoever begins one asks in the transaction of its intent, under `lock_cap`."""
    if batch.paused:
        return Stop(f"its batch is paused: {batch.pause_reason}")
    if batch.status in WAITING:  # this is the work of an earlier plan, from which it took the payout
        return Stop(f"its batch is {batch.status}: nothing of it is sent before all of it is approved and covered")
    paused = why_paused(conn)
    if paused is not None:
        return Stop(paused)
    if day_cap and begins and transfers.begun_since(conn, utc_day(now)) + begins > day_cap:
        return capped_today(f"today's transfers would pass the cap of {day_cap} base units (AGENT_CAP_DAY)", now)
    return None
