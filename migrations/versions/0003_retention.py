"""Retention: runs, receipts, sealed days, legal holds, invoice lines, policies. PostgreSQL: calls and legs by month. Legs' key begins with the time."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
_COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_AHEAD = 3  # months made ahead
_BY_MONTH = ("call", "leg")
_TABLES = (
    "read_barrier",
    "invoice_line",
    "held_row",
    "hold_state",
    "legal_hold",
    "account_policy",
    "policy_version",
    "lease",
    "incident",
    "file_tombstone",
    "call_aggregate",
    "sealed_day",
    "purge_receipt_day",
    "purge_receipt",
    "purge_run_class",
    "purge_run",
)


def upgrade() -> None:
    _create_runs()
    _create_receipts()
    _create_counts()
    _create_files()
    _create_policies()
    _create_holds()
    _create_invoices()
    op.bulk_insert(sa.table("hold_state", sa.column("id", sa.Integer), sa.column("version", sa.BigInteger)), [{"id": 1, "version": 0}])
    _rebuild_calls("started_at, call_id, number", by_month=True)


def downgrade() -> None:
    _rebuild_calls("call_id, started_at, number", by_month=False)
    for table in _TABLES:
        op.drop_table(table)


def _rebuild_calls(leg_key: str, *, by_month: bool) -> None:
    """Make the tables of calls and legs anew and move what they hold."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("ALTER TABLE leg RENAME TO leg_before")
        op.execute(f"CREATE TABLE leg ({_LEG.format(moment='DATETIME')}, CONSTRAINT pk_leg PRIMARY KEY ({leg_key}))")
        op.execute("INSERT INTO leg SELECT * FROM leg_before")
        op.execute("DROP TABLE leg_before")
        return
    op.execute("CREATE SCHEMA IF NOT EXISTS parts")
    for table in _BY_MONTH:
        op.execute(f'ALTER TABLE "{table}" SET SCHEMA parts')
    suffix = " PARTITION BY RANGE (started_at)" if by_month else ""
    op.execute(f"CREATE TABLE call ({_CALL}, CONSTRAINT pk_call PRIMARY KEY (call_id, started_at)){suffix}")
    op.execute(f"CREATE TABLE leg ({_LEG.format(moment='TIMESTAMP WITH TIME ZONE')}, CONSTRAINT pk_leg PRIMARY KEY ({leg_key})){suffix}")
    for columns in ("account_id, started_at", "did, started_at", "started_at"):
        op.execute(f"CREATE INDEX ix_call_{columns.replace(', ', '_')} ON call ({columns})")
    if by_month:
        _make_months()
    for table in _BY_MONTH:
        op.execute(f'INSERT INTO "{table}" SELECT * FROM parts."{table}"')  # noqa: S608  names of our own
        op.execute(f'DROP TABLE parts."{table}"')
    if not by_month:
        op.execute("DROP SCHEMA parts")


