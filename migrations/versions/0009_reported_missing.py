"""When a 999 operator was last reported to lack a record, and which report that was, so that a repeated one changes nothing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("emergency_address", sa.Column("reported_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("emergency_address", sa.Column("report_key", sa.String(length=32), nullable=True))


def downgrade() -> None:
    op.drop_column("emergency_address", "report_key")
    op.drop_column("emergency_address", "reported_at")
