"""Keep what was one's own of a deposit"""

import sqlalchemy as sa
from alembic import op

revision = '0027'
down_revision = '0026'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('chain_movements', sa.Column('own_amount', sa.BigInteger(), server_default='0', nullable=False))
