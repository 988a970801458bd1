"""Find held sales and outside wallets by an index"""

import sqlalchemy as sa
from alembic import op

revision = '0021'
down_revision = '0020'
branch_labels = None
depends_on = None


def upgrade() -> None:
    held = sa.text('hold_reason IS NOT NULL')
    op.create_index('ix_purchases_held', 'purchases', ['id'], unique=False, sqlite_where=held, postgresql_where=held)
    op.create_index(op.f('ix_users_wallet_address'), 'users', ['wallet_address'], unique=False)
