"""Find the works that somebody has a part in by an index"""

from alembic import op

revision = '0023'
down_revision = '0022'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f('ix_content_shares_user_id'), 'content_shares', ['user_id'], unique=False)
