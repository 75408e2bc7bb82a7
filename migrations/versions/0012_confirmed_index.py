"""Which addresses nobody has confirmed for long is asked every hour: by an index, not by a walk over all."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0010"
branch_labels = None
depends_on = None

_HOLDS = sa.text("superseded_at IS NULL")


def upgrade() -> None:
    columns = ["location", "confirmed_at", "made_at"]
    op.create_index("ix_emergency_address_confirmed", "emergency_address", columns, postgresql_where=_HOLDS, sqlite_where=_HOLDS)


def downgrade() -> None:
    op.drop_index("ix_emergency_address_confirmed", "emergency_address")
