"""Group commit: many waiting functions, one transaction, one flush; a failing one spoils nothing for the others.

`Group` plans (pure), `attempt` runs one planned transaction on a connection. The engines only decide what an error
means on their database. No savepoints: they cost more than running the few failing groups again.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, ExceptionContext, event

from storage.errors import SpoiledTransaction, StoreUnavailable

WriteFunction = Callable[[Connection], Any]

GROUP_MAX = 256
"""Functions in one transaction. More saves no flush worth having and makes the first in the group wait for the last."""
WAITING_MAX = 5_000
"""Writes accepted and not yet answered: under a second of work. Beyond it a quick 503 serves the sender better."""
CULPRITS_MAX = 3
"""Failing members taken out of a group one by one before each of the rest runs alone; bounds the reruns."""
_SPOILED = "storage.spoiled_by"


@dataclass(slots=True)
class Waiting:
    """One write on its way: the function, and where its answer goes. Touched by the event loop's thread only."""

    fn: WriteFunction
    answer: asyncio.Future[Any]

    def resolve(self, result: Any, error: BaseException | None) -> None:
        if self.answer.done():
            return
        if error is None:
            self.answer.set_result(result)
        elif isinstance(error, StopIteration):  # a future cannot carry it
            self.answer.set_exception(RuntimeError("a storage function raised StopIteration"))
        else:
            self.answer.set_exception(error)


class TransactionFailed(Exception):
    """One attempt was rolled back. `culprit` is the position of the member that failed, None at BEGIN or COMMIT
    (PostgreSQL: at COMMIT, for its BEGIN goes with the first statement)."""

    def __init__(self, culprit: int | None, error: BaseException, root: BaseException, *, lost: bool = False) -> None:
        super().__init__(str(error))
        self.culprit = culprit
        self.error = error
        self.root = root
        """The database's own error when there is one, else `error`: what decides whether the database is to blame."""
        self.lost = lost
        """The session broke."""


class Group:
    """Which members to run together next, and what each is answered."""

    def __init__(self, size: int) -> None:
        self.answers: list[tuple[Any, BaseException | None]] = [(None, None)] * size
        self._together = list(range(size))
        self._alone: deque[int] = deque()

    def next(self) -> list[int]:
        """Members of the next transaction, in order of arrival; empty when every one has its answer."""
        if self._together:
            return self._together
        return [self._alone[0]] if self._alone else []

    def committed(self, results: Sequence[Any]) -> None:
        for member, result in zip(self.next(), results, strict=True):
            self.answers[member] = (result, None)
        self._drop()

    def failed(self, culprit: int | None, error: BaseException) -> None:
        """Roll forward after a rollback: the culprit waits for its turn alone, or is answered if it was alone."""
        tried = self.next()
        if len(tried) == 1:
            self.answers[tried[0]] = (None, error)
            self._drop()
        elif culprit is None or len(self._alone) + 1 >= CULPRITS_MAX:
            self.scatter()
        else:
            self._alone.append(tried[culprit])
            self._together = [member for member in tried if member != tried[culprit]]

    def scatter(self) -> None:
        """From now on each member runs alone."""
        self._alone = deque(sorted([*self._alone, *self._together]))
        self._together = []

    def refuse(self, error: StoreUnavailable) -> None:
        """Everyone without an answer gets this one (a copy: each is raised in another task)."""
        for member in [*self._together, *self._alone]:
            copy = type(error)(*error.args)
            copy.__cause__ = error.__cause__
            self.answers[member] = (None, copy)
        self._together = []
        self._alone = deque()

    def _drop(self) -> None:
        if self._together:
            self._together = []
        else:
            self._alone.popleft()


def attempt(conn: Connection, functions: Sequence[WriteFunction]) -> list[Any]:
    """Run the functions in one transaction and commit it. Raises TransactionFailed after the rollback."""
    culprit: int | None = None
    conn.info.pop(_SPOILED, None)
    results: list[Any] = []
    try:
        with conn.begin():
            for culprit, fn in enumerate(functions):  # noqa: B007 - read when one of them raises
                results.append(fn(conn))
                refuse_spoiled(conn)
            culprit = None
    except BaseException as error:
        if conn.invalidated:  # to ask for its `info` would open another one
            raise TransactionFailed(culprit, error, error, lost=True) from error
        raise TransactionFailed(culprit, error, conn.info.get(_SPOILED, error)) from error
    return results


def refuse_spoiled(conn: Connection) -> None:
    """Raise when the function just run swallowed a database error: PostgreSQL would turn the COMMIT into a silent
    rollback, SQLite may have rolled back already and be committing statement by statement."""
    if _SPOILED in conn.info:
        raise SpoiledTransaction("a database error was caught without begin_nested()") from conn.info[_SPOILED]


def watch_errors(engine: Engine) -> None:
    """Mark a transaction after a database error until a savepoint or the whole of it is rolled back, and let no
    statement run in a marked one. Both databases then behave like the stricter of them.

    A connection is only listened to from its first error on: listeners make every statement of it a tenth slower.
    """

    def on_error(context: ExceptionContext) -> None:
        conn = context.connection
        if conn is None or context.sqlalchemy_exception is None:
            return
        conn.info[_SPOILED] = context.original_exception
        # Once for each connection, however often it errs: SQLAlchemy keeps each listener once.
        event.listen(conn, "before_cursor_execute", _before_statement)
        event.listen(conn, "rollback_savepoint", _forget)
        event.listen(conn, "begin", _forget)

    event.listen(engine, "handle_error", on_error)


def _before_statement(conn: Connection, *_: Any) -> None:
    refuse_spoiled(conn)


def _forget(conn: Connection, *_: Any) -> None:
    conn.info.pop(_SPOILED, None)
