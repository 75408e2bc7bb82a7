"""The audit log, its head and its checkpoints; triggers that refuse to change or remove what is in them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
_KEPT = ("audit_entry", "audit_checkpoint")
_TABLES = (*_KEPT, "audit_head")


def upgrade() -> None:
    op.create_table(
        "audit_entry",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("actor", sa.String(length=60), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_audit_entry"),
    )
    op.create_index("ix_audit_entry_at", "audit_entry", ["at"])
    op.create_index("ix_audit_entry_kind_seq", "audit_entry", ["kind", "seq"])
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("frontier", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_head"),
    )
    op.create_table(
        "audit_checkpoint",
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("verifier_key", sa.String(length=200), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("size", name="pk_audit_checkpoint"),
    )
    for statement in _sqlite_triggers() if op.get_bind().dialect.name == "sqlite" else _postgresql_triggers():
        op.execute(statement)


def downgrade() -> None:
    for table in _TABLES:
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_refuse()")


def _sqlite_triggers() -> list[str]:
    refuse = "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
    statements = [f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} {refuse}" for table in _TABLES]
    statements += [f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} {refuse}" for table in _KEPT]
    # INSERT OR REPLACE removes a row without a word to the delete trigger, unless recursive_triggers is on.
    statements += [
        f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} WHERE {key} = NEW.{key}) {refuse}"  # noqa: S608  names of our own
        for table, key in (("audit_entry", "seq"), ("audit_checkpoint", "size"))
    ]
    return [*statements, f"CREATE TRIGGER audit_head_no_shrink BEFORE UPDATE ON audit_head WHEN NEW.size < OLD.size OR NEW.id <> OLD.id {refuse}"]


def _postgresql_triggers() -> list[str]:
    statements = [
        """CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'restrict_violation'; END $$"""
    ]
    for table in _TABLES:
        what = "UPDATE OR DELETE" if table in _KEPT else "DELETE"
        statements.append(f"CREATE TRIGGER {table}_no_change BEFORE {what} ON {table} FOR EACH ROW EXECUTE FUNCTION audit_refuse()")
        statements.append(f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()")
    shrinks = "NEW.size < OLD.size OR NEW.id <> OLD.id"
    statements.append(f"CREATE TRIGGER audit_head_no_shrink BEFORE UPDATE ON audit_head FOR EACH ROW WHEN ({shrinks}) EXECUTE FUNCTION audit_refuse()")
    return statements
