"""`guard_append_only(table)` and `replace_check(table, name, condition)` for migrations, and their rendering when a
migration is generated.

A migration names what it guards; the triggers are written for the database at hand. Never change what an operation
does once a release used it: add another operation.
"""

from collections.abc import Iterator

from alembic import op
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrateOperation
from alembic.operations.ops import CreateTableOp, UpgradeOps
from sqlalchemy import CheckConstraint, Connection, MetaData, inspect

from storage.append_only import append_only_triggers


def guard_append_only(table: str) -> None:
    """Let the database refuse UPDATE and DELETE on a table. Called by migrations."""
    for statement in append_only_triggers([table], op.get_bind().dialect.name):
        op.execute(statement)


def replace_check(table: str, name: str, condition: str) -> None:
    """Let another condition stand in the place of a CHECK's, which all rows must meet. Called by migrations.

    Both databases do it in place: no table is built anew, so its triggers, and what refers to it, stay."""
    op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({condition})")


class GuardAppendOnly(MigrateOperation):
    """The call of `guard_append_only` in a migration that is being generated."""

    def __init__(self, table: str) -> None:
        self.table = table


@renderers.dispatch_for(GuardAppendOnly)
def _render(_: AutogenContext, operation: GuardAppendOnly) -> str:
    return f"guard_append_only({operation.table!r})"


def add_guards(upgrade: UpgradeOps) -> None:
    """Put a guard behind every new table that is marked append-only."""
    created = [operation for operation in upgrade.ops if isinstance(operation, CreateTableOp)]
    upgrade.ops.extend(GuardAppendOnly(table.table_name) for table in created if table.info.get("append_only"))


class ReplaceCheck(MigrateOperation):
    """The call of `replace_check` in a migration that is being generated."""

    def __init__(self, table: str, name: str, condition: str) -> None:
        self.asked = table, name, condition


@renderers.dispatch_for(ReplaceCheck)
def _render_check(_: AutogenContext, operation: ReplaceCheck) -> str:
    return f"replace_check({', '.join(map(repr, operation.asked))})"


def changed_checks(conn: Connection, metadata: MetaData) -> Iterator[ReplaceCheck]:
    """Alembic tells CHECKs apart by their names alone, and a state that is added changes a condition."""
    found = inspect(conn)
    for table in metadata.sorted_tables:
        if not found.has_table(table.name):
            continue
        standing = {check["name"]: check["sqltext"] for check in found.get_check_constraints(table.name)}
        for check in sorted(
            (one for one in table.constraints if isinstance(one, CheckConstraint)), key=lambda one: str(one.name)
        ):
            condition = str(check.sqltext)
            if standing.get(str(check.name), condition) != condition:
                yield ReplaceCheck(table.name, str(check.name), condition)
