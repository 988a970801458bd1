"""Say of which chain a wallet is"""

import sqlalchemy as sa
from alembic import op

revision = '0026'
down_revision = '0025'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('users', sa.Column('wallet_chain', sa.String(length=16), server_default='SOL', nullable=False))
    op.execute("ALTER TABLE users ADD CONSTRAINT ck_users_wallet_chain CHECK (wallet_chain = 'SOL')")
