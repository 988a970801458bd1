"""Look nothing up by reading a table whole"""

import sqlalchemy as sa
from alembic import op

revision = '0018'
down_revision = '0017'
branch_labels = None
depends_on = None


def upgrade() -> None:
    in_debt = sa.text("state = 'distributed' AND paid_amount + netted_amount - amount > 0")
    withdrawn = sa.text('withdrawn > 0')
    op.drop_index(op.f('ix_batch_approvals_batch_id'), table_name='batch_approvals')
    op.create_index('ix_batches_status', 'batches', ['status'], unique=False)
    op.drop_index(op.f('ix_chain_movements_account'), table_name='chain_movements')
    op.create_index('ix_chain_movements_balance', 'chain_movements', ['account', 'asset', 'amount'], unique=False)
    op.drop_index(op.f('ix_deposit_matches_movement_id'), table_name='deposit_matches')
    op.drop_index(op.f('ix_group_attempts_group_id'), table_name='group_attempts')
    op.create_index('ix_group_members_transfer_id', 'group_members', ['transfer_id'], unique=False)
    op.drop_index('ix_jobs_due', table_name='jobs')
    op.create_index('ix_jobs_due', 'jobs', ['state', 'kind', 'due_at'], unique=False)
    op.drop_index(op.f('ix_mint_attempts_purchase_id'), table_name='mint_attempts')
    op.drop_index(op.f('ix_mint_payouts_mint_attempt_id'), table_name='mint_payouts')
    op.drop_index(op.f('ix_payouts_purchase_id'), table_name='payouts')
    op.drop_index(op.f('ix_payouts_recipient_id'), table_name='payouts')
    op.create_index('ix_payouts_in_debt', 'payouts', ['recipient_id'], unique=False, sqlite_where=in_debt, postgresql_where=in_debt)
    op.create_index('ix_disputes_withdrawn', 'disputes', ['purchase_id'], unique=False, sqlite_where=withdrawn, postgresql_where=withdrawn)
    op.create_index('ix_payouts_recipient', 'payouts', ['recipient_id', 'state', 'paid_at'], unique=False)
    op.drop_index(op.f('ix_transfer_attempts_transfer_id'), table_name='transfer_attempts')
    op.create_index(op.f('ix_transfer_attempts_signature'), 'transfer_attempts', ['signature'], unique=False)
    op.create_index('ix_transfer_attempts_created', 'transfer_attempts', ['created_at'], unique=False)
    op.create_index('ix_upkeep_state', 'upkeep', ['state'], unique=False)
    op.drop_index(op.f('ix_transfers_batch_id'), table_name='transfers')
    op.create_index('ix_transfers_batch', 'transfers', ['batch_id', 'recipient_id'], unique=False)
