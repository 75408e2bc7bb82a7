"""SQLite: no index of calls that does not begin with the time."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_INDEXES = (("ix_call_account_id_started_at", ["account_id", "started_at"]), ("ix_call_did_started_at", ["did", "started_at"]))


def upgrade() -> None:
    """Drop them."""
    if op.get_bind().dialect.name == "sqlite":
        for name, _ in _INDEXES:
            op.drop_index(name, "call")


def downgrade() -> None:
    """Make them again."""
    if op.get_bind().dialect.name == "sqlite":
        for name, columns in _INDEXES:
            op.create_index(name, "call", columns)
