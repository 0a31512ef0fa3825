"""The entries of the audit are chained by their hashes.

Those that are there already are chained by the next act (see `app.store.auditing`): the key is not at hand here. Older
programs can't go on, for what they wrote would stand outside the chain.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make room for an entry's number in the chain and its hash."""
    op.add_column("audit", sa.Column("number", sa.BigInteger(), nullable=True))
    op.add_column("audit", sa.Column("hash", sa.LargeBinary(length=32), nullable=True))
