"""Keep the match that was wrong"""

import sqlalchemy as sa
from alembic import op

revision = '0028'
down_revision = '0027'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('deposit_matches', sa.Column('undone_at', sa.BigInteger(), nullable=True))
