"""The history of every state: an unbroken walk along allowed moves that ends where the row stands."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from enum import StrEnum
from itertools import pairwise
from typing import Any

from sqlalchemy import Column, Connection, Row, Table, select

from domain.states import TRANSITIONS
from storage.history import MACHINES
from storage.tables import state_history
from storage.verification.check import Check, Find, Finding, by_rows

_CHUNK = 400


def _walks(states: type[StrEnum], machine: str, table: Table, column: Column[Any]) -> Find:
    def find(conn: Connection, first: int, last: int) -> Iterator[Finding]:
        rows = conn.execute(
            select(table.c.id, column.label("now")).where(table.c.id.between(first, last)).order_by(table.c.id)
        ).all()
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            walks = _history(conn, states, machine, [str(row.id) for row in part])
            for row in part:
                why = _broken(states, walks[str(row.id)], row.now)
                if why is not None:
                    yield Finding(f"{table.name} {row.id}", why)

    return find


def _history(conn: Connection, states: type[StrEnum], machine: str, subjects: list[str]) -> dict[str, list[Row[Any]]]:
    """Births and moves by subject, oldest first. Remarks (a batch was approved, a mint adopted) are none."""
    found: dict[str, list[Row[Any]]] = defaultdict(list)
    known = {state.value for state in states}
    query = select(state_history).where(state_history.c.machine == machine, state_history.c.subject.in_(subjects))
    for row in conn.execute(query.order_by(state_history.c.id)):
        if row.before != row.after and row.after in known:
            found[row.subject].append(row)
    return found


def _broken(states: type[StrEnum], walk: list[Row[Any]], now: str) -> str | None:
    if not walk:
        return f"it is '{now}' and has no history"
    if walk[0].before is not None:
        return f"its history begins with a move from '{walk[0].before}'"
    for step, following in pairwise(walk):
        if following.before != step.after:
            return f"its history jumps from '{step.after}' to '{following.before}' (state_history {following.id})"
        if states(following.after) not in TRANSITIONS[states][states(following.before)]:
            return f"it went from '{following.before}' to '{following.after}' (state_history {following.id})"
    if walk[-1].after != now:
        return f"it is '{now}', its history ends with '{walk[-1].after}'"
    return None


def _look(states: type[StrEnum]) -> Callable[..., Any]:
    machine, table, column = MACHINES[states]
    return by_rows(table, _walks(states, machine, table, column))


STATES = tuple(
    Check(
        f"history-of-{machine}",
        ("I9",),
        f"every {machine}'s states follow each other as they may, and each change is written down",
        _look(states),
    )
    for states, (machine, _, _) in MACHINES.items()
)
