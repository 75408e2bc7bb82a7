"""The SQLite file itself: its log, and its free pages."""

from __future__ import annotations

from sqlalchemy import Engine


def checkpoint(engine: Engine) -> bool:
    """Write the log back into the file and cut it to nothing; False when a reader or writer was in the way."""
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=200")
        busy, _, _ = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
        connection.exec_driver_sql("PRAGMA busy_timeout=30000")
        return not busy


def free_pages(engine: Engine) -> int:
    """Return how many pages of the file hold nothing."""
    with engine.connect() as connection:
        return int(connection.exec_driver_sql("PRAGMA freelist_count").scalar_one())


def give_back(engine: Engine, pages: int) -> bool:
    """Cut free pages off the file; False when the file was made without that, and only VACUUM helps."""
    with engine.connect() as connection:
        if connection.exec_driver_sql("PRAGMA auto_vacuum").scalar_one() != 2:
            return False
        # As a script: run as one statement the driver stops after the first page.
        connection.connection.cursor().executescript(f"PRAGMA incremental_vacuum({pages})")
        return True
