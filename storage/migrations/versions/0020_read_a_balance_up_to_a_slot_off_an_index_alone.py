"""Read a balance up to a slot off an index alone"""

from alembic import op

revision = '0020'
down_revision = '0019'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index('ix_chain_movements_balance', table_name='chain_movements')
    op.create_index('ix_chain_movements_balance', 'chain_movements', ['account', 'asset', 'slot', 'amount'], unique=False)
