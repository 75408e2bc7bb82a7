"""Reading what text columns hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Table, select
from sqlalchemy.orm import Session


def newest(session: Session, table: Table, columns: Sequence[str], limit: int) -> Iterator[Sequence[Any]]:
    """Yield the columns of a table's last rows, by its key."""
    order = [column.desc() for column in table.primary_key.columns]
    for row in session.execute(select(*(table.c[name] for name in columns)).order_by(*order).limit(limit)):
        yield tuple(row)
