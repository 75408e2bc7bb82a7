"""An emergency trunk may ask for the address of the phone's site in calls to 999."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("trunk", sa.Column("emergency_location", sa.String(length=20), nullable=True))


def downgrade() -> None:
    op.drop_column("trunk", "emergency_location")
