"""`guard_append_only(table)` for migrations, and its rendering when a migration is generated.

A migration names what it guards; the triggers are written for the database at hand. Never change what an operation
does once a release used it: add another operation.
"""

from alembic import op
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrateOperation
from alembic.operations.ops import CreateTableOp, UpgradeOps

from storage.append_only import append_only_triggers


def guard_append_only(table: str) -> None:
    """Let the database refuse UPDATE and DELETE on a table. Called by migrations."""
    for statement in append_only_triggers([table], op.get_bind().dialect.name):
        op.execute(statement)


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
