"""Keep in a payout nothing that its transfer says"""

from alembic import op

revision = '0019'
down_revision = '0018'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_column('payouts', 'destination_address')
    op.drop_index(op.f('ix_screenings_address'), table_name='screenings')
