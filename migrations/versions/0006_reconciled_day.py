"""What nodes found when they compared decided, ledger and store."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_COUNTS = ("decided", "ledger", "store", "lost", "unfinished", "differences", "ledger_seconds", "store_seconds", "seconds_differ")


def upgrade() -> None:
    op.create_table(
        "reconciled_day",
        sa.Column("node", sa.String(40), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("outbound", sa.Boolean(), nullable=False),
        sa.Column("compared_at", sa.DateTime(timezone=True), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _COUNTS),
        sa.PrimaryKeyConstraint("node", "day", "outbound", name="pk_reconciled_day"),
    )
    op.create_index("ix_reconciled_day_compared_at", "reconciled_day", ["compared_at"])


def downgrade() -> None:
    op.drop_table("reconciled_day")
