"""Keep since when an outcome is unknown"""

import sqlalchemy as sa
from alembic import op

revision = '0022'
down_revision = '0021'
branch_labels = None
depends_on = None

WORK = ('jobs', 'stripe_events', 'circle_notifications')


def upgrade() -> None:
    """Of what is unknown now nobody has kept since when: no earlier than it became work."""
    for table in WORK:
        op.add_column(table, sa.Column('unknown_since', sa.BigInteger(), nullable=True))
    op.execute("UPDATE jobs SET unknown_since = created_at WHERE last_error LIKE 'unknown outcome: %'")
