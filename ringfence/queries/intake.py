"""Rows taken in: sealing a day and booking into it keep out of each other's way, and what is booked into a sealed day is counted as late."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from ringfence.models import SealedDay
from ringfence.models.base import DataClass

_TURN = 0x5345414C  # 'SEAL': bookers share it, whoever seals has it alone


def let_intake(session: Session) -> None:
    """Keep days from being sealed until this transaction ends: a row that is on its way would be in no count. SQLite has one writer anyway."""
    if session.connection().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock_shared(:turn)"), {"turn": _TURN})


def stop_intake(session: Session) -> None:
    """Keep everybody from booking until this transaction ends. On SQLite the transaction must hold the write lock already."""
    if session.connection().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": _TURN})


def count_late(session: Session, earliest: datetime, rows: Callable[[datetime], Iterable[tuple[DataClass, datetime]]]) -> None:
    """Count what was booked into days that are sealed.

    Args:
        session: the session that booked it.
        earliest: the time of the oldest row that was booked; nothing more is asked when no sealed day is so late.
        rows: called with the end of the last sealed day; yields class and time of each row booked before.
    """
    end = session.scalar(select(func.max(SealedDay.ends_at)))
    if end is None or earliest >= end:
        return
    late = Counter[tuple[DataClass, datetime]]()
    days: dict[datetime, datetime | None] = {}
    for data_class, at in rows(end):
        if at not in days:
            days[at] = session.scalar(select(SealedDay.begins_at).where(SealedDay.begins_at <= at, SealedDay.ends_at > at).limit(1))
        begins = days[at]
        if begins is not None:
            late[data_class, begins] += 1
    for (data_class, begins), count in sorted(late.items()):
        day = (SealedDay.data_class == data_class.value, SealedDay.begins_at == begins)
        session.execute(update(SealedDay).where(*day).values(late=SealedDay.late + count))
