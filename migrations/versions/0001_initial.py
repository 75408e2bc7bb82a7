"""Everything the first release stores: accounts, numbers, trunks, the plan's version, calls, and how far ledgers are booked."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
_TABLES = (
    "set_aside_line",
    "ledger_offset",
    "node",
    "leg",
    "call",
    "plan_change",
    "plan_state",
    "trunk",
    "endpoint",
    "target",
    "did_ownership",
    "did",
    "account",
)


def upgrade() -> None:
    _create_accounts()
    _create_numbering()
    _create_endpoints()
    _create_trunks()
    _create_plan()
    _create_calls()
    _create_legs()
    _create_nodes()
    _create_ledger()


def downgrade() -> None:
    for table in _TABLES:
        op.drop_table(table)


def _create_accounts() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("ref", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("concurrency_limit", sa.Integer(), nullable=True),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("closed_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_account"),
        sa.UniqueConstraint("ref", name="uq_account_ref"),
    )


def _create_numbering() -> None:
    op.create_table(
        "did",
        sa.Column("e164", sa.String(length=16), nullable=False),
        sa.Column("number_class", sa.String(length=20), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=True),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="fk_did_account_id_account"),
        sa.PrimaryKeyConstraint("e164", name="pk_did"),
    )
    op.create_index("ix_did_account_id", "did", ["account_id"], unique=False)
    op.create_table(
        "did_ownership",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("e164", sa.String(length=16), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("since", _MOMENT, nullable=False),
        sa.Column("until", _MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="fk_did_ownership_account_id_account"),
        sa.ForeignKeyConstraint(["e164"], ["did.e164"], name="fk_did_ownership_e164_did"),
        sa.PrimaryKeyConstraint("id", name="pk_did_ownership"),
    )
    op.create_index("ix_did_ownership_account_id", "did_ownership", ["account_id"], unique=False)
    op.create_index("ix_did_ownership_e164", "did_ownership", ["e164"], unique=False)
    op.create_table(
        "target",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("did", sa.String(length=16), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("address", sa.String(length=40), nullable=False),
        sa.Column("ring_seconds", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["did"], ["did.e164"], name="fk_target_did_did"),
        sa.PrimaryKeyConstraint("id", name="pk_target"),
    )
    op.create_index("ix_target_did", "target", ["did"], unique=False)
    op.create_index("ix_target_address", "target", ["address"], unique=False)


def _create_endpoints() -> None:
    op.create_table(
        "endpoint",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("caller_did", sa.String(length=16), nullable=True),
        sa.Column("ha1", sa.String(length=64), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="fk_endpoint_account_id_account"),
        sa.ForeignKeyConstraint(["caller_did"], ["did.e164"], name="fk_endpoint_caller_did_did"),
        sa.PrimaryKeyConstraint("name", name="pk_endpoint"),
    )
    op.create_index("ix_endpoint_account_id", "endpoint", ["account_id"], unique=False)


def _create_trunks() -> None:
    op.create_table(
        "trunk",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("transport", sa.String(length=20), nullable=False),
        sa.Column("match", sa.JSON(), nullable=False),
        sa.Column("username", sa.String(length=80), nullable=True),
        sa.Column("password_file", sa.String(length=255), nullable=True),
        sa.Column("register", sa.Boolean(), nullable=False),
        sa.Column("direction", sa.String(length=20), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("weight", sa.Integer(), nullable=False),
        sa.Column("caller_id_mode", sa.String(length=20), nullable=False),
        sa.Column("number_format", sa.String(length=20), nullable=False),
        sa.Column("network_number", sa.String(length=16), nullable=True),
        sa.Column("capacity", sa.Integer(), nullable=True),
        sa.Column("causes", sa.JSON(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_trunk"),
    )


def _create_plan() -> None:
    op.create_table(
        "plan_state",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_plan_state"),
    )
    op.create_table(
        "plan_change",
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("key", sa.String(length=40), nullable=False),
        sa.Column("changed_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("version", "kind", "key", name="pk_plan_change"),
    )
    state = sa.table("plan_state", sa.column("id", sa.Integer), sa.column("version", sa.BigInteger), sa.column("changed_at", _MOMENT))
    op.bulk_insert(state, [{"id": 1, "version": 0, "changed_at": datetime(2026, 1, 1, tzinfo=UTC)}])


def _create_calls() -> None:
    op.create_table(
        "call",
        sa.Column("call_id", sa.String(length=48), nullable=False),
        sa.Column("started_at", _MOMENT, nullable=False),
        sa.Column("node", sa.String(length=40), nullable=False),
        sa.Column("linkedid", sa.String(length=48), nullable=False),
        sa.Column("direction", sa.String(length=20), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=True),
        sa.Column("did", sa.String(length=41), nullable=True),
        sa.Column("caller", sa.String(length=41), nullable=True),
        sa.Column("caller_withheld", sa.Boolean(), nullable=False),
        sa.Column("called", sa.String(length=41), nullable=False),
        sa.Column("inbound_trunk", sa.String(length=40), nullable=True),
        sa.Column("forwarded_to", sa.String(length=40), nullable=True),
        sa.Column("trunk", sa.String(length=40), nullable=True),
        sa.Column("ringing_at", _MOMENT, nullable=True),
        sa.Column("answered_at", _MOMENT, nullable=True),
        sa.Column("ended_at", _MOMENT, nullable=False),
        sa.Column("end_estimated", sa.Boolean(), nullable=False),
        sa.Column("billable_seconds", sa.Integer(), nullable=False),
        sa.Column("disposition", sa.String(length=20), nullable=False),
        sa.Column("forwarding_status", sa.String(length=20), nullable=False),
        sa.Column("hangup_cause", sa.SmallInteger(), nullable=True),
        sa.Column("sip_status", sa.SmallInteger(), nullable=True),
        sa.Column("hung_up_by", sa.String(length=20), nullable=False),
        sa.Column("routed_by", sa.String(length=20), nullable=False),
        sa.Column("refusal", sa.String(length=40), nullable=True),
        sa.Column("plan_version", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("call_id", "started_at", name="pk_call"),
    )
    op.create_index("ix_call_account_id_started_at", "call", ["account_id", "started_at"], unique=False)
    op.create_index("ix_call_did_started_at", "call", ["did", "started_at"], unique=False)
    op.create_index("ix_call_started_at", "call", ["started_at"], unique=False)


def _create_legs() -> None:
    op.create_table(
        "leg",
        sa.Column("call_id", sa.String(length=48), nullable=False),
        sa.Column("started_at", _MOMENT, nullable=False),
        sa.Column("number", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("attempt", sa.SmallInteger(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("address", sa.String(length=40), nullable=False),
        sa.Column("trunk", sa.String(length=40), nullable=True),
        sa.Column("dialled_at", _MOMENT, nullable=True),
        sa.Column("answered_at", _MOMENT, nullable=True),
        sa.Column("ended_at", _MOMENT, nullable=True),
        sa.Column("disposition", sa.String(length=20), nullable=False),
        sa.Column("hangup_cause", sa.SmallInteger(), nullable=True),
        sa.Column("sip_status", sa.SmallInteger(), nullable=True),
        sa.PrimaryKeyConstraint("call_id", "started_at", "number", name="pk_leg"),
    )


def _create_nodes() -> None:
    op.create_table(
        "node",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("plan_version", sa.BigInteger(), nullable=True),
        sa.Column("plan_at", _MOMENT, nullable=True),
        sa.Column("asterisk_started_at", _MOMENT, nullable=True),
        sa.Column("app_seen_at", _MOMENT, nullable=True),
        sa.Column("booker_seen_at", _MOMENT, nullable=True),
        sa.Column("astdb_version", sa.BigInteger(), nullable=True),
        sa.Column("astdb_checked_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_node"),
    )


def _create_ledger() -> None:
    op.create_table(
        "ledger_offset",
        sa.Column("node", sa.String(length=40), nullable=False),
        sa.Column("file_id", sa.String(length=80), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("path", sa.String(length=255), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("lines", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("node", "file_id", name="pk_ledger_offset"),
    )
    op.create_table(
        "set_aside_line",
        sa.Column("node", sa.String(length=40), nullable=False),
        sa.Column("file_id", sa.String(length=80), nullable=False),
        sa.Column("offset", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("length", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("seen_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("node", "file_id", "offset", name="pk_set_aside_line"),
    )
