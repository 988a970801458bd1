"""Rows that are claimed together, and what waits in them: a worker asks at each of its turns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Connection,
    Table,
    bindparam,
    case,
    func,
    null,
    select,
    type_coerce,
    union_all,
)

from domain.states import WorkState
from storage.statements import ONE, fixed
from storage.tables import circle_notifications, jobs, stripe_events
from storage.tables.columns import moment_read, moment_written


@dataclass(frozen=True, slots=True)
class Queue:
    """Rows that are claimed together: of `jobs` those of the given kinds, of an inbox all (`kinds` None)."""

    table: Table
    kinds: frozenset[str] | None = None


class Due(NamedTuple):
    """What waits in a queue. `ready`: of each kind that has something to claim, the first first, a queue of that kind
    alone, to claim from; `since` when. `later`: when the next row can be claimed that can't yet: at its due time or,
    where nothing is ready, at the end of its lease. None where no such row waits."""

    ready: list[Queue]
    since: datetime | None
    later: datetime | None


NOTHING_DUE = Due([], None, None)


def next_due(conn: Connection, queues: Sequence[Queue], now: datetime) -> list[Due]:
    """What waits in each of the queues: a worker asks this at each of its turns, so it takes as long with ten thousand
    waiting as with ten."""
    places = _places(tuple(queues))
    ready: list[list[tuple[int, str]]] = [[] for _ in queues]
    later: list[list[int]] = [[] for _ in queues]
    for name, kind, since, due, leased in conn.execute(_NEXT_DUE, {"now": moment_written(now)}):
        for place in places.get((name, kind), ()):
            if since is not None:
                ready[place].append((since, kind or ""))
            later[place] += [moment for moment in (due, leased) if moment is not None]
    return [_due(*of_queue) for of_queue in zip(queues, ready, later, strict=True)]


@cache
def _places(queues: tuple[Queue, ...]) -> Mapping[tuple[str, str | None], list[int]]:
    """In which of the queues a row of a table and kind waits."""
    places: dict[tuple[str, str | None], list[int]] = {}
    for place, queue in enumerate(queues):
        for kind in queue.kinds or (None,):
            places.setdefault((queue.table.name, kind), []).append(place)
    return places


def _due(queue: Queue, ready: list[tuple[int, str]], later: list[int]) -> Due:
    """Moments are as the database holds them: of some forty a turn, a few are looked at."""
    if not ready and not later:
        return NOTHING_DUE
    ready.sort()
    queues = [_of_kind(kind) if kind else queue for _, kind in ready]
    return Due(queues, moment_read(ready[0][0] if ready else None), moment_read(min(later, default=None)))


@cache
def _of_kind(kind: str) -> Queue:
    return Queue(jobs, frozenset({kind}))


def _kinds_that_wait() -> CTE:
    """One after the other off the index, each the next after the last: not by reading all that waits."""
    waits = jobs.c.state == fixed(WorkState.DUE)
    kinds = select(func.min(jobs.c.kind).label("kind")).where(waits).cte("kinds", recursive=True)
    following = select(func.min(jobs.c.kind)).where(waits, jobs.c.kind > kinds.c.kind).scalar_subquery()
    return kinds.union_all(select(following).where(kinds.c.kind.is_not(None)))


def _due_of(table: Table, *mine: ColumnElement[bool]) -> tuple[ColumnElement[Any], ...]:
    """As in `Due`; the end of a lease only where nothing is ready: then all rows whose time has come are leased, and no
    more of them are read than that."""
    now, waits = bindparam("now", type_=BigInteger()), (table.c.state == fixed(WorkState.DUE), *mine)
    due_at, lease_until = (type_coerce(moment, BigInteger()) for moment in (table.c.due_at, table.c.lease_until))
    come, free = due_at <= now, lease_until.is_(None) | (lease_until <= now)
    ready = select(due_at).where(*waits, come, free).order_by(due_at).limit(ONE).scalar_subquery()
    later = select(func.min(due_at)).where(*waits, due_at > now).scalar_subquery()
    leased = select(func.min(lease_until)).where(*waits, come, ~free).scalar_subquery()
    return ready.label("ready"), later.label("later"), case((ready.is_(None), leased)).label("leased")


_KINDS = _kinds_that_wait()
_NEXT_DUE = union_all(
    select(fixed(jobs.name), _KINDS.c.kind, *_due_of(jobs, jobs.c.kind == _KINDS.c.kind)).where(
        _KINDS.c.kind.is_not(None)
    ),
    *(select(fixed(table.name), null(), *_due_of(table)) for table in (stripe_events, circle_notifications)),
)
