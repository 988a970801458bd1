"""What becomes of a group on PostgreSQL: committed, run again, or refused."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.engines import postgres_connections
from storage.engines.grouping import Group, TransactionFailed, Waiting, WriteFunction, attempt
from storage.errors import StoreUnavailable


@dataclass(slots=True)
class Reruns:
    """How often each member ran again because of others, and whether the group has lost a session already."""

    runs: Counter[int] = field(default_factory=Counter)
    lost: bool = False


async def run_group(engine: AsyncEngine, waiting: list[Waiting]) -> list[tuple[Any, BaseException | None]]:
    """Commit a group as one transaction; answers are in the order of the group."""
    group, reruns = Group(len(waiting)), Reruns()
    while members := group.next():
        try:
            async with engine.connect() as connection:
                try:
                    functions = [waiting[member].fn for member in members]
                    run = patiently if reruns.runs[members[0]] else attempt
                    group.committed(await connection.run_sync(run, functions))
                except TransactionFailed as failure:
                    if not decide(group, failure, reruns):
                        await connection.invalidate()
        except StoreUnavailable as unavailable:  # no session could be had
            group.refuse(unavailable)
        except (SQLAlchemyError, OSError) as error:  # none was free, or it broke in our hands
            refusal = postgres_connections.as_unavailable(error) or StoreUnavailable("the database cannot be reached")
            refusal.__cause__ = error
            group.refuse(refusal)
    return group.answers


def decide(group: Group, failure: TransactionFailed, reruns: Reruns) -> bool:
    """Plan what follows a rollback. False when the connection is not to be used again."""
    if isinstance(failure.error, asyncio.CancelledError):
        raise failure.error
    if failure.lost and failure.culprit is not None and not reruns.lost:
        reruns.lost = True  # COMMIT was not sent yet, so that nothing of it can have taken effect
        return True
    unavailable = postgres_connections.as_unavailable(failure.root)
    if unavailable is None and failure.lost:
        unavailable = postgres_connections.lost()
    if unavailable is None:
        group.failed(failure.culprit, failure.error)
        return True
    unavailable.__cause__ = failure.error
    if failure.lost or not postgres_connections.blames_one(failure.root):
        group.refuse(unavailable)
        return False
    members = group.next()
    reruns.runs.update(members)
    if len(members) > 1:
        group.scatter()  # together they lock rows in no order; alone each locks in its own
    elif reruns.runs[members[0]] > postgres_connections.reruns_allowed(failure.root):
        group.failed(failure.culprit, unavailable)
    return True


def patiently(conn: Connection, functions: list[WriteFunction]) -> list[Any]:
    """Like `attempt`, for what was refused a lock before: it now waits as long as a caller can bear."""

    def be_patient(inner: Connection) -> None:
        inner.exec_driver_sql(f"SET LOCAL lock_timeout = '{postgres_connections.PATIENT_LOCK_TIMEOUT}'")

    return attempt(conn, [be_patient, *functions])[1:]
