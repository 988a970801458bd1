"""Alembic's entry: runs over the connection it is given, inside the caller's transaction."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import _repr_type
from alembic.operations import MigrationScript
from alembic.runtime.migration import MigrationInfo
from sqlalchemy import TypeDecorator

from storage.migrations.comparison import default_differs
from storage.migrations.operations import add_guards, changed_checks
from storage.tables import metadata


def render_item(kind: str, item: Any, autogen_context: AutogenContext) -> str | Literal[False]:
    """A migration is frozen, so it names the column type itself and not our class around it."""
    if kind == "type" and isinstance(item, TypeDecorator):
        return _repr_type(item.impl_instance, autogen_context)
    return False


def before_writing(_: Any, __: Any, scripts: list[MigrationScript]) -> None:
    for script in scripts:
        if script.upgrade_ops is not None:
            add_guards(script.upgrade_ops)
            script.upgrade_ops.ops.extend(changed_checks(context.config.attributes["connection"], metadata))


def tell(ctx: Any, step: MigrationInfo, heads: Any, run_args: Any) -> None:
    """Called by Alembic after each migration."""
    told, script = context.config.attributes["told"], context.script.get_revision(step.up_revision_id or "")
    if told is not None and script is not None:
        told(script.revision, script.doc)


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    compare_type=True,
    compare_server_default=default_differs,
    render_item=render_item,
    process_revision_directives=before_writing,
    on_version_apply=tell,
    render_as_batch=False,
)
with context.begin_transaction():
    context.run_migrations()
