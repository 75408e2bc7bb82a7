"""Runs the migrations: one transaction, one runner at a time, and no waiting for ever on a busy table.

Started by `ringfence.migrate`, which hands over an open connection; there is no alembic.ini.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from ringfence.models import Base

_LOCK = 0x52494E4746454E43  # 'RINGFENC': the advisory lock of this product's migrations
_WAIT_FOR_RUNNER = "60s"  # another node may be upgrading: then there is nothing left to do afterwards
_WAIT_FOR_TABLE = "5s"  # a migration that queues for a table's lock makes every reader queue behind it
_STATEMENT = "30min"


def _take_turn(connection: Connection) -> None:
    """Let one runner in at a time, and bound every wait."""
    if connection.dialect.name == "sqlite":
        # The driver begins no transaction before DDL: without this a failed migration would stay half done.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_WAIT_FOR_RUNNER}'")
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_WAIT_FOR_TABLE}'")
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{_STATEMENT}'")


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        transactional_ddl=True,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        _take_turn(connection)
        context.run_migrations()


_run(context.config.attributes["connection"])
