"""Writing many rows: straight to the table, without the cost of objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Table, insert
from sqlalchemy.orm import Session

from ringfence.batches import batched
from ringfence.models import Base

_BATCH = 5_000


def insert_rows(session: Session, model: type[Base], rows: Iterable[Mapping[str, Any]]) -> int:
    """Insert rows, all with the same keys, in batches; return their count."""
    table = model.__table__
    assert isinstance(table, Table)  # noqa: S101  every model of ours is a table
    count = 0
    for batch in batched(rows, _BATCH):
        session.execute(insert(table), batch)
        count += len(batch)
    return count
