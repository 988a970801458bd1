"""Keep events uncompressed on PostgreSQL

PostgreSQL compresses rows from 2 KB on as they come in, which took it longer than all else it does with an event of
Stripe's. Stored outside the row instead, a body also isn't written again each time that the row's state changes.
"""

from alembic import op

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE stripe_events ALTER COLUMN body SET STORAGE EXTERNAL")
