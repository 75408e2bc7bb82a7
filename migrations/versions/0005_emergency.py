"""Addresses for 999: records with every version, what is to be sent to carriers; who presents a number is found by its number."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
_COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_CURRENT = sa.text("superseded_at IS NULL")
_TEXTS = {"title": 20, "forename": 20, "name": 50, "honours": 30, "bussuffix": 50, "premises": 60, "thoroughfare": 55, "locality": 30, "postcode": 12}
_MOMENTS = ("uncovered_since", "submitted_at", "accepted_at")


def upgrade() -> None:
    _create_records()
    _create_submissions()
    op.create_index("ix_endpoint_caller_did", "endpoint", ["caller_did"])


def downgrade() -> None:
    op.drop_index("ix_endpoint_caller_did", "endpoint")
    op.drop_table("emergency_submission")
    op.drop_table("emergency_address")


def _create_records() -> None:
    op.create_table(
        "emergency_address",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("e164", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("location", sa.String(length=20), nullable=False),
        *(sa.Column(name, sa.String(length=length), nullable=False) for name, length in _TEXTS.items()),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("state_at", _MOMENT, nullable=False),
        sa.Column("standing", sa.Boolean(), nullable=False),
        *(sa.Column(name, _MOMENT, nullable=True) for name in _MOMENTS),
        sa.Column("carrier", sa.String(length=40), nullable=True),
        sa.Column("carrier_ref", sa.String(length=100), nullable=True),
        sa.Column("refusal", sa.String(length=200), nullable=True),
        sa.Column("confirmed_by", sa.String(length=60), nullable=True),
        sa.Column("confirmed_how", sa.String(length=20), nullable=True),
        sa.Column("confirmed_at", _MOMENT, nullable=True),
        sa.Column("acknowledged_at", _MOMENT, nullable=True),
        sa.Column("made_at", _MOMENT, nullable=False),
        sa.Column("superseded_at", _MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["e164"], ["did.e164"], name="fk_emergency_address_e164_did"),
        sa.PrimaryKeyConstraint("id", name="pk_emergency_address"),
    )
    op.create_index("uq_emergency_address_e164_version", "emergency_address", ["e164", "version"], unique=True)
    op.create_index("uq_emergency_address_current", "emergency_address", ["e164"], unique=True, postgresql_where=_CURRENT, sqlite_where=_CURRENT)
    op.create_index("ix_emergency_address_superseded_at", "emergency_address", ["superseded_at"])
    op.create_index("ix_emergency_address_state_state_at", "emergency_address", ["state", "state_at"])


def _create_submissions() -> None:
    op.create_table(
        "emergency_submission",
        sa.Column("id", _COUNTER, autoincrement=True, nullable=False),
        sa.Column("record_id", sa.String(length=32), nullable=False),
        sa.Column("e164", sa.String(length=16), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("action", sa.String(length=20), nullable=False),
        sa.Column("carrier", sa.String(length=40), nullable=True),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", _MOMENT, nullable=False),
        sa.Column("idempotency_key", sa.String(length=32), nullable=False),
        sa.Column("last_error", sa.String(length=60), nullable=True),
        sa.Column("made_at", _MOMENT, nullable=False),
        sa.Column("finished_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_emergency_submission"),
        sa.UniqueConstraint("idempotency_key", name="uq_emergency_submission_idempotency_key"),
    )
    op.create_index("ix_emergency_submission_state_next_at", "emergency_submission", ["state", "next_at"])
    op.create_index("ix_emergency_submission_e164", "emergency_submission", ["e164"])
    op.create_index("ix_emergency_submission_record_id", "emergency_submission", ["record_id"])
    op.create_index("ix_emergency_submission_finished_at", "emergency_submission", ["finished_at"])
