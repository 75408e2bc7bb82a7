"""The worker's heartbeat, and the day up to which each node's files were looked at."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_COLUMNS = ("worker_seen_at", "files_purged_at")


def upgrade() -> None:
    for name in _COLUMNS:
        op.add_column("node", sa.Column(name, sa.DateTime(timezone=True)))


def downgrade() -> None:
    for name in reversed(_COLUMNS):
        op.drop_column("node", name)
