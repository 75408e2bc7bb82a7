"""Calls to 999: trunks that take nothing else, the number of a phone's site, and the calls with what was tried, kept apart from the call log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("trunk", sa.Column("emergency", sa.Integer(), nullable=True))
    with op.batch_alter_table("endpoint") as endpoint:
        endpoint.add_column(sa.Column("emergency_did", sa.String(length=16), nullable=True))
        endpoint.add_column(sa.Column("receive_only", sa.Boolean(), nullable=False, server_default=sa.false()))
        endpoint.create_foreign_key("fk_endpoint_emergency_did_did", "did", ["emergency_did"], ["e164"])
        endpoint.create_index("ix_endpoint_emergency_did", ["emergency_did"])
    with op.batch_alter_table("endpoint") as endpoint:
        endpoint.alter_column("receive_only", server_default=None)
    op.create_table(
        "emergency_call",
        sa.Column("call_id", sa.String(length=48), nullable=False),
        sa.Column("started_at", _MOMENT, nullable=False),
        sa.Column("node", sa.String(length=40), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=True),
        sa.Column("endpoint", sa.String(length=40), nullable=False),
        sa.Column("presented", sa.String(length=41), nullable=True),
        sa.Column("called", sa.String(length=6), nullable=False),
        sa.Column("tried", sa.JSON(), nullable=False),
        sa.Column("trunk", sa.String(length=40), nullable=True),
        sa.Column("answered_at", _MOMENT, nullable=True),
        sa.Column("ended_at", _MOMENT, nullable=False),
        sa.Column("disposition", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("call_id", name="pk_emergency_call"),
    )
    op.create_index("ix_emergency_call_started_at", "emergency_call", ["started_at"])
    op.create_index("ix_emergency_call_presented_started_at", "emergency_call", ["presented", "started_at"])


def downgrade() -> None:
    op.drop_table("emergency_call")
    with op.batch_alter_table("endpoint") as endpoint:
        endpoint.drop_index("ix_endpoint_emergency_did")
        endpoint.drop_constraint("fk_endpoint_emergency_did_did", type_="foreignkey")
        endpoint.drop_column("receive_only")
        endpoint.drop_column("emergency_did")
    op.drop_column("trunk", "emergency")
