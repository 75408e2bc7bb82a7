"""Counts of purged calls by hour. Those that are there already are of whole days: their hour is -1."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _make_anew([sa.Column("hour", sa.SmallInteger(), nullable=False)], "day, -1, trunk, destination, calls, answered, billable_seconds")


def downgrade() -> None:
    _make_anew([], "day, trunk, destination, sum(calls), sum(answered), sum(billable_seconds)", " GROUP BY day, trunk, destination")


def _make_anew(hour: list[sa.Column[int]], columns: str, grouped: str = "") -> None:
    """Make the table with or without hours, and put back what it held: SQLite cannot change a key."""
    op.execute("CREATE TABLE call_aggregate_before AS SELECT * FROM call_aggregate")
    op.drop_table("call_aggregate")
    op.create_table(
        "call_aggregate",
        sa.Column("day", sa.Date(), nullable=False),
        *hour,
        sa.Column("trunk", sa.String(length=40), nullable=False),
        sa.Column("destination", sa.String(length=20), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("answered", sa.BigInteger(), nullable=True),
        sa.Column("billable_seconds", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("day", *(column.name for column in hour), "trunk", "destination", name="pk_call_aggregate"),
    )
    op.execute(f"INSERT INTO call_aggregate SELECT {columns} FROM call_aggregate_before{grouped}")  # noqa: S608  names of our own
    op.drop_table("call_aggregate_before")
