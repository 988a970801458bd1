"""Find what was paid out lately by an index"""

import sqlalchemy as sa
from alembic import op

revision = '0024'
down_revision = '0023'
branch_labels = None
depends_on = None


def upgrade() -> None:
    paid = sa.text('distributed_at IS NOT NULL')
    op.create_index(
        'ix_payouts_distributed', 'payouts', ['distributed_at'], unique=False, sqlite_where=paid, postgresql_where=paid
    )