def _make_months() -> None:
    bind = op.get_bind()
    month_of = "SELECT DISTINCT date_trunc('month', started_at AT TIME ZONE 'UTC') FROM"
    found = bind.execute(sa.text(f"{month_of} parts.call UNION {month_of} parts.leg")).scalars()
    months = {(moment.year, moment.month) for moment in found}
    now: datetime = bind.execute(sa.text("SELECT now()")).scalar_one().astimezone(UTC)
    first = now.year * 12 + now.month - 1
    months |= {(month // 12, month % 12 + 1) for month in range(first - 1, first + _AHEAD + 1)}
    for year, month in sorted(months):
        after = f"{year + month // 12:04}-{month % 12 + 1:02}-01"
        for table in _BY_MONTH:
            bounds = f"FROM ('{year:04}-{month:02}-01 00:00+00') TO ('{after} 00:00+00')"
            op.execute(f'CREATE TABLE parts.{table}_{year:04}_{month:02} PARTITION OF "{table}" FOR VALUES {bounds}')


_CALL = """
    call_id VARCHAR(48) NOT NULL, started_at TIMESTAMP WITH TIME ZONE NOT NULL, node VARCHAR(40) NOT NULL, linkedid VARCHAR(48) NOT NULL,
    direction VARCHAR(20) NOT NULL, account_id INTEGER, did VARCHAR(41), caller VARCHAR(41), caller_withheld BOOLEAN NOT NULL,
    called VARCHAR(41) NOT NULL, inbound_trunk VARCHAR(40), forwarded_to VARCHAR(40), trunk VARCHAR(40), ringing_at TIMESTAMP WITH TIME ZONE,
    answered_at TIMESTAMP WITH TIME ZONE, ended_at TIMESTAMP WITH TIME ZONE NOT NULL, end_estimated BOOLEAN NOT NULL, billable_seconds INTEGER NOT NULL,
    disposition VARCHAR(20) NOT NULL, forwarding_status VARCHAR(20) NOT NULL, hangup_cause SMALLINT, sip_status SMALLINT,
    hung_up_by VARCHAR(20) NOT NULL, routed_by VARCHAR(20) NOT NULL, refusal VARCHAR(40), plan_version BIGINT
"""
_LEG = """
    call_id VARCHAR(48) NOT NULL, started_at {moment} NOT NULL, number SMALLINT NOT NULL, attempt SMALLINT NOT NULL, kind VARCHAR(20) NOT NULL,
    address VARCHAR(40) NOT NULL, trunk VARCHAR(40), dialled_at {moment}, answered_at {moment}, ended_at {moment},
    disposition VARCHAR(20) NOT NULL, hangup_cause SMALLINT, sip_status SMALLINT
"""


def _create_runs() -> None:
    op.create_table(
        "purge_run",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("as_of", _MOMENT, nullable=False),
        sa.Column("started_at", _MOMENT, nullable=False),
        sa.Column("finished_at", _MOMENT, nullable=True),
        sa.Column("stopped", sa.String(length=60), nullable=True),
        sa.Column("hold_version", sa.BigInteger(), nullable=False),
        sa.Column("receipts", sa.Integer(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("commitment_key", sa.LargeBinary(length=32), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_purge_run"),
    )
    op.create_index("ix_purge_run_started_at", "purge_run", ["started_at"])
    op.create_table(
        "purge_run_class",
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("data_class", sa.String(length=20), nullable=False),
        sa.Column("policy", sa.String(length=40), nullable=False),
        sa.Column("policy_version", sa.Integer(), nullable=False),
        sa.Column("policy_digest", sa.String(length=64), nullable=False),
        sa.Column("period", sa.String(length=20), nullable=False),
        sa.Column("start_event", sa.String(length=20), nullable=False),
        sa.Column("year_end", sa.String(length=5), nullable=True),
        sa.Column("cutoff_at", _MOMENT, nullable=False),
        sa.Column("started_at", _MOMENT, nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("held", sa.BigInteger(), nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("batches", sa.Integer(), nullable=False),
        sa.Column("longest_ms", sa.Integer(), nullable=False),
        sa.Column("oldest_at", _MOMENT, nullable=True),
        sa.Column("outcome", sa.String(length=20), nullable=True),
        sa.Column("reason", sa.String(length=60), nullable=True),
        sa.Column("finished_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("run_id", "data_class", "policy", name="pk_purge_run_class"),
    )


def _create_receipts() -> None:
    op.create_table(
        "purge_receipt",
        sa.Column("id", _COUNTER, autoincrement=True, nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("data_class", sa.String(length=20), nullable=False),
        sa.Column("table_name", sa.String(length=40), nullable=False),
        sa.Column("reason", sa.String(length=20), nullable=False),
        sa.Column("policy", sa.String(length=40), nullable=True),
        sa.Column("policy_version", sa.Integer(), nullable=True),
        sa.Column("policy_digest", sa.String(length=64), nullable=True),
        sa.Column("cutoff_at", _MOMENT, nullable=True),
        sa.Column("lo_at", sa.String(length=27), nullable=False),
        sa.Column("lo_key", sa.String(length=32), nullable=False),
        sa.Column("hi_at", sa.String(length=27), nullable=False),
        sa.Column("hi_key", sa.String(length=32), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("oldest_at", _MOMENT, nullable=True),
        sa.Column("newest_at", _MOMENT, nullable=True),
        sa.Column("hold_version", sa.BigInteger(), nullable=False),
        sa.Column("commitment", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_purge_receipt"),
    )
    op.create_index("ix_purge_receipt_at", "purge_receipt", ["at"])
    op.create_index(
        "uq_purge_receipt_window",
        "purge_receipt",
        ["run_id", "data_class", "table_name", "policy", "lo_at", "lo_key"],
        unique=True,
        postgresql_where=sa.text("reason = 'window'"),
        sqlite_where=sa.text("reason = 'window'"),
    )
    op.create_table(
        "purge_receipt_day",
        sa.Column("receipt_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("receipt_id", "day", name="pk_purge_receipt_day"),
    )
    op.create_index("ix_purge_receipt_day_day", "purge_receipt_day", ["day"])


def _create_counts() -> None:
    op.create_table(
        "sealed_day",
        sa.Column("data_class", sa.String(length=20), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("begins_at", _MOMENT, nullable=False),
        sa.Column("ends_at", _MOMENT, nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("sealed_at", _MOMENT, nullable=False),
        sa.Column("late", sa.BigInteger(), nullable=False),
        sa.Column("late_told", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("data_class", "day", name="pk_sealed_day"),
    )
    op.create_index("ix_sealed_day_ends_at", "sealed_day", ["ends_at"])
    op.create_table(
        "call_aggregate",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("trunk", sa.String(length=40), nullable=False),
        sa.Column("destination", sa.String(length=20), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("answered", sa.BigInteger(), nullable=True),
        sa.Column("billable_seconds", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("day", "trunk", "destination", name="pk_call_aggregate"),
    )


def _create_files() -> None:
    op.create_table(
        "file_tombstone",
        sa.Column("id", _COUNTER, autoincrement=True, nullable=False),
        sa.Column("node", sa.String(length=40), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("data_class", sa.String(length=20), nullable=False),
        sa.Column("folder", sa.String(length=10), nullable=False),
        sa.Column("path", sa.String(length=255), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("newest_at", _MOMENT, nullable=False),
        sa.Column("made_at", _MOMENT, nullable=False),
        sa.Column("removed_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_file_tombstone"),
    )
    op.create_index("ix_file_tombstone_removed_at", "file_tombstone", ["removed_at"])
    op.create_table(
        "incident",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("cause", sa.String(length=60), nullable=False),
        sa.Column("data_class", sa.String(length=20), nullable=True),
        sa.Column("run_id", sa.String(length=32), nullable=True),
        sa.Column("detail", sa.String(length=400), nullable=False),
        sa.Column("opened_at", _MOMENT, nullable=False),
        sa.Column("closed_at", _MOMENT, nullable=True),
        sa.Column("outcome", sa.String(length=40), nullable=True),
        sa.Column("closed_by", sa.String(length=60), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_incident"),
    )
    op.create_index("ix_incident_opened_at", "incident", ["opened_at"])
    op.create_table(
        "lease",
        sa.Column("name", sa.String(length=20), nullable=False),
        sa.Column("holder", sa.String(length=80), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("until", _MOMENT, nullable=False),
        sa.Column("seen_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_lease"),
    )


def _create_policies() -> None:
    op.create_table(
        "read_barrier",
        sa.Column("data_class", sa.String(length=20), nullable=False),
        sa.Column("policy", sa.String(length=40), nullable=False),
        sa.Column("valid_from", _MOMENT, nullable=False),
        sa.Column("cutoff_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("data_class", "policy", "valid_from", name="pk_read_barrier"),
    )
    op.create_table(
        "policy_version",
        sa.Column("policy", sa.String(length=40), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("effective", sa.Date(), nullable=False),
        sa.Column("proposed_by", sa.String(length=60), nullable=False),
        sa.Column("proposed_at", _MOMENT, nullable=False),
        sa.Column("approved_by", sa.String(length=60), nullable=False),
        sa.Column("approved_at", _MOMENT, nullable=True),
        sa.Column("announced_at", _MOMENT, nullable=True),
        sa.Column("adopted_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("policy", "version", name="pk_policy_version"),
    )
    op.create_table(
        "account_policy",
        sa.Column("account_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("policy", sa.String(length=40), nullable=False),
        sa.Column("since", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("account_id", name="pk_account_policy"),
    )


def _create_holds() -> None:
    op.create_table(
        "legal_hold",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("data_class", sa.String(length=20), nullable=True),
        sa.Column("account_id", sa.Integer(), nullable=True),
        sa.Column("number", sa.String(length=41), nullable=True),
        sa.Column("since", _MOMENT, nullable=True),
        sa.Column("until", _MOMENT, nullable=True),
        sa.Column("reason", sa.String(length=400), nullable=False),
        sa.Column("owner", sa.String(length=60), nullable=False),
        sa.Column("review_by", sa.Date(), nullable=False),
        sa.Column("secret", sa.Boolean(), nullable=False),
        sa.Column("keeper", sa.String(length=60), nullable=True),
        sa.Column("placed_at", _MOMENT, nullable=False),
        sa.Column("placed_version", sa.BigInteger(), nullable=True),
        sa.Column("reviewed_at", _MOMENT, nullable=True),
        sa.Column("released_at", _MOMENT, nullable=True),
        sa.Column("released_by", sa.String(length=60), nullable=True),
        sa.Column("released_version", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_legal_hold"),
    )
    op.create_index("ix_legal_hold_released_at", "legal_hold", ["released_at"])
    op.create_table(
        "hold_state",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_hold_state"),
    )
    op.create_table(
        "held_row",
        sa.Column("id", _COUNTER, autoincrement=True, nullable=False),
        sa.Column("hold_id", sa.String(length=32), nullable=False),
        sa.Column("data_class", sa.String(length=20), nullable=False),
        sa.Column("table_name", sa.String(length=40), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("row", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_held_row"),
    )
    op.create_index("ix_held_row_hold_id", "held_row", ["hold_id"])


def _create_invoices() -> None:
    op.create_table(
        "invoice_line",
        sa.Column("id", _COUNTER, autoincrement=True, nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("did", sa.String(length=41), nullable=True),
        sa.Column("started_at", _MOMENT, nullable=False),
        sa.Column("direction", sa.String(length=20), nullable=False),
        sa.Column("destination", sa.String(length=20), nullable=False),
        sa.Column("billable_seconds", sa.Integer(), nullable=False),
        sa.Column("charge", sa.Numeric(precision=12, scale=4), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_invoice_line"),
    )
    op.create_index("ix_invoice_line_account_id_started_at", "invoice_line", ["account_id", "started_at"])
    op.create_index("ix_invoice_line_started_at", "invoice_line", ["started_at"])
