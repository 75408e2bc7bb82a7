"""Tests of calls to 999, and the way to 999 that each node has in place."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "emergency_way",
        sa.Column("node", sa.String(length=40), nullable=False),
        sa.Column("trunks", sa.String(length=64), nullable=False),
        sa.Column("trunks_since", _MOMENT, nullable=False),
        sa.Column("dialplan", sa.String(length=64), nullable=False),
        sa.Column("dialplan_since", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("node", name="pk_emergency_way"),
    )
    op.create_table(
        "emergency_test",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("node", sa.String(length=40), nullable=False),
        sa.Column("began_at", _MOMENT, nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("how", sa.String(length=20), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("tested_by", sa.String(length=60), nullable=False),
        sa.Column("note", sa.String(length=200), nullable=False),
        sa.Column("trunks", sa.String(length=64), nullable=False),
        sa.Column("dialplan", sa.String(length=64), nullable=False),
        sa.Column("due", sa.JSON(), nullable=False),
        sa.Column("checks", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_emergency_test"),
    )
    op.create_index("ix_emergency_test_at", "emergency_test", ["at"])
    op.create_index("ix_emergency_test_node_at", "emergency_test", ["node", "at"])
    op.create_index("ix_emergency_address_made_at", "emergency_address", ["made_at"])


def downgrade() -> None:
    op.drop_index("ix_emergency_address_made_at", "emergency_address")
    op.drop_table("emergency_test")
    op.drop_table("emergency_way")
