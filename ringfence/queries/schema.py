"""What the store itself says that it holds."""

from __future__ import annotations

from sqlalchemy import inspect
from sqlalchemy.orm import Session


def stored_columns(session: Session) -> dict[str, list[str]]:
    """Return the columns of every table, by table, as the store has them; months of calls are parts of their tables and not listed."""
    found = inspect(session.connection()).get_multi_columns()
    return {table: [column["name"] for column in columns] for (_, table), columns in found.items()}
