"""What people look at: counts by hour, problems and alerts, sign-ins and tokens, and the indexes of their searches."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

HOUR_MS = 3_600_000


def upgrade() -> None:
    """Make the tables of `app.store.desk`, and count what came in before."""
    op.create_table(
        "arrivals",
        sa.Column("hour", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("test", sa.Boolean(), nullable=False),
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("hour", "source", "status", "test", "shard"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "checks",
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("destination"),
    )
    op.create_table(
        "key_uses",
        sa.Column("fingerprint", sa.String(length=16), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("last_used_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint"),
    )
    op.create_table(
        "problems",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.Column("most_waiting", sa.Integer(), server_default="0", nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("raw_code", sa.Text(), nullable=True),
        sa.Column("evidence", sa.Text(), nullable=True),
        sa.Column("acknowledged_at", sa.BigInteger(), nullable=True),
        sa.Column("acknowledged_by", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("done", sa.Text(), server_default="[]", nullable=False),
        sa.Column("alerted", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("problems_by_end", "problems", ["closed_at"])
    op.create_index(
        "problems_open",
        "problems",
        ["destination", "code"],
        unique=True,
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_table(
        "sessions",
        sa.Column("key", sa.LargeBinary(length=32), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("role", sa.String(length=10), nullable=False),
        sa.Column("proof", sa.LargeBinary(length=32), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("sessions_by_end", "sessions", ["expires_at"])
    op.create_table(
        "sign_in_tries",
        sa.Column("address", sa.LargeBinary(length=16), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("wait_until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("address"),
    )
    op.create_table(
        "throughput",
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("sent", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_sent_at", sa.BigInteger(), nullable=True),
        sa.Column("calls_used", sa.Integer(), nullable=True),
        sa.Column("calls_allowed", sa.Integer(), nullable=True),
        sa.Column("calls_of", sa.Text(), nullable=True),
        sa.Column("calls_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("destination"),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.String(length=10), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("hash"),
    )
    op.create_table(
        "alerts",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("channel", sa.String(length=8), nullable=False),
        sa.Column("problem_id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["problem_id"], ["problems.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", "channel"),
    )
    op.create_index("alerts_by_problem", "alerts", ["problem_id"])
    op.create_index(
        "alerts_unsent",
        "alerts",
        ["due_at"],
        sqlite_where=sa.text("sent_at IS NULL"),
        postgresql_where=sa.text("sent_at IS NULL"),
    )
    op.add_column("audit", sa.Column("subject", sa.Text(), server_default="", nullable=False))
    op.execute("UPDATE audit SET subject = substr(target, 1, 36)")  # most are a lead's id, or begin with one
    op.create_index("audit_by_subject", "audit", ["subject"])
    op.create_index(
        "deliveries_failing",
        "deliveries",
        ["destination", "code", "due_at"],
        sqlite_where=sa.text("state IN ('due', 'sending') AND code IS NOT NULL"),
        postgresql_where=sa.text("state IN ('due', 'sending') AND code IS NOT NULL"),
    )
    op.create_index("receipts_by_source", "receipts", ["source", "received_at"])
    op.create_index(
        "deliveries_discarded",
        "deliveries",
        ["destination"],
        sqlite_where=sa.text("state = 'discarded'"),
        postgresql_where=sa.text("state = 'discarded'"),
    )
    op.create_index(
        "receipts_by_offer",
        "receipts",
        ["offer", "received_at"],
        sqlite_where=sa.text("offer IS NOT NULL"),
        postgresql_where=sa.text("offer IS NOT NULL"),
    )
    op.create_index(
        "receipts_tests", "receipts", ["received_at"], sqlite_where=sa.text("test"), postgresql_where=sa.text("test")
    )
    op.create_index(
        "receipts_unusual",
        "receipts",
        ["status", "received_at"],
        sqlite_where=sa.text("status <> 'accepted'"),
        postgresql_where=sa.text("status <> 'accepted'"),
    )
    op.execute(
        f"""INSERT INTO arrivals (hour, source, status, test, shard, number)
        SELECT received_at / {HOUR_MS}, source, status, test, 0, count(*) FROM receipts GROUP BY 1, 2, 3, 4"""  # noqa: S608  (a number of ours)
    )
    op.execute(
        """INSERT INTO throughput (destination, sent, last_sent_at)
        SELECT destination, count(*), max(updated_at) FROM deliveries WHERE state = 'sent' GROUP BY destination"""
    )
