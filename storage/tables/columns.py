"""The columns that every table is made of. Money is BIGINT in the smallest unit, times are aware UTC."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Dialect,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
)

from domain import states

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

ROW_ID = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite numbers rows by itself only for a column declared INTEGER PRIMARY KEY; its integers have 64 bits anyway."""


class Moment(TypeDecorator[datetime]):
    """An instant as integer microseconds since 1970: sorts, compares and indexes alike on both databases."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else moment_written(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[int | None], datetime | None]:
        """In place of `process_result_value`, around which a second function would be called for each value read."""
        return moment_read


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment_written(value: datetime) -> int:
    """A `Moment` as the database is to hold it. Raises ValueError for one without a time zone."""
    if value.tzinfo is None:
        raise ValueError("times are aware UTC")
    seconds = value - _EPOCH
    return (seconds.days * 86_400 + seconds.seconds) * 1_000_000 + seconds.microseconds


def moment_read(value: int | None) -> datetime | None:
    """A `Moment` as the database holds it."""
    return None if value is None else _EPOCH + timedelta(microseconds=value)


def row_id() -> Column[int]:
    return Column("id", ROW_ID, primary_key=True, autoincrement=True)


def uuid() -> Column[str]:
    return Column("uuid", String(36), nullable=False, unique=True)


def money(name: str, *, nullable: bool = False, default: int | None = None) -> Column[int]:
    server_default = None if default is None else str(default)
    return Column(name, BigInteger, nullable=nullable, server_default=server_default)


def moment(name: str, *, nullable: bool = False, index: bool = False) -> Column[datetime]:
    return Column(name, Moment, nullable=nullable, index=index)


def ref(name: str, target: str, *, nullable: bool = False, index: bool = True) -> Column[int]:
    """`index=False` where another index begins with it: two would cost each write twice."""
    return Column(name, ROW_ID, ForeignKey(target), nullable=nullable, index=index)


def state(name: str, enum: type[StrEnum]) -> tuple[Column[str], CheckConstraint]:
    values = ", ".join(f"'{member.value}'" for member in enum)
    return Column(name, String(states.STATE_CHARS), nullable=False), CheckConstraint(f"{name} IN ({values})", name=name)


def work() -> list[Any]:
    """The columns of everything a worker claims: jobs and the two inboxes."""
    return [
        *state("state", states.WorkState),
        moment("due_at"),
        Column("attempts", Integer, nullable=False, server_default="0"),
        Column("lease_holder", String(64)),
        moment("lease_until", nullable=True),
        Column("lease_epoch", BigInteger, nullable=False, server_default="0"),
        Column("wakes", BigInteger, nullable=False, server_default="0"),
        Column("last_error", Text),
        Column("error_code", String(64)),
        moment("created_at"),
        moment("unknown_since", nullable=True),
    ]
