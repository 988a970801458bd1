"""Tables whose rows never change: the database itself refuses UPDATE and DELETE on them, whoever asks."""

from collections.abc import Sequence

from sqlalchemy import MetaData

_FUNCTION = """\
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END
$$"""


def append_only_tables(metadata: MetaData) -> list[str]:
    """The tables marked `info={"append_only": True}`."""
    return sorted(table.name for table in metadata.tables.values() if table.info.get("append_only"))


def append_only_triggers(table_names: Sequence[str], dialect: str) -> list[str]:
    """The DDL statements that guard these tables on `sqlite` or `postgresql`. A refused change is an IntegrityError."""
    if dialect == "postgresql":
        return [_FUNCTION, *(trigger for table in table_names for trigger in _postgres_triggers(table))]
    return [_sqlite_trigger(table, verb) for table in table_names for verb in ("UPDATE", "DELETE")]


def _sqlite_trigger(table: str, verb: str) -> str:
    return (
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
    )


def _postgres_triggers(table: str) -> list[str]:
    return [
        f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} "
        "FOR EACH ROW EXECUTE FUNCTION refuse_change()",
        f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()",
    ]
