"""Two small tables of the engine tests' own."""

from collections.abc import Callable

from sqlalchemy import BigInteger, Column, Connection, MetaData, String, Table, func, select, update

metadata = MetaData()
counters = Table("scratch_counters", metadata, Column("name", String(20), primary_key=True), Column("n", BigInteger))
notes = Table("scratch_notes", metadata, Column("id", String(40), primary_key=True), Column("body", String))


def create(conn: Connection) -> None:
    metadata.create_all(conn)
    conn.execute(counters.insert().values(name="a", n=0))
    conn.execute(counters.insert().values(name="b", n=0))


def note(identity: str, body: str = "") -> Callable[[Connection], str]:
    def insert(conn: Connection) -> str:
        conn.execute(notes.insert().values(id=identity, body=body))
        return identity

    return insert


def read_then_add(conn: Connection) -> None:
    """A read-modify-write as the steps do it: the row is locked where the database has row locks."""
    n = conn.execute(select(counters.c.n).where(counters.c.name == "a").with_for_update()).scalar_one()
    conn.execute(update(counters).where(counters.c.name == "a").values(n=n + 1))


def count_of(conn: Connection) -> int:
    n: int = conn.execute(select(counters.c.n).where(counters.c.name == "a")).scalar_one()
    return n


def note_ids(conn: Connection) -> set[str]:
    return set(conn.execute(select(notes.c.id)).scalars())


def note_count(conn: Connection) -> int:
    return conn.execute(select(func.count()).select_from(notes)).scalar_one()
