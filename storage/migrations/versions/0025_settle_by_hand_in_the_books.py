"""Settle by hand in the books"""

import sqlalchemy as sa
from alembic import op

from storage.migrations.operations import guard_append_only

revision = '0025'
down_revision = '0024'
branch_labels = None
depends_on = None


def upgrade() -> None:
    in_debt = sa.text("state = 'distributed' AND paid_amount + netted_amount + settled_amount - amount > 0")
    number = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')
    op.create_table('settlements',
    sa.Column('id', number, autoincrement=True, nullable=False),
    sa.Column('payout_id', number, nullable=False),
    sa.Column('recipient_id', number, nullable=False),
    sa.Column('kind', sa.String(length=12), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('owed_amount', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('movement_id', number, nullable=True),
    sa.Column('ledger_key', sa.String(length=300), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.CheckConstraint('amount > 0 AND owed_amount BETWEEN 0 AND amount', name=op.f('ck_settlements_amount')),
    sa.CheckConstraint("kind IN ('paid', 'repaid', 'forgiven', 'unforgiven')", name=op.f('ck_settlements_kind')),
    sa.ForeignKeyConstraint(['movement_id'], ['chain_movements.id'], name=op.f('fk_settlements_movement_id')),
    sa.ForeignKeyConstraint(['payout_id'], ['payouts.id'], name=op.f('fk_settlements_payout_id')),
    sa.ForeignKeyConstraint(['recipient_id'], ['users.id'], name=op.f('fk_settlements_recipient_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_settlements')),
    sa.UniqueConstraint('ledger_key', name=op.f('uq_settlements_ledger_key'))
    )
    for column in ('movement_id', 'payout_id', 'recipient_id'):
        op.create_index(op.f(f'ix_settlements_{column}'), 'settlements', [column], unique=False)
    guard_append_only('settlements')
    op.drop_index('ix_payouts_in_debt', table_name='payouts')
    op.add_column('payouts', sa.Column('settled_amount', sa.BigInteger(), server_default='0', nullable=False))
    op.execute("ALTER TABLE payouts ADD CONSTRAINT ck_payouts_settled CHECK (settled_amount = 0 OR state = 'distributed')")
    op.create_index('ix_payouts_in_debt', 'payouts', ['recipient_id'], unique=False, sqlite_where=in_debt, postgresql_where=in_debt)
    op.add_column('conversions', sa.Column('withdrawn_at', sa.BigInteger(), nullable=True))
    op.execute(
        'ALTER TABLE conversions ADD CONSTRAINT ck_conversions_withdrawn '
        'CHECK (withdrawn_at IS NULL OR (received = 0 AND settled_at IS NULL))'
    )
