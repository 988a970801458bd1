"""Keep planned payouts alone in the indexes of plans"""

import sqlalchemy as sa
from alembic import op

revision = '0017'
down_revision = '0016'
branch_labels = None
depends_on = None


def upgrade() -> None:
    in_a_batch, in_a_transfer = sa.text('batch_id IS NOT NULL'), sa.text('transfer_id IS NOT NULL')
    op.drop_index('ix_payouts_batch_state', table_name='payouts')
    op.create_index('ix_payouts_batch_state', 'payouts', ['batch_id', 'state'], unique=False, sqlite_where=in_a_batch, postgresql_where=in_a_batch)
    op.drop_index(op.f('ix_payouts_transfer_id'), table_name='payouts')
    op.create_index(op.f('ix_payouts_transfer_id'), 'payouts', ['transfer_id'], unique=False, sqlite_where=in_a_transfer, postgresql_where=in_a_transfer)
