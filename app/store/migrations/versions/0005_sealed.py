"""Leads and quarantined bodies are sealed, under keys that a master key wraps.

What stands in the clear is renamed and sealed behind everybody's back by the worker (see `app.store.resealing`): a
million leads would hold up those who receive. The new name also keeps an earlier version, which would take sealed leads
for empty ones, from delivering.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0003"


def upgrade() -> None:
    """Make room for seals and keys."""
    op.create_table(
        "encryption_keys",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("master", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", "master"),
    )
    for table, was in (("receipts", "lead"), ("quarantine", "body")):
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {was} TO unsealed")
        op.add_column(table, sa.Column("sealed", sa.LargeBinary(), nullable=True))
        op.add_column(table, sa.Column("data_key", sa.LargeBinary(), nullable=True))
